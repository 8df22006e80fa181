"""Any number of rows through a program that is compiled for few sizes of a batch."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxvae.files.refusals import as_count
from jaxvae.typing import ArrayLike


def in_batches(program: Callable[[Any], Any], rows: Any, batch_size: int) -> Any:
    """The results of a program, joined on the host.

    Args:
        program: from `[b, ...]` to arrays `[b, ...]`, of which a row depends on its own row alone.
        rows: `[n, ...]`, or a tree of such arrays. The last batch, or the only one, is filled up.
        batch_size: rows at a time.

    Raises:
        ValueError: for batches of less than one row.
    """
    refusal = f"expected a batch_size of at least 1, got {batch_size}"
    n = len(jax.tree.leaves(rows)[0])
    size = min(as_count(batch_size, refusal, least=1), padded_count(n))

    def results() -> Iterator[Any]:
        for at in range(0, n, size):
            count = min(size, n - at)
            batch = jax.tree.map(partial(_filled, at=at, size=size), rows)
            result = jax.device_get(program(batch))
            yield jax.tree.map(lambda leaf, count=count: leaf[:count], result)

    return jax.tree.map(lambda *parts: np.concatenate(parts), *results())


def padded_count(n: int) -> int:
    """The power of two from n on: another n up to it compiles nothing."""
    return 1 << (n - 1).bit_length()


def _filled(array: ArrayLike, *, at: int, size: int) -> np.ndarray:
    rows = np.asarray(array[at : at + size])
    missing = size - len(rows)
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
