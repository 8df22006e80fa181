"""Array aliases shared by the package."""

from typing import TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.Array | np.ndarray
Key: TypeAlias = jax.Array
