"""Cost and memory against the number of points: n^2 in time, a block times n in memory.

    python -m benchmarks.scale [--quick] [--full] [--out FILE]

TwoNN of a standard Gaussian cloud in 32 dimensions, and the information imbalance in both
directions between two related spaces of 784, for n from 2,500 to 40,000: medians of calls,
an exponent fitted to the times against n, and docs/figures/scale/cost.png. Expected: no
more than 2.

`--full` adds the sizes at which a matrix of n x n does not fit, each in a process of its own
whose peak memory the kernel counts: the imbalance at n = 60,000 (n x n would take 14.4 GB a
space) and TwoNN at n = 200,000 (160 GB). Expected: at most 2 GiB above the inputs, what Python
and JAX themselves take included. These are called once, so their time includes compilation.
Ten minutes on two quiet cores, and as many for `--full`; one with `--quick`.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.peers import clouds
from benchmarks.peers.environments import OURS, Worker
from jaxvae.commands.arguments.paths import as_path
from jaxvae.report.style import figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scale.json"
FIGURE = ROOT / "docs" / "figures" / "scale" / "cost.png"
SIZES, QUICK_SIZES = (2500, 5000, 10_000, 20_000, 40_000), (500, 1000, 2000)
REPEATS = 3
GIB = 2**30
MOST_BYTES = 2 * GIB


class Work(NamedTuple):
    """A metric, its cloud at n points, and the n of `--full`."""

    name: str
    function: str
    kind: str
    features: int
    full: int

    def inputs(self, data: Path, n: int) -> list[Path]:
        """The files of n points."""
        return clouds.files(data, self.kind, n, self.features)


WORKS = (
    Work("TwoNN, d = 32", "two_nn", "gaussian", 32, full=200_000),
    Work("information imbalance, d = 784", "information_imbalance", "ordinary", 784, full=60_000),
)


def timed(work: Work, sizes: Sequence[int], data: Path, console: Console) -> dict[str, Any]:
    """Times of all sizes, called in turns after one call each, and the fitted exponent."""
    worker = Worker(OURS, Path(sys.executable))
    inputs = {n: work.inputs(data, n) for n in sizes}
    seconds: dict[int, list[float]] = {n: [] for n in sizes}
    for turn in range(-1, REPEATS):
        for n in sizes:
            answer = worker.call(work.function, inputs[n])
            if turn >= 0:
                seconds[n].append(answer.seconds)
    worker.close()
    median = [statistics.median(seconds[n]) for n in sizes]
    exponent = float(np.polyfit(np.log(sizes), np.log(median), 1)[0])
    console.print(f"{work.name}: time grows as n^{exponent:.2f}")
    return work._asdict() | {
        "sizes": list(sizes),
        "seconds": list(seconds.values()),
        "median": median,
        "exponent": exponent,
    }


def largest(work: Work, data: Path, console: Console) -> dict[str, Any]:
    """Time and memory of one call at the size of `--full`, in a process of its own."""
    inputs, worker = work.inputs(data, work.full), Worker(OURS, Path(sys.executable))
    console.print(f"{work.name}: n = {work.full:,} ...")
    answer = worker.call(work.function, inputs)
    peak, held = worker.close(), sum(path.stat().st_size for path in inputs)
    return work._asdict() | {
        "n": work.full,
        "seconds": answer.seconds,
        "value": answer.value,
        "input_bytes": held,
        "peak_bytes": peak,
        "above_inputs": peak - held,
        "at_most": MOST_BYTES,
        "met": peak - held <= MOST_BYTES,
    }


def draw(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Time against n, with lines of slope two through the largest sizes."""
    with figure(path, size=(5.5, 4), title="Time of a metric against the number of points") as page:
        axes = page.add_subplot(xlabel="points n", ylabel="seconds", xscale="log", yscale="log")
        for record in records:
            n, median = np.array(record["sizes"]), record["median"]
            label = f"{record['name']}: $n^{{{record['exponent']:.2f}}}$"
            axes.plot(n, median[-1] * (n / n[-1]) ** 2, color="0.6", linestyle="--", linewidth=1)
            axes.plot(n, median, marker="o", label=label)
        axes.plot([], [], color="0.6", linestyle="--", linewidth=1, label="$n^2$")
        axes.set_xticks(n, [f"{size:,}" for size in n])
        axes.xaxis.minorticks_off()
        axes.legend()


def table(records: Sequence[dict[str, Any]]) -> Table:
    result = Table(title="One call in a process of its own; GiB")
    for heading in ("work", "n", "seconds", "inputs", "peak", "above inputs", "at most", "met"):
        result.add_column(heading, justify="left" if heading == "work" else "right")
    for row in records:
        sizes = (row["input_bytes"], row["peak_bytes"], row["above_inputs"], row["at_most"])
        cells = [f"{row['n']:,}", f"{row['seconds']:.1f}", *(f"{b / GIB:.2f}" for b in sizes)]
        result.add_row(row["name"], *cells, "yes" if row["met"] else "NO")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--full", action="store_true", help="the largest sizes, and memory")
    parser.add_argument("--out", type=as_path, help="JSON file to write; the figure goes beside it")
    options = parser.parse_args()
    console = Console()
    probe = Worker(OURS, Path(sys.executable))
    described = probe.described
    probe.close()
    sizes = QUICK_SIZES if options.quick else SIZES
    with tempfile.TemporaryDirectory() as data:
        curves = [timed(work, sizes, Path(data), console) for work in WORKS]
        full = [largest(work, Path(data), console) for work in WORKS if options.full]
    name = RESULTS.with_stem("scale-quick") if options.quick else RESULTS
    out = options.out or name
    measure.save(out, described, curves + full)
    draw(curves, out.with_suffix(".png") if options.out or options.quick else FIGURE)
    if full:
        console.print(table(full))
    console.print(f"{described['cpu']} x {described['cpu_count']}, {described['device']}: {out}")


if __name__ == "__main__":
    main()
