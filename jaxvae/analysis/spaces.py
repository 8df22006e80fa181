"""Representations as they are given: the same points, chosen rows, real and finite numbers."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxvae.metrics.resample import generator_of
from jaxvae.typing import ArrayLike, Key


def same_points(representations: Mapping[str, ArrayLike], labels: ArrayLike | None) -> int:
    """Check shapes and types; the number of points."""
    if not representations:
        raise ValueError("expected at least one representation, got none")
    for name, array in representations.items():
        if array.ndim < 2 or 0 in array.shape:
            raise ValueError(
                f"{name}: expected an array [n, ...] of points with features, "
                f"got shape {array.shape}; n scalars are [n, 1]"
            )
        real = jnp.issubdtype(array.dtype, np.number) or array.dtype == bool
        if not real or jnp.issubdtype(array.dtype, np.complexfloating):
            raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    lengths = {name: len(array) for name, array in representations.items()}
    if labels is not None:
        if labels.ndim != 1:
            raise ValueError(f"labels: expected one for every point [n], got shape {labels.shape}")
        lengths["labels"] = len(labels)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
        raise ValueError(f"expected the same number of points in every space, got {listed}")
    return next(iter(lengths.values()))


def choose_rows(key: Key, available: int, points: int | None) -> np.ndarray:
    """At most so many random rows, in their order."""
    if points is not None and points < 3:
        raise ValueError(f"expected at least 3 points, got points = {points}")
    if points is None or points >= available:
        return np.arange(available)
    return np.sort(generator_of(key).permutation(available)[:points])


def finite_rows(name: str, array: ArrayLike, rows: np.ndarray, available: int) -> ArrayLike:
    """The chosen rows in memory, once they are known to be finite."""
    if isinstance(array, np.ndarray):
        array = np.asarray(array) if len(rows) == available else array[rows]
    elif len(rows) < available:
        array = array[jnp.asarray(rows)]
    if jnp.issubdtype(array.dtype, jnp.floating):
        finite = np.isfinite(np.asarray(array)).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            row = rows[np.argmin(finite)]
            raise ValueError(f"{name}: expected finite values, got NaN or infinity in row {row}")
    return array


def as_classes(labels: ArrayLike) -> Int[np.ndarray, " n"]:
    """Labels of any kind as whole numbers from 0."""
    return np.unique(np.asarray(labels), return_inverse=True)[1]
