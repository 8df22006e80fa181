"""Aliases that the package shares: of arrays, and of the shape of an image."""

from typing import Any, TypeAlias

import jax
import numpy as np

ArrayLike: TypeAlias = jax.Array | np.ndarray
Key: TypeAlias = jax.Array
# Arrays in code whose lines take both NumPy's, on the host, and JAX's, on a device and while it
# traces.
EitherArray: TypeAlias = Any
# Height, width and channels.
ImageShape: TypeAlias = tuple[int, int, int]
