"""The `jaxvae` command: one subcommand for every job that is real."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: or None for those of the process.

    Returns:
        The exit status: 0; 1 where the device failed, as without memory; 2 for wrong use;
        130 when interrupted.
    """
    # As they are: names and messages may hold brackets and colons.
    console = Console(highlight=False, markup=False, emoji=False)
    errors = Console(highlight=False, markup=False, emoji=False, stderr=True)
    given = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        given.run(given, console, errors)
    except KeyboardInterrupt:
        errors.print("Interrupted. Nothing was written.", style="yellow")
        return 130
    except (ValueError, OSError) as error:
        errors.print(f"error: {error}", style="bold red", soft_wrap=True)
        return 2
    except jax.errors.JaxRuntimeError as error:
        errors.print(
            f"stopped: {str(error).partition(chr(10))[0]}", style="bold red", soft_wrap=True
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxvae", description="Measure what the layers of a network know."
    )
    parser.add_argument("--version", action="version", version=f"jaxvae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_measure(commands)
    return parser


def _add_measure(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    parser.set_defaults(run=_measure)
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


def _measure(given: argparse.Namespace, console: Console, errors: Console) -> None:
    if not 0 <= given.seed < 2**32:
        raise ValueError(f"expected --seed of 0 to {2**32 - 1}, got {given.seed}")
    sources = read_arrays(given.files)
    labels = None if given.labels is None else read_array(given.labels)
    folder = whole_folder(given.out) if given.out else nullcontext()
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


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A place to write that becomes part of the folder `out` when the block ends well.

    Otherwise nothing is left of it, nor of `out` if it was not there.

    Raises:
        OSError: at once, if `out` cannot be written.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with _beside(out) as name:
            part = Path(name)
            yield part
            for path in sorted(path for path in part.rglob("*") if path.is_file()):
                place = out / path.relative_to(part)
                place.parent.mkdir(exist_ok=True)
                os.replace(path, place)
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _beside(out: Path) -> "tempfile.TemporaryDirectory[str]":
    try:
        out.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".part-", dir=out)
    except OSError as error:
        raise OSError(
            f"expected a folder that can be written for --out, got {out} ({error})"
        ) from error
