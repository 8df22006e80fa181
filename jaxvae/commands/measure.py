"""`jaxvae measure`: dimension, imbalance and similarity of arrays."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import jax
import xarray as xr
from rich.console import Console

from jaxvae.analysis.measure import measure
from jaxvae.analysis.registry import METRICS
from jaxvae.data.arrays import Source, read_array, read_arrays
from jaxvae.files.results import whole_results
from jaxvae.report.measurement import as_records, metrics_of, title
from jaxvae.report.measurement_page import measurement_page
from jaxvae.report.measurement_tables import summary, table
from jaxvae.report.page import PAGE, write_page
from jaxvae.report.progress import share_progress
from jaxvae.runs.provenance import begin, entries_in_words


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Measure, print, and save where asked to."""
    if not 0 <= arguments.seed < 2**32:
        raise ValueError(f"expected --seed of 0 to {2**32 - 1}, got {arguments.seed}")
    entry = begin(arguments.line)
    sources = read_arrays(arguments.files)
    _refuse_labels_as_points(list(sources.values()))
    labels = None if arguments.labels is None else read_array(arguments.labels)
    folder = whole_results(arguments.out) if arguments.out else nullcontext()
    with folder as part:
        with share_progress(errors) as report:
            measurements = measure(
                {name: source.array for name, source in sources.items()},
                key=jax.random.key(arguments.seed),
                metrics=_metrics(arguments.metrics, len(sources), labels is not None),
                labels=labels,
                points=arguments.points,
                k=arguments.k,
                parts=arguments.parts,
                draws=arguments.draws,
                report=lambda now: report(*now),
            )
        records = as_records(
            measurements,
            files=[source.origin for source in sources.values()],
            attributes={"seed": arguments.seed, **entries_in_words([entry()])},
        )
        if part is not None:
            _save(records, part)
    if arguments.out:
        # An earlier measurement into this folder may have drawn others.
        for name in set(METRICS) - set(measurements.metrics):
            (arguments.out / "figures" / f"{name}.png").unlink(missing_ok=True)
    _print(records, arguments.out, console)


def _refuse_labels_as_points(sources: Sequence[Source]) -> None:
    """Refuse one number for each point beside arrays of points; most often they are labels."""
    numbers = [source for source in sources if source.array.ndim == 1]
    points = [source.origin for source in sources if source.array.ndim > 1]
    if numbers and points:
        raise ValueError(
            f"{numbers[0].origin}: expected an array [n, ...] of points with features, got shape "
            f"{numbers[0].array.shape}; if these are labels, write jaxvae measure "
            f"{' '.join(points)} --labels {numbers[0].origin}"
        )


def _metrics(given: tuple[str, ...] | None, spaces: int, labelled: bool) -> tuple[str, ...]:
    if given is not None:
        return given
    pairs = ("imbalance", "cka") if spaces > 1 else ()
    return ("id", *pairs, *(("label-overlap",) if labelled else ()))


def _save(records: xr.Dataset, folder: Path) -> None:
    # Matplotlib takes longer to import than small arrays to measure.
    from jaxvae.report.measurement_figures import draw_measurements  # noqa: PLC0415

    records.to_netcdf(folder / "records.nc")
    (folder / "summary.md").write_text(summary(records), encoding="utf-8")
    figures = draw_measurements(records, folder / "figures")
    write_page(folder, measurement_page(records), figures)


def _print(records: xr.Dataset, out: Path | None, console: Console) -> None:
    console.print(title(records), style="bold")
    for name in metrics_of(records):
        console.print()
        console.print(table(records, name, width=console.width))
    saved = "Not saved: --out DIR keeps records, summary and figures."
    if out is not None:
        saved = (
            f"figures: {out / 'figures'}/*.png   page: {out / PAGE}   records: {out / 'records.nc'}"
        )
    console.print(f"\n{saved}", soft_wrap=True)
