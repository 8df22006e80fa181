"""Procrustes similarity: how well a rotation and a scale turn one space into another."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.geometry.kernels import NO_SPREAD, centered_features, matmul
from jaxvae.geometry.points import same_length
from jaxvae.metrics.symmetric import symmetric_matrix
from jaxvae.platforms import svd
from jaxvae.typing import ArrayLike


def procrustes_similarity(x: ArrayLike, y: ArrayLike) -> Float[Array, ""]:
    """Procrustes similarity of two representations of the same points.

    The nuclear norm (sum of the singular values) of X'Y, with columns centered and
    X and Y divided by their Frobenius norms. It is 1 - D / 2, where D is the least of
    `|X Q - Y|^2` over orthogonal Q, and its arccosine is the angle between the shapes.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[n, ...]`, the same points in another space, of any width.

    Returns:
        Between 0 and 1; 1 where one space is a rotation, shift and isotropic scale of
        the other. It has a floor: independent white Gaussian spaces of p features give
        about `8 / (3 pi) sqrt(p / n)` for p well below n, and more and more as p grows.
        Constant columns add nothing; NaN where a space is constant.

    Raises:
        ValueError: for different n, fewer than 2 points, NaN or infinite input.

    Cost: with p = min(n, d) and q = min(n, e): n p q operations for the product and
    the singular values of a p x q matrix; n^2 d once for a space wider than n.

    Reference: Schonemann (1966); Williams, Kunz, Kornblith and Linderman (2021).
    """
    return procrustes_matrix([x, y])[0, 1]


def procrustes_matrix(spaces: Sequence[ArrayLike]) -> Float[Array, "l l"]:
    """Procrustes similarity between all pairs of representations of the same points.

    Args:
        spaces: l arrays `[n, ...]`, of any widths.

    Returns:
        `[l, l]`, symmetric, ones on the diagonal; a constant space has a row and
        column of NaN.

    Raises:
        ValueError: for no spaces, different n, fewer than 2 points, NaN or infinite
            input.

    Cost: that of `procrustes_similarity` for l (l - 1) / 2 pairs, with spaces wider
    than n reduced once. Memory: the spaces, or n^2 for each wider one, and one product.
    """
    if len(spaces) == 0:
        raise ValueError("expected at least one space, got none")
    # One space at a time: a wide one gives way to its factor.
    factors, diagonal = zip(*map(_factor_and_self_similarity, spaces), strict=True)
    same_length(*factors)

    def entry(i: int, j: int) -> Float[Array, ""]:
        return diagonal[i] if i == j else _similarity(factors[i], factors[j])

    return symmetric_matrix(len(factors), entry)


def _factor_and_self_similarity(
    space: ArrayLike,
) -> tuple[Float[Array, "n p"], Float[Array, ""]]:
    (features,) = centered_features([space])
    # The similarity of a constant space to itself is undefined.
    similarity = jnp.where(features.exponent > NO_SPREAD, jnp.float32(1), jnp.float32(jnp.nan))
    return _factor(features.values), similarity


@jax.jit
def _factor(values: Float[Array, "n d"]) -> Float[Array, "n p"]:
    """F with FF' = XX' and p = min(n, d) columns: X is F times orthonormal rows."""
    n, d = values.shape
    return jnp.linalg.qr(values.T, mode="r").T if d > n else values


@jax.jit
def _similarity(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Float[Array, ""]:
    # Not from the eigenvalues of the squared product, which lose all singular values
    # below 1e-4 of the largest: together they can be a hundredth of the sum.
    singular = svd(matmul(x.T, y), vectors=False)
    return jnp.minimum(jnp.sum(singular) / (_norm(x) * _norm(y)), 1.0)


def _norm(values: Float[Array, "n p"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(jnp.sum(values * values, axis=1)))
