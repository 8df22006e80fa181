"""Functions that all benchmarks share: a fair timing loop, and a saved record."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


def interleaved_times(
    candidates: dict[str, Callable[[], Any]], repeats: int
) -> dict[str, list[float]]:
    """Wall-clock seconds of every candidate, called in turn: A B A B.

    Taking turns exposes all of them to the same drift of a shared machine. One call of
    each comes first, unrecorded, to compile and to warm the caches.

    Args:
        candidates: functions by name; the JAX arrays that they return are waited for.
        repeats: recorded calls of each.
    """
    for candidate in candidates.values():
        jax.block_until_ready(candidate())
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            jax.block_until_ready(candidate())
            times[name].append(time.perf_counter() - start)
    return times


def save(path: Path, described: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """Write the machine and one record per measurement as JSON.

    Args:
        path: the file; its folder is made.
        described: the result of `machine`, taken before the measurements.
        records: sizes, times and ratio of every case.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": described, "records": records}, indent=2) + "\n")
