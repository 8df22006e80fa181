"""One row of the table: ours, the bare product and the peers, called in turns."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.peers import clouds
from benchmarks.peers.environments import OURS, Answer, Peer, PeerError, Worker

PRODUCTS = ("product in blocks of 100", "product in blocks of 1000")
# Enough to load what a library loads late and to start its threads.
WARM_UP_ROWS = 500
# Once its calls took so many seconds, a candidate has no more turns. A first call that
# took longer is counted: compilation is a small part of it.
LONG = 120.0

Candidate = Callable[[int | None], Answer]


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        work: what it says.
        function: its name in every worker.
        cloud: kind and sizes, see `benchmarks.peers.clouds`.
        peers: how many times faster ours should be, by peer; 0 for no target.
        spaces: which of the cloud's files; none for all.
        rounds: calls of ours.
        peer_rounds: calls of each peer.
        bare: whether to time the bare product, too.
        most_products: how many times that ours may take, if there is a target.
        most_seconds: how long ours may take, if there is a target.
        most_bytes: how much memory ours may take, if there is a target.
    """

    work: str
    function: str
    cloud: tuple[str | int, ...]
    peers: dict[str, float]
    spaces: tuple[int, ...] = ()
    rounds: int = 5
    peer_rounds: int = 3
    bare: bool = True
    most_products: float | None = None
    most_seconds: float | None = None
    most_bytes: float | None = None


class Session(NamedTuple):
    """The interpreters of all peers, and the data, which all rows share."""

    pythons: dict[Peer, Path]
    data: Path

    def inputs(self, row: Row) -> list[Path]:
        """The files of the inputs of a row."""
        kind, *sizes = row.cloud
        paths = clouds.files(self.data, kind, *sizes)
        return [paths[index] for index in row.spaces] or paths


class Run(NamedTuple):
    """The results of a row by candidate: every answer, what failed and why, and memory."""

    answers: dict[str, list[Answer]]
    failures: dict[str, str]
    peak_bytes: dict[str, int]


def measured(row: Row, session: Session) -> dict[str, Any]:
    """Time all candidates of a row in turns, in fresh processes."""
    inputs, run = session.inputs(row), Run({}, {}, {})
    workers: dict[str, Worker] = {}
    for peer, python in session.pythons.items():
        if peer is OURS or peer.name in row.peers:
            with _failing_into(run.failures, peer.name):
                workers[peer.name] = Worker(peer, python)
    candidates = candidates_of(row, inputs, workers) if OURS.name in workers else {}
    for turn in range(-1, row.rounds):
        for name, candidate in candidates.items():
            theirs = name in row.peers
            if {name, OURS.name} & set(run.failures) or (theirs and turn >= row.peer_rounds):
                continue
            if sum(answer.seconds for answer in run.answers.get(name, ())) > LONG:
                continue
            with _failing_into(run.failures, name):
                answer = candidate(WARM_UP_ROWS if theirs and turn < 0 else None)
                if turn >= 0 or answer.seconds > LONG:
                    run.answers.setdefault(name, []).append(answer)
    run.peak_bytes.update({name: worker.close() for name, worker in workers.items()})
    return record(row, inputs, run)


def candidates_of(
    row: Row, inputs: Sequence[Path], workers: dict[str, Worker]
) -> dict[str, Candidate]:
    """The candidates that take turns: ours, the bare product, and the peers; each of some rows."""

    def call(worker: Worker, work: str) -> Candidate:
        return lambda limit: worker.call(work, inputs, limit)

    candidates = {name: call(worker, row.function) for name, worker in workers.items()}
    if "NumPy" in candidates:
        candidates["NumPy"] = lambda limit: pair_loop(workers["NumPy"], row.function, inputs, limit)
    if row.bare:
        candidates |= {work: call(workers[OURS.name], work) for work in PRODUCTS}
    return candidates


def pair_loop(worker: Worker, function: str, inputs: Sequence[Path], limit: int | None) -> Answer:
    """A loop over pairs of spaces, of which one for every two widths is run."""
    widths = [shape(path)[1] for path in inputs]
    pairs = [(i, j) for j in range(len(inputs)) for i in range(j)]
    kinds = Counter(tuple(sorted((widths[i], widths[j]))) for i, j in pairs)
    matrix, seconds, cpu_seconds = np.full((len(inputs), len(inputs)), np.nan), 0.0, 0.0
    for i, j in pairs:
        alike = kinds.pop(tuple(sorted((widths[i], widths[j]))), 0)
        if alike:
            answer = worker.call(function, (inputs[i], inputs[j]), limit)
            matrix[i, j], seconds = answer.value, seconds + alike * answer.seconds
            cpu_seconds += alike * answer.cpu_seconds
    return Answer(seconds, cpu_seconds, matrix.tolist())


def record(row: Row, inputs: Sequence[Path], run: Run) -> dict[str, Any]:
    """All times of a row, what follows from them, and which targets are met."""
    if OURS.name in run.failures:
        return row._asdict() | {"failures": run.failures}
    median = {name: statistics.median(a.seconds for a in got) for name, got in run.answers.items()}
    shapes, ours = [shape(path) for path in inputs], median[OURS.name]
    peers = [name for name in row.peers if name in median]
    values = {name: run.answers[name][-1].value for name in (OURS.name, *peers)}
    product = min((median[work] for work in PRODUCTS if work in median), default=None)
    result = row._asdict() | {
        "shapes": shapes,
        "seconds": {name: [a.seconds for a in got] for name, got in run.answers.items()},
        "median": median,
        "ratio": {name: median[name] / ours for name in peers},
        "extrapolated": [name for name in peers if name == "NumPy"],
        "product": product,
        "products": product and ours / product,
        "operations": sum(2 * n * n * d for n, d in shapes),
        "input_bytes": sum(path.stat().st_size for path in inputs),
        "peak_bytes": run.peak_bytes,
        "values": {name: finite(value) for name, value in values.items()},
        "differences": {name: difference(values[OURS.name], values[name]) for name in peers},
        "failures": run.failures,
    }
    return result | {"targets": targets(row, result)}


def targets(row: Row, result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets and the results, by peer, or "product", "seconds" and "bytes"."""
    most = {
        "product": (row.most_products, result["products"]),
        "seconds": (row.most_seconds, result["median"][OURS.name]),
        "bytes": (row.most_bytes, result["peak_bytes"][OURS.name]),
    }
    results = {
        name: {"at_most": bound, "got": got, "met": got <= bound}
        for name, (bound, got) in most.items()
        if bound
    }
    for name, ratio in result["ratio"].items():
        least = row.peers[name]
        if least:
            results[name] = {"at_least": least, "got": ratio, "met": ratio >= least}
    return results


def difference(ours: Any, theirs: Any) -> float | None:
    """The largest, relative to the largest number; None where one of them gives none.

    NaN in a matrix of theirs is a pair that they left out.
    """
    one, other = np.asarray(ours), np.asarray(theirs)
    known = ~np.isnan(other)
    if not (known.any() and np.isfinite(one[known]).all() and np.isfinite(other[known]).all()):
        return None
    return float(np.abs(one - other)[known].max() / np.abs(one[known]).max())


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null in their place."""
    array = np.asarray(value)
    return np.where(np.isfinite(array), array, None).tolist()


def shape(path: Path) -> tuple[int, int]:
    return np.load(path, mmap_mode="r").shape


@contextmanager
def _failing_into(failures: dict[str, str], name: str) -> Iterator[None]:
    """Keep the reason of a failure, and go on."""
    try:
        yield
    except PeerError as error:
        failures[name] = str(error)
