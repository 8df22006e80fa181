"""`jaxvae measure`: dimension, imbalance and similarity of arrays."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from jaxvae import __version__
from jaxvae.analysis.measure import Progress, measure
from jaxvae.analysis.registry import METRICS
from jaxvae.commands.folder import whole_results
from jaxvae.data.arrays import read_array, read_arrays
from jaxvae.report.measurement import as_records, metrics_of, title
from jaxvae.report.measurement_figures import draw_measurements
from jaxvae.report.measurement_tables import summary, table

_EXAMPLES = """\
examples:
  jaxvae measure pixels.npy mean.npy
  jaxvae measure layers.npz --metrics id,imbalance,cka --out results/layers
  jaxvae measure layers.npz:mean,sample pixels.npy --points 5000 --seed 1
  jaxvae measure layers.npz --labels labels.npy --metrics label-overlap,overlap --k 10

Arrays are [n, ...], the rows of all of them the same n points; trailing axes are flattened. A space
is named after its file, or its key in an archive. Results are printed; with --out DIR they are also
saved: DIR/records.nc (xarray), DIR/summary.md and DIR/figures/*.png.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    width = max(map(len, METRICS)) + 2
    listed = "\n".join(f"  {name:{width}}{metric.title}" for name, metric in METRICS.items())
    parser = commands.add_parser(
        "measure",
        help="dimension, imbalance and similarity of arrays in .npy and .npz files",
        description="Measure representations of the same points: each alone and each against each, "
        "with\nstandard errors, and beside every number its null: what data that hold nothing "
        "give.",
        epilog=f"metrics:\n{listed}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, after_interruption="Nothing was written.")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a .npy, a .npz (all its arrays) or .npz:KEY,KEY, or what `jaxvae capture` wrote: "
        "FOLDER or FOLDER:LAYER,LAYER",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        help="see below (default: id; for two spaces and more, also imbalance and cka; with "
        "--labels, also label-overlap)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="save results (default: print only)"
    )
    parser.add_argument("--labels", metavar="FILE", help="a class for every point [n]")
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        help="measure a random N of the points (default: all; time grows as N squared, and the "
        "dimension depends on N)",
    )
    parser.add_argument(
        "--k",
        metavar="K",
        type=int,
        help="neighbors (default: imbalance 1, overlaps 30, levina-bickel 20)",
    )
    parser.add_argument(
        "--parts",
        metavar="P",
        type=int,
        help="disjoint subsets that an error rests on (default: 10, fewer below 1,000 points)",
    )
    parser.add_argument(
        "--draws",
        metavar="M",
        type=int,
        default=5,
        help="data sets made for every null, each as costly as the metric; 0 for none (default: 5)",
    )
    parser.add_argument(
        "--seed", metavar="S", type=int, default=0, help="of points, subsets and nulls (default: 0)"
    )


def _run(given: argparse.Namespace, console: Console, errors: Console) -> None:
    if not 0 <= given.seed < 2**32:
        raise ValueError(f"expected --seed of 0 to {2**32 - 1}, got {given.seed}")
    sources = read_arrays(given.files)
    labels = None if given.labels is None else read_array(given.labels)
    folder = whole_results(given.out) if given.out else nullcontext()
    with folder as part:
        with _progress(errors) as report:
            measurements = measure(
                {name: source.array for name, source in sources.items()},
                key=jax.random.key(given.seed),
                metrics=_metrics(given.metrics, len(sources), labels is not None),
                labels=labels,
                points=given.points,
                k=given.k,
                parts=given.parts,
                draws=given.draws,
                report=report,
            )
        records = as_records(
            measurements,
            files=[source.origin for source in sources.values()],
            attributes={"seed": given.seed, "versions": _versions()},
        )
        if part is not None:
            _save(records, part)
    if given.out:
        # An earlier measurement into this folder may have drawn others.
        for name in set(METRICS) - set(measurements.metrics):
            (given.out / "figures" / f"{name}.png").unlink(missing_ok=True)
    _print(records, given.out, console)


def _metrics(given: str | None, spaces: int, labelled: bool) -> tuple[str, ...]:
    if given is not None:
        return tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    pairs = ("imbalance", "cka") if spaces > 1 else ()
    return ("id", *pairs, *(("label-overlap",) if labelled else ()))


def _save(records: xr.Dataset, folder: Path) -> None:
    records.to_netcdf(folder / "records.nc")
    (folder / "summary.md").write_text(summary(records))
    draw_measurements(records, folder / "figures")


def _print(records: xr.Dataset, out: Path | None, console: Console) -> None:
    console.print(title(records), style="bold")
    for name in metrics_of(records):
        console.print()
        console.print(table(records, name, width=console.width))
    saved = "Not saved: --out DIR keeps records, summary and figures."
    if out is not None:
        saved = f"figures: {out / 'figures'}/*.png   records: {out / 'records.nc'}"
    console.print(f"\n{saved}", soft_wrap=True)


def _versions() -> str:
    return f"jaxvae {__version__}, jax {jax.__version__}, numpy {np.__version__}"


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar with what is being measured and the time left, on terminals only."""
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    disable = not console.is_terminal
    with Bars(*columns, console=console, transient=True, disable=disable) as bars:
        bar = bars.add_task("reading", total=1.0)
        yield lambda now: bars.update(bar, completed=now.done, description=now.doing)
