"""The peer's side of a benchmark: times one call on request, over stdin and stdout.

A worker lives as long as its row of the table, so imports are outside of what is timed
and calls of several libraries can take turns. A request is a line of JSON,
`{"work", "inputs", "rows"}`; the answer is `{"seconds", "cpu_seconds", "value"}` or
`{"error"}`.
Imports nothing but NumPy: every environment can run it.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

Work = Callable[..., Any]


def versions(*packages: str) -> dict[str, str]:
    """The installed versions, by package."""
    return {package: metadata.version(package) for package in packages}


def cores() -> int:
    """Cores that this process may use: fewer than the machine has, where `taskset` says so."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def serve(works: dict[str, Work], described: dict[str, Any], prepare: Work = np.asarray) -> None:
    """Answer requests until stdin ends.

    Args:
        works: functions of arrays by name. They return when the answer is there, as
            numbers in any nesting.
        described: versions and the like, sent first.
        prepare: NumPy array, or several by name -> what the functions take; outside of what
            is timed.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    answer(described=described)
    held: dict[tuple[str, int | None], Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            wanted = [(path, request["rows"]) for path in request["inputs"]]
            held = {key: array for key, array in held.items() if key in wanted}
            for path, rows in wanted:
                if (path, rows) not in held:
                    held[path, rows] = prepare(_read(path, rows))
            answer(**_timed(works[request["work"]], [held[key] for key in wanted]))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")


def two_nn_fit(nearest: np.ndarray, second: np.ndarray) -> float:
    """TwoNN from the two nearest distances, without a tenth, for peers that only search."""
    log_ratios = np.sort(np.log(second / nearest))
    count = int(len(log_ratios) * 0.9)
    x = log_ratios[:count]
    y = -np.log1p(-np.arange(1, count + 1) / len(log_ratios))
    return float(x @ y / (x @ x))


def _read(path: str, rows: int | None) -> Any:
    """The first rows of an array, or all arrays of a file by name."""
    arrays = np.load(path)
    return arrays[:rows] if isinstance(arrays, np.ndarray) else dict(arrays)


def _timed(work: Work, arrays: list[Any]) -> dict[str, Any]:
    start, cpu_start = time.perf_counter(), time.process_time()
    value = work(*arrays)
    cpu_seconds, seconds = time.process_time() - cpu_start, time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "value": np.asarray(value, np.float64).tolist(),
    }
