"""The loss of a run over its training, kept beside its snapshots.

RUN/curve.json holds, at about 200 steps, the mean of the loss and of its terms over the steps
since the one before. Where the windows begin depends on the speed of the machine.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.files.reading import content, is_regular
from jaxvae.files.whole import write_text_whole
from jaxvae.training.progress import Progress

CURVE = "curve.json"
_ROWS = 200


class Curve(NamedTuple):
    """Means over windows of training.

    Attributes:
        steps: at which windows end, ascending.
        means: means of every window, nats per image: `loss` and the terms of the objective by name.
        begun: the step at which the first window begins: not 0 where a run began with another.
    """

    steps: list[int]
    means: dict[str, list[float]]
    begun: int = 0


def read_curve(folder: Path) -> Curve:
    """The curve of a run; empty where none was kept, and where it is damaged.

    Raises:
        OSError: where it cannot be read.
    """
    file = folder / CURVE
    try:
        curve = json.loads(content(file)) if is_regular(file) else {}
        steps, means, begun = curve["steps"], curve["means"], curve.get("begun", 0)
        rows = [steps, *means.values()]
        whole = "loss" in means and len({*map(len, rows)}) == 1 and type(begun) is int
        if whole and all(map(_are_numbers, rows)):
            return Curve(steps, means, begun)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return Curve([], {})


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) in (int, float) for each in values)


@contextmanager
def kept_curve(
    folder: Path, *, first: int, last: int, begun: int = 0
) -> Iterator[Callable[[Progress], None]]:
    """Keep the curve of a training, also where the block is interrupted or fails.

    Args:
        folder: folder of the run.
        first: the step from which it goes on; what the curve has beyond it is dropped.
        last: the step that it is to reach.
        begun: steps of another run that this one began with.

    Yields:
        A callback for `jaxvae.training.train`, to `record`.

    Raises:
        OSError: where what is there of the curve cannot be read, or nothing can be written.
    """
    before = read_curve(folder)
    rows: list[dict[str, Any]] = [
        {"step": step, **{name: values[index] for name, values in before.means.items()}}
        for index, step in enumerate(before.steps)
        if step <= first
    ]
    start, opened, reached, sums = before.begun, first, first, dict[str, float]()

    def close() -> None:
        nonlocal start, opened
        if reached > opened:
            means = {name: total / (reached - opened) for name, total in sums.items()}
            # An objective whose terms have other names by now begins a curve of its own.
            rows[:] = [row for row in rows if row.keys() - {"step"} == means.keys()]
            start = start if rows else opened
            rows.append({"step": reached, **means})
            opened = reached
            sums.clear()
            _write(folder, rows, start)

    def report(progress: Progress) -> None:
        nonlocal reached
        for name, value in {"loss": progress.loss, **progress.terms}.items():
            sums[name] = sums.get(name, 0.0) + value * (progress.step - reached)
        reached = progress.step
        if reached - opened >= (last - begun) / _ROWS:
            close()

    try:
        yield report
    except BaseException:
        with suppress(OSError):  # which is not why training ended
            close()
        raise
    close()


def _write(folder: Path, rows: list[dict[str, Any]], begun: int) -> None:
    means = {name: [row[name] for row in rows] for name in rows[0] if name != "step"}
    steps = [row["step"] for row in rows]
    text = json.dumps({"begun": begun, "steps": steps, "means": means}) + "\n"
    write_text_whole(folder / CURVE, text)
