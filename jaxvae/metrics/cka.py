"""Centered kernel alignment: how alike the similarities between examples are."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_point_array
from jaxvae.geometry.kernels import NO_SPREAD, centered_features, gram_products, rbf_gram
from jaxvae.geometry.points import same_length
from jaxvae.typing import ArrayLike

# The entries of an n x n kernel are counted in 32 bits.
_MOST_POINTS = 2**16 - 1
# Wider kernels are linear to the last digit of float32, and narrower ones know no other point.
_WIDEST, _NARROWEST = 2.0**40, 2.0**-40


def linear_cka(x: ArrayLike, y: ArrayLike) -> Float[Array, ""]:
    """Linear centered kernel alignment (CKA) of two representations of the same points.

    `|X'Y|^2 / (|X'X| |Y'Y|)` with centered columns and Frobenius norms.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[n, ...]`, the same points in another space, of any width.

    Returns:
        Between 0 and 1. Biased: independent Gaussian spaces of p features give
        `p / (p + n - 1)`, not 0; see `debiased_cka`. Unchanged by rotation, shift and
        isotropic scale of either space, but not by other linear maps. Constant
        columns add nothing; NaN where a space is constant.

    Raises:
        ValueError: for different n, fewer than 2 points, NaN or infinite input.

    Cost: n (d + e)^2 operations, or n^2 (d + e) / 2 where that is less. Memory never
    grows as n^2.

    Reference: Kornblith, Norouzi, Lee and Hinton (2019); Cortes, Mohri and
    Rostamizadeh (2012).
    """
    return cka_matrix([x, y])[0, 1]


def debiased_cka(x: ArrayLike, y: ArrayLike) -> Float[Array, ""]:
    """Linear CKA from unbiased estimates of the three dependences.

    `HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))`, each HSIC being
    `[tr(KL) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 / (n - 2) 1'KL1] / (n (n - 3))`
    of the Gram matrices K = XX' and L = YY' with their diagonals set to zero.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[n, ...]`, the same points in another space, of any width.

    Returns:
        Between -1 and 1, around 0 for independent spaces of any width. Unchanged by
        rotation, shift and isotropic scale of either space. NaN where an HSIC of a
        space with itself is zero: where it is constant, or all its points are
        equally far apart. Where one row of few is 1e5 times as far from the others as
        these from each other, it is off by up to 2e-3; at 1e6 by up to 1e-2, or NaN.

    Raises:
        ValueError: for different n, fewer than 4 points, NaN or infinite input.

    Cost: as `linear_cka`.

    Reference: Song, Smola, Gretton, Bedo and Borgwardt (2012); Kornblith, Norouzi,
    Lee and Hinton (2019).
    """
    return cka_matrix([x, y], debiased=True)[0, 1]


def cka_matrix(spaces: Sequence[ArrayLike], *, debiased: bool = False) -> Float[Array, "l l"]:
    """Linear CKA between all pairs of representations of the same points.

    Args:
        spaces: l arrays `[n, ...]`, of any widths.
        debiased: `debiased_cka` of the pairs instead of `linear_cka`.

    Returns:
        `[l, l]`, symmetric, ones on the diagonal; a space for which CKA is undefined
        has a row and column of NaN.

    Raises:
        ValueError: for no spaces, different n, fewer than 2 points (debiased: 4), NaN
            or infinite input.

    Cost, with D the features of all spaces together: n D^2 operations and D^2 memory
    where D < n; else n^2 D / 2 operations and l * 512^2 memory, a tile of every Gram
    matrix serving all pairs. A debiased matrix takes the second way too where a few
    rows far from the others would make the first one cancel.
    """
    features = centered_features(spaces, least=4 if debiased else 2)
    return _normalize(gram_products(tuple(f.values for f in features), unbiased=debiased))


def rbf_cka(x: ArrayLike, y: ArrayLike, *, bandwidth: float = 0.5) -> Float[Array, ""]:
    """CKA with Gaussian kernels: alignment of neighborhoods rather than of all distances.

    `<K, L> / (|K| |L|)` of the centered kernel matrices, where
    `K_ij = exp(-|x_i - x_j|^2 / (2 s^2))` and `s^2 = bandwidth^2` times the median of all
    n^2 squared distances, the zero diagonal included.

    Args:
        x: `[n, ...]`, trailing axes are flattened.
        y: `[n, ...]`, the same points in another space, of any width.
        bandwidth: kernel width, as a multiple of the root median squared distance.
            Wide kernels tend to `linear_cka`, narrow ones to 1 where no row is repeated.

    Returns:
        Between 0 and 1; biased as `linear_cka` is. Unchanged by rotation, shift and
        isotropic scale. NaN where more than half of the n^2 distances, the zero diagonal
        included, are zero, as in a constant space: the kernel has no width.

    Raises:
        ValueError: for a bandwidth that is not positive and finite, different n, fewer than 2
            or more than 65,535 points, NaN or infinite input.

    Cost: n^2 (d + e) operations; two n x n matrices are held.

    Reference: Kornblith, Norouzi, Lee and Hinton (2019).
    """
    if not 0 < bandwidth < float("inf"):
        raise ValueError(f"expected bandwidth > 0, got {bandwidth}")
    x, y = as_point_array(x), as_point_array(y)
    if max(len(x), len(y)) > _MOST_POINTS:
        raise ValueError(
            f"expected at most {_MOST_POINTS:,} points, got {max(len(x), len(y)):,}; "
            "n x n kernels are held: take a random subset"
        )
    bandwidth = max(_NARROWEST, min(bandwidth, _WIDEST))
    grams = [rbf_gram(space, bandwidth=bandwidth) for space in (x, y)]
    if same_length(*grams) < 2:
        raise ValueError("expected at least 2 points, got 1")
    return _alignment(*grams)


class MinibatchState(NamedTuple):
    """The sums that minibatch CKA has accumulated.

    Attributes:
        sums: `[l, l]`, the batches' HSIC, in units of `2**(2 exponents)` of both spaces.
        exponents: `[l]`.
    """

    sums: Float[Array, "l l"]
    exponents: Int[Array, " l"]


class MinibatchCKA(NamedTuple):
    """Minibatch CKA as three pure functions, to jit, scan or vmap.

    Attributes:
        init: `()` -> `MinibatchState` of no batches.
        update: `(state, spaces)` -> state; `spaces` are l arrays `[b, ...]` of the same
            b >= 4 examples.
        result: `state` -> `[l, l]`, NaN before the first batch.
    """

    init: Callable[[], MinibatchState]
    update: Callable[[MinibatchState, Sequence[ArrayLike]], MinibatchState]
    result: Callable[[MinibatchState], Float[Array, "l l"]]


def minibatch_cka(layers: int) -> MinibatchCKA:
    """Debiased CKA of data that come in batches, for all pairs of `layers` spaces.

    The unbiased HSIC of every batch is added up, and normalized once at the end:
    `sum_b HSIC_b(X, Y) / sqrt(sum_b HSIC_b(X, X) sum_b HSIC_b(Y, Y))`. Each batch counts
    the same, so leave out a short last one. As batches are added it tends to the
    `debiased_cka` of the whole data, whatever their size; the mean of the batches'
    own CKA does not. See `debiased_cka` for range, invariances and NaN.

    Args:
        layers: number of spaces l.

    Raises:
        ValueError: for layers < 1. `update` raises it for another number of spaces,
            and wherever `debiased_cka` does.

    Cost of an update: as `cka_matrix` with n = b. The state holds l (l + 1) numbers.

    Reference: Nguyen, Raghu and Kornblith (2021); Song et al. (2012).
    """
    layers = as_count(layers, f"expected layers >= 1, got {layers}", least=1)
    return MinibatchCKA(partial(_init, layers), _update, lambda state: _normalize(state.sums))


def _init(layers: int) -> MinibatchState:
    return MinibatchState(
        jnp.zeros((layers, layers), jnp.float32), jnp.full(layers, NO_SPREAD, jnp.int32)
    )


def _update(state: MinibatchState, spaces: Sequence[ArrayLike]) -> MinibatchState:
    if len(spaces) != len(state.exponents):
        raise ValueError(f"expected {len(state.exponents)} spaces, got {len(spaces)}")
    features = centered_features(spaces, least=4)
    products = gram_products(tuple(f.values for f in features), unbiased=True)
    n = len(features[0].values)
    return _accumulate(
        state, products / float(n * (n - 3)), jnp.stack([f.exponent for f in features])
    )


@jax.jit
def _accumulate(
    state: MinibatchState, products: Float[Array, "l l"], exponents: Int[Array, " l"]
) -> MinibatchState:
    """Add both terms in the larger of their units, so that neither overflows."""
    common = jnp.maximum(state.exponents, exponents)

    def convert(values: Float[Array, "l l"], own: Int[Array, " l"]) -> Float[Array, "l l"]:
        shift = jnp.maximum(2 * (own - common), -(2**8))
        return jnp.ldexp(jnp.ldexp(values, shift[None]), shift[:, None])

    sums = convert(state.sums, state.exponents) + convert(products, exponents)
    return MinibatchState(sums, common)


@jax.jit
def _normalize(products: Float[Array, "l l"]) -> Float[Array, "l l"]:
    """Cosines from inner products; 0 / 0, which is NaN, for a vector of zeros."""
    norms = jnp.sqrt(jnp.diagonal(products))
    cosines = jnp.clip(products / (norms[None] * norms[:, None]), -1, 1)
    return jnp.where(jnp.eye(len(norms), dtype=bool) & (norms > 0)[None], 1.0, cosines)


@jax.jit
def _alignment(k: Float[Array, "n n"], l: Float[Array, "n n"]) -> Float[Array, ""]:  # noqa: E741
    def product(a: Float[Array, "n n"], b: Float[Array, "n n"]) -> Float[Array, ""]:
        return jnp.sum(jnp.sum(a * b, axis=1))

    return jnp.minimum(product(k, l) / jnp.sqrt(product(k, k) * product(l, l)), 1.0)
