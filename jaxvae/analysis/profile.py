"""The geometry of every layer of a model: dimension and information imbalance."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.metrics.dimension import Dimension, two_nn
from jaxvae.metrics.imbalance import imbalance_matrix
from jaxvae.typing import ArrayLike, Key


class Profile(NamedTuple):
    """Geometry of l layers over the same n examples.

    Attributes:
        layers: their names, in depth order.
        dimension: `[l]`, TwoNN intrinsic dimension; NaN for a constant layer.
        stderr: `[l]`, its standard error within this one sample of examples.
        points: `[l]`, distinct examples that each dimension rests on.
        imbalance: `[l, l]`, entry `[i, j]` is Delta(layer i -> layer j), k = 1.
    """

    layers: tuple[str, ...]
    dimension: Float[np.ndarray, " l"]
    stderr: Float[np.ndarray, " l"]
    points: Int[np.ndarray, " l"]
    imbalance: Float[np.ndarray, "l l"]


def profile(taps: Mapping[str, ArrayLike]) -> Profile:
    """Intrinsic dimension of every layer, and imbalance between all of them.

    Args:
        taps: layers by name, each `[n, ...]`, such as `capture` returns.

    Returns:
        `Profile`, on the host.

    Raises:
        ValueError: for no layers, layers of different n, fewer than 3 examples, and NaN or
            infinite activations.

    Reference: Facco, d'Errico, Rodriguez and Laio (2017) for the dimension; Glielmo, Zeni, Cheng,
    Csanyi and Laio (2022) for the imbalance.
    """
    dimensions = [two_nn(tap) for tap in taps.values()]
    value, stderr, points = (
        np.array([getattr(dimension, field) for dimension in dimensions])
        for field in Dimension._fields
    )
    imbalance = np.asarray(imbalance_matrix(list(taps.values())))
    return Profile(tuple(taps), value, stderr, points, imbalance)


def unknown_profile(layers: Sequence[str]) -> Profile:
    """The profile of a model that has failed: NaN, with the types of `profile`."""
    count = len(layers)
    none = np.full(count, np.nan, np.float32)
    matrix = np.full((count, count), np.nan, np.float32)
    return Profile(tuple(layers), none, none, np.zeros(count, np.int32), matrix)


def gaussian_dimension(
    key: Key, *, n: int, features: int, clouds: int = 8, room: int | None = None
) -> tuple[float, float]:
    """The TwoNN dimension of a standard Gaussian, which is the null of a sampled bottleneck.

    TwoNN underestimates a high dimension at finite n. A posterior that only
    copies the prior has this dimension and no information.

    Args:
        key: key of the clouds.
        n: points in a cloud.
        features: dimensions of the Gaussian.
        clouds: independent clouds averaged over, at least 2.
        room: columns of the arrays, those beyond `features` zero, which changes no distance:
            one program for several dimensions. None for no more than `features`.

    Returns:
        Mean over the clouds, and the standard deviation of one cloud.

    Raises:
        ValueError: for what is no key, fewer than 3 points, no features, fewer than 2 clouds, and
            room for fewer than `features`.
    """
    refuse_no_key(key)
    as_count(features, f"expected at least 1 feature, got features={features}", least=1)
    as_count(clouds, f"expected at least 2 clouds, got clouds={clouds}", least=2)
    columns = features if room is None else room
    as_count(columns, f"expected room for {features} features, got room={room}", least=features)
    is_feature = np.arange(columns)[None] < features

    def dimension(cloud_key: Key) -> float:
        cloud = jax.random.normal(cloud_key, (n, columns), jnp.float32)
        return float(two_nn(jnp.where(is_feature, cloud, 0.0)).value)

    values = [dimension(cloud_key) for cloud_key in jax.random.split(key, clouds)]
    return float(np.mean(values)), float(np.std(values, ddof=1))
