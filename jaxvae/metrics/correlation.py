"""Canonical correlations: what linear maps of two spaces have in common."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.kernels import centered_features, matmul
from jaxvae.metrics.symmetric import symmetric_matrix
from jaxvae.platforms import svd
from jaxvae.typing import ArrayLike

# A direction is kept above this multiple of sqrt(max(n, d)) of the largest one's
# length: exact linear dependence leaves about a tenth of it in float32.
_RANK_ROUNDING = 2.0**-20


class CanonicalCorrelations(NamedTuple):
    """Canonical correlations of two spaces and their summaries.

    Attributes:
        values: `[k]`, descending, between 0 and 1, k = min(n, d, e); zero beyond the
            first min(kept).
        mean: `[]`, over the first min(kept). NaN where nothing is kept.
        mean_square: `[]`, over the same.
        kept: int `[2]`, directions of either space that entered.
    """

    values: Float[Array, " k"]
    mean: Float[Array, ""]
    mean_square: Float[Array, ""]
    kept: Int[Array, "2"]


def cca(x: ArrayLike, y: ArrayLike) -> CanonicalCorrelations:
    """Canonical correlations of two representations of the same points.

    The singular values of Q'R, where the columns of Q and R are orthonormal bases of
    the column spaces of the centered X and Y: the largest correlations that linear
    functions of either space reach, each pair uncorrelated with those before.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[n, ...]`, the same points in another space.

    Returns:
        `CanonicalCorrelations`. Unchanged by any invertible linear map and shift of
        either space. Constant columns, and those that depend linearly on others, count
        for nothing; means are NaN where a space is constant. It needs n well above
        d + e: independent Gaussian spaces have a mean square of max(d, e) / (n - 1), and
        where one space has rank n - 1, every correlation is 1 and says nothing.

    Raises:
        ValueError: for different n, fewer than 2 points, NaN or infinite input.

    Directions below about 1e-5 of the largest, once every column has the same length,
    are not told from rounding and left out: so for one row, or clusters, that far from
    the rest. `kept` says how many stayed.

    Cost: singular value decompositions of n x d, n x e and d x e matrices.

    Reference: Hotelling (1936); Bjorck and Golub (1973).
    """
    first, second = (f.values for f in centered_features([x, y]))
    return _correlate(_column_basis(first), _column_basis(second))


def svcca(x: ArrayLike, y: ArrayLike, *, variance: float = 0.99) -> CanonicalCorrelations:
    """Singular vector canonical correlation analysis: `cca` of the main components.

    Either space keeps the fewest principal components whose squared singular values
    add up to at least `variance` of their total; then canonical correlations.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[n, ...]`, the same points in another space.
        variance: share of the variance kept, 0 < variance <= 1.

    Returns:
        `CanonicalCorrelations`; `mean` is the usual SVCCA. Unchanged by rotation, shift
        and isotropic scale. Constant columns add nothing; means are NaN where a space
        is constant. With variance 1 it is `cca` but for directions lost to rounding.

    Raises:
        ValueError: for variance outside (0, 1], different n, fewer than 2 points, NaN or
            infinite input.

    Cost: as `cca`.

    Reference: Raghu, Gilmer, Yosinski and Sohl-Dickstein (2017).
    """
    return _correlate(*_principal_bases([x, y], variance))


def svcca_matrix(spaces: Sequence[ArrayLike], *, variance: float = 0.99) -> Float[Array, "l l"]:
    """SVCCA, the mean canonical correlation, between all pairs of representations of the points.

    Args:
        spaces: l arrays `[n, ...]`, of any widths.
        variance: share of the variance that every space keeps, 0 < variance <= 1.

    Returns:
        `[l, l]`, symmetric, the `mean` of `svcca`: 1 on the diagonal to rounding; a constant space
        has a row and column of NaN.

    Raises:
        ValueError: for no spaces, and what `svcca` refuses.

    Cost: a singular value decomposition of every space, `[n, d]`, and of a product for every pair.
    """
    bases = _principal_bases(spaces, variance)
    return symmetric_matrix(len(bases), lambda i, j: _correlate(bases[i], bases[j]).mean)


class _Basis(NamedTuple):
    """Orthonormal columns `[n, p]`, of which some are replaced by zeros."""

    columns: Float[Array, "n p"]
    kept: Bool[Array, " p"]


def _principal_bases(spaces: Sequence[ArrayLike], variance: float) -> list[_Basis]:
    variance = float(variance)
    if not 0 < variance <= 1:
        raise ValueError(f"expected 0 < variance <= 1, got {variance}")
    return [_principal_basis(space.values, variance) for space in centered_features(spaces)]


@jax.jit
def _column_basis(values: Float[Array, "n d"]) -> _Basis:
    # Columns of unequal spread, brought to one length, keep their digits.
    largest = jnp.max(jnp.abs(values), axis=0)
    values = jnp.ldexp(values, -jnp.frexp(largest)[1][None])
    norms = jnp.sqrt(jnp.sum(values * values, axis=0))
    values = values / jnp.where(norms > 0, norms, 1.0)[None]
    columns, lengths, _ = svd(values)
    return _keep(columns, _above_rounding(lengths, values.shape))


@partial(jax.jit, static_argnames="variance")
def _principal_basis(values: Float[Array, "n d"], variance: float) -> _Basis:
    columns, lengths, _ = svd(values)
    # A component is needed while those before it fall short, so while it and those
    # after it hold more than the rest; summed from the small end, which stays exact.
    squares = lengths * lengths
    remaining = jnp.cumsum(squares[::-1])[::-1]
    needed = remaining > (1 - variance) * remaining[0]
    # So small a share that 1 - variance is 1 in float32 needs the first component too.
    needed = needed.at[0].set(True)
    return _keep(columns, needed & _above_rounding(lengths, values.shape))


@jax.jit
def _correlate(x: _Basis, y: _Basis) -> CanonicalCorrelations:
    values = svd(matmul(x.columns.T, y.columns), vectors=False)
    kept = jnp.stack([jnp.sum(x.kept, dtype=jnp.int32), jnp.sum(y.kept, dtype=jnp.int32)])
    among = jnp.arange(len(values), dtype=kept.dtype) < jnp.min(kept)
    values = jnp.where(among, jnp.minimum(values, 1.0), 0.0)
    count = jnp.min(kept).astype(values.dtype)
    return CanonicalCorrelations(
        values, jnp.sum(values) / count, jnp.sum(values * values) / count, kept
    )


def _above_rounding(lengths: Float[Array, " p"], shape: tuple[int, ...]) -> Bool[Array, " p"]:
    return lengths > _RANK_ROUNDING * max(shape) ** 0.5 * lengths[0]


def _keep(columns: Float[Array, "n p"], kept: Bool[Array, " p"]) -> _Basis:
    return _Basis(jnp.where(kept[None], columns, 0.0), kept)
