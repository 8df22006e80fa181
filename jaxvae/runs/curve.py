"""The loss of a run over its training, kept beside its snapshots.

RUN/curve.json holds, at about 200 steps, the mean of the loss and of its terms over the steps
since the one before. Where the windows begin depends on the speed of the machine.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.files.whole import write_whole
from jaxvae.training.epochs import Progress

CURVE = "curve.json"
_ROWS = 200


class Curve(NamedTuple):
    """Means over windows of training.

    Attributes:
        steps: at which windows end, ascending.
        means: means of every window, nats per image: `loss` and the terms of the objective by name.
    """

    steps: list[int]
    means: dict[str, list[float]]


def read_curve(folder: Path) -> Curve:
    """The curve of a run; empty where none was kept, and where it is damaged."""
    try:
        curve = json.loads((folder / CURVE).read_text(encoding="utf-8"))
        steps, means = curve["steps"], curve["means"]
        rows = [steps, *means.values()]
        if "loss" in means and all(map(_are_numbers, rows)) and len({*map(len, rows)}) == 1:
            return Curve(steps, means)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return Curve([], {})


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) in (int, float) for each in values)


@contextmanager
def kept_curve(folder: Path, *, first: int, last: int) -> Iterator[Callable[[Progress], None]]:
    """Keep the curve of a training, also where the block is interrupted or fails.

    Args:
        folder: folder of the run.
        first: the step from which it goes on; what the curve has beyond it is dropped.
        last: the step that it is to reach.

    Yields:
        A callback for `jaxvae.training.train`.
    """
    before = read_curve(folder)
    rows: list[dict[str, Any]] = [
        {"step": step, **{name: values[index] for name, values in before.means.items()}}
        for index, step in enumerate(before.steps)
        if step <= first
    ]
    begun, reached, sums = first, first, dict[str, float]()

    def close() -> None:
        nonlocal begun
        if reached > begun:
            means = {name: total / (reached - begun) for name, total in sums.items()}
            # An objective whose terms have other names by now begins a curve of its own.
            rows[:] = [row for row in rows if row.keys() - {"step"} == means.keys()]
            rows.append({"step": reached, **means})
            begun = reached
            sums.clear()
            _write(folder, rows)

    def report(progress: Progress) -> None:
        nonlocal reached
        for name, value in {"loss": progress.loss, **progress.terms}.items():
            sums[name] = sums.get(name, 0.0) + value * (progress.step - reached)
        reached = progress.step
        if reached - begun >= last / _ROWS:
            close()

    try:
        yield report
    finally:
        close()


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    means = {name: [row[name] for row in rows] for name in rows[0] if name != "step"}
    text = json.dumps({"steps": [row["step"] for row in rows], "means": means}) + "\n"
    write_whole(folder / CURVE, lambda part: part.write_text(text, encoding="utf-8"))
