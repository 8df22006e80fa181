"""Centered features, and inner products of Gram matrices that are never stored.

With X and Y centered, the Gram matrices K = XX' and L = YY' obey
`<K, L> = |X'Y|^2`, so an inner product of two n x n matrices costs n d e
operations in feature space and n^2 (d + e) in sample space. For many spaces at
once the cheaper side is the one of which there are fewer: all features
together, or samples.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxvae.geometry.distances import distances_in_units
from jaxvae.geometry.float32 import as_float32
from jaxvae.geometry.host import as_bits, from_bits, is_few, is_on_host, numpy_of
from jaxvae.geometry.points import as_points, center_and_shift, same_length
from jaxvae.geometry.selection import filled_length
from jaxvae.typing import ArrayLike, EitherArray

# Rows and columns of the blocks of Gram matrices that are in memory at once.
_GRAM_BLOCK = 512
# Where removing the diagonal leaves less than this share, the difference of
# feature-space sums has lost too many digits.
_TRUSTED_SHARE = 2.0**-4
# Off-diagonal entries of unit rows are rounded by about 2**-22; what is not above
# that in the mean square is rounding, of a Gram matrix that is zero off its diagonal.
_ROUNDING_SHARE = 2.0**-40
# The exponent of a space without spread: below that of any other.
NO_SPREAD = -(2**20)

matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)


class Features(NamedTuple):
    """A space whose products neither overflow nor cancel.

    Attributes:
        values: `[n, d]`, columns of mean zero, Frobenius norm in [1/2, 1). Constant
            columns are exactly zero.
        exponent: `[]`, input units are `values * 2**exponent`; `NO_SPREAD` for a
            constant space.
    """

    values: Float[EitherArray, "n d"]
    exponent: Int[EitherArray, ""]


def centered_features(spaces: Sequence[ArrayLike], *, least: int = 2) -> tuple[Features, ...]:
    """Spaces of the same points, centered by column and scaled by a power of two.

    Args:
        spaces: arrays `[n, ...]` of any real type and widths; trailing axes are
            flattened. float64 and wide integers are centered in float64.
        least: the fewest points that are accepted.

    Raises:
        ValueError: for no spaces, different n, n below `least`, complex or object
            types, and NaN or infinite values.
    """
    if len(spaces) == 0:
        raise ValueError("expected at least one space, got none")
    # One space at a time: only its centered form outlives the step.
    features = tuple(_features(space) for space in spaces)
    n = same_length(*(space.values for space in features))
    if n < least:
        raise ValueError(f"expected at least {least} points, got {n}")
    return features


def _features(space: ArrayLike) -> Features:
    (values,), _, exponent = as_float32(space)
    return (_center if is_few(values) else _center_on_device)(values, exponent)


def _center(values: Float[EitherArray, "n d"], exponent: Int[EitherArray, ""]) -> Features:
    numpy = numpy_of(values)
    center, up = center_and_shift(values)
    scale = numpy.ldexp(numpy.float32(1), up)
    values = values * scale - (center * scale)[None]
    # A float32 mean of many rows is rounded; the mean of what it leaves is not. NumPy adds row
    # by row, so it adds in float64.
    wide = np.float64 if numpy is np else None
    for _ in range(2):
        values = values - numpy.mean(values, axis=0, dtype=wide).astype(np.float32)[None]
    norm = numpy.sqrt(numpy.sum(numpy.sum(values * values, axis=1)))
    down = numpy.frexp(norm)[1]
    exponent = numpy.where(norm > 0, exponent - up + down, NO_SPREAD)
    return Features(numpy.ldexp(values, -down), exponent)


_center_on_device = jax.jit(_center)


def gram_products(
    spaces: tuple[Float[EitherArray, "n _"], ...], *, unbiased: bool
) -> Float[Array, "l l"]:
    """Inner products `<K_i, K_j>` of the centered Gram matrices of all pairs of spaces.

    Biased, K is XX'. Unbiased, it is the U-centered matrix of Szekely and Rizzo
    (2014): zero on the diagonal, every row of sum zero, and `<K, L> / (n (n - 3))`
    is the unbiased estimate HSIC_1 of Song et al. (2012). Off the diagonal, with
    k_i = |x_i|^2 and centered features, it is

        K_ij = x_i . x_j + (k_i + k_j) / (n - 2) - sum(k) / ((n - 1) (n - 2)).

    Args:
        spaces: arrays `[n, d]` with columns of mean zero and norms below one.
        unbiased: whether to U-center.

    Returns:
        `[l, l]`, symmetric. Products of a U-centered matrix that is zero but for
        rounding are zero.

    Cost: n D^2 operations for D features in all, or n^2 D / 2 in blocks of 512 x
    512 where D is larger than n: memory D^2 or l * 512^2, never n^2.
    """
    if sum(space.shape[1] for space in spaces) >= len(spaces[0]):
        return _from_samples(spaces, unbiased=unbiased)
    if not unbiased:
        return _biased_from_features(spaces)
    products, trusted = _unbiased_from_features(spaces)
    if isinstance(trusted, jax.core.Tracer):
        return lax.cond(trusted, lambda: products, lambda: _from_samples(spaces, unbiased=True))
    return products if trusted else _from_samples(spaces, unbiased=True)


@jax.jit
def _biased_from_features(spaces: tuple[Float[Array, "n _"], ...]) -> Float[Array, "l l"]:
    return _symmetric(_in_feature_space(spaces))


@jax.jit
def _unbiased_from_features(
    spaces: tuple[Float[Array, "n _"], ...],
) -> tuple[Float[Array, "l l"], Bool[Array, ""]]:
    """The products, and whether the diagonal was little enough to be subtracted."""
    biased, norms = _in_feature_space(spaces), _squared_norms(spaces)
    products = _without_diagonal(biased, norms)
    trusted = jnp.diagonal(products) >= _TRUSTED_SHARE * jnp.diagonal(biased)
    return _symmetric(_without_rounding(products, norms)), jnp.all(trusted)


@partial(jax.jit, static_argnames="unbiased")
def _from_samples(
    spaces: tuple[Float[Array, "n _"], ...], *, unbiased: bool
) -> Float[Array, "l l"]:
    if not unbiased:
        return _symmetric(_in_sample_space(spaces, None))
    norms = _squared_norms(spaces)
    return _symmetric(_without_rounding(_in_sample_space(spaces, norms), norms))


def _squared_norms(spaces: tuple[Float[Array, "n _"], ...]) -> Float[Array, "l n"]:
    return jnp.stack([jnp.sum(space * space, axis=1) for space in spaces])


def _without_rounding(
    products: Float[Array, "l l"], norms: Float[Array, "l n"]
) -> Float[Array, "l l"]:
    """Zero for a U-centered matrix that is zero but for rounding."""
    present = jnp.diagonal(products) > _ROUNDING_SHARE * jnp.sum(norms, axis=1) ** 2
    return jnp.where(present[None] & present[:, None], products, 0.0)


def _symmetric(products: Float[Array, "l l"]) -> Float[Array, "l l"]:
    """A matrix of pairs, made symmetric to the last bit."""
    return (products + products.T) / 2


def _in_feature_space(spaces: tuple[Float[Array, "n _"], ...]) -> Float[Array, "l l"]:
    """Sums of squares over the blocks of one cross-product."""
    joined = jnp.concatenate(spaces, axis=1)
    squares = matmul(joined.T, joined) ** 2
    widths = [space.shape[1] for space in spaces]
    owner = jnp.asarray(np.repeat(np.eye(len(spaces), dtype=np.float32), widths, axis=1))
    return matmul(matmul(owner, squares), owner.T)


def _without_diagonal(
    products: Float[Array, "l l"], norms: Float[Array, "l n"]
) -> Float[Array, "l l"]:
    """U-centered products from biased ones: what the diagonal and its removal add."""
    n, totals = norms.shape[1], jnp.sum(norms, axis=1)
    # As a float: of many points the product is no int32.
    correction = totals[None] * totals[:, None] / float((n - 1) * (n - 2))
    return products - n / (n - 2) * matmul(norms, norms.T) + correction


def _in_sample_space(
    spaces: tuple[Float[Array, "n _"], ...], norms: Float[Array, "l n"] | None
) -> Float[Array, "l l"]:
    """Sums over blocks of all Gram matrices at once, those on and above the diagonal."""
    n = len(spaces[0])
    count = -(-n // _GRAM_BLOCK)
    size = -(-n // count)

    def add(total: Array, block: Int[Array, "2"]) -> tuple[Array, None]:
        # The last block ends with the last row, and leaves out what the one before had.
        starts = jnp.minimum(block * size, n - size)
        rows, columns = starts[:, None] + jnp.arange(size)[None]
        first, second = block * size
        mask = (rows >= first)[:, None] & (columns >= second)[None]
        if norms is not None:
            mask &= rows[:, None] != columns[None]
        grams = _block_of_grams(spaces, norms, starts, size)
        weighted = grams * jnp.where(mask, jnp.where(first < second, 2.0, 1.0), 0.0)[None]
        flat = (len(spaces), size * size)
        return total + matmul(weighted.reshape(flat), grams.reshape(flat).T), None

    blocks = jnp.stack(jnp.triu_indices(count), axis=1)
    return lax.scan(add, jnp.zeros((len(spaces), len(spaces)), jnp.float32), blocks)[0]


def _block_of_grams(
    spaces: tuple[Float[Array, "n _"], ...],
    norms: Float[Array, "l n"] | None,
    starts: Int[Array, "2"],
    size: int,
) -> Float[Array, "l b b"]:
    def block(space: Array, start: Array, axis: int = 0) -> Array:
        return lax.dynamic_slice_in_dim(space, start, size, axis)

    grams = jnp.stack([matmul(block(s, starts[0]), block(s, starts[1]).T) for s in spaces])
    if norms is None:
        return grams
    n = norms.shape[1]
    row, column = block(norms, starts[0], 1)[:, :, None], block(norms, starts[1], 1)[:, None]
    mean = jnp.sum(norms, axis=1)[:, None, None] / (n - 1)
    return grams + (row + column - mean) / (n - 2)


def rbf_gram(x: ArrayLike, *, bandwidth: float) -> Float[Array, "n n"]:
    """The centered Gram matrix of a Gaussian kernel whose width follows the data.

    `exp(-|x_i - x_j|^2 / (2 s^2))` with `s^2 = bandwidth^2` times the median of all
    n^2 squared distances, the n zeros of the diagonal included, in units of the
    kernel's largest distance from 1. NaN where that median is zero.
    """
    (points,) = as_points(x, filled=filled_length)
    n = len(x)
    squared = jax.device_put(distances_in_units(points, points, n, n))
    middle = median(np.asarray(squared) if is_on_host(squared) else squared)
    return _rbf_gram(squared, bandwidth, middle)


@jax.jit
def _rbf_gram(
    squared: Float[Array, "n n"], bandwidth: Float[Array, ""], middle: Float[Array, ""]
) -> Float[Array, "n n"]:
    # Less one, which centering removes: a wide kernel is all ones but for its last digits.
    kernel = jnp.expm1(squared * (1 / middle) * (-0.5 / bandwidth**2))
    means = jnp.mean(kernel, axis=0)
    centered = kernel - means[None] - (means - jnp.mean(means))[:, None]
    # Else the squares of the entries of a wide kernel would be too small for float32.
    return centered / jnp.max(jnp.abs(kernel))


def median(values: Float[EitherArray, "..."]) -> Float[EitherArray, ""]:
    """Median of numbers that are not negative."""
    if isinstance(values, np.ndarray):
        size = values.size
        middle = np.partition(values.ravel(), ((size - 1) // 2, size // 2))
        lower, upper = middle[(size - 1) // 2], middle[size // 2]
        return lower + (upper - lower) / 2
    return _median_by_counting(values)


@jax.jit
def _median_by_counting(values: Float[Array, "..."]) -> Float[Array, ""]:
    """The median on an accelerator, where a sort would take far longer."""
    size = values.size
    # Such floats are ordered as their bits are, read as integers.
    bits = as_bits(values)

    def at_most(bound: Int[Array, ""]) -> Int[Array, ""]:
        return jnp.sum(bits <= bound, dtype=jnp.uint32)

    def narrow(step: int, low: Int[Array, ""]) -> Int[Array, ""]:
        # The largest number that no more than half of the others lie below.
        middle = low | (jnp.uint32(1) << jnp.uint32(30 - step))
        return jnp.where(at_most(middle - 1) <= (size - 1) // 2, middle, low)

    low = lax.fori_loop(0, 31, narrow, jnp.uint32(0))
    above = jnp.min(jnp.where(bits > low, bits, jnp.uint32(0x7F800000)))
    high = jnp.where(at_most(low) > size // 2, low, above)
    lower, upper = from_bits(jnp.stack([low, high]))
    return lower + (upper - lower) / 2
