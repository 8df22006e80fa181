"""Representations as they are given: the same points, chosen rows, real and finite numbers."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_classes, as_point_array, as_row_array
from jaxvae.metrics.resample import generator_of
from jaxvae.typing import ArrayLike, Key


def as_spaces(
    representations: Mapping[str, ArrayLike], labels: ArrayLike | None
) -> tuple[dict[str, ArrayLike], Int[np.ndarray, " n"] | None]:
    """Arrays `[n, ...]` of the same n by name, and labels as classes.

    Raises:
        ValueError: for no spaces, what is no array of points or labels, and different n.
    """
    if not representations:
        raise ValueError("expected at least one representation, got none")
    spaces = {name: _as_space(name, array) for name, array in representations.items()}
    lengths = {name: len(array) for name, array in spaces.items()}
    if labels is not None:
        labels = as_row_array(labels)
        if len(labels.shape) != 1:
            raise ValueError(f"labels: expected one for every point [n], got shape {labels.shape}")
        lengths["labels"] = len(labels)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
        raise ValueError(f"expected the same number of points in every space, got {listed}")
    return spaces, None if labels is None else as_classes(labels, len(labels))


def _as_space(name: str, array: ArrayLike) -> ArrayLike:
    try:
        return as_point_array(array)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def choose_rows(key: Key, available: int, points: int | None) -> np.ndarray:
    """A random choice of at most `points` rows, in their order."""
    if points is not None:
        points = as_count(points, f"expected at least 3 points, got points = {points}", least=3)
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
