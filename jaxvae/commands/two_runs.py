"""`jaxvae report RUN RUN`: two saved runs, compared."""

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
import xarray as xr
from rich.console import Console

from jaxvae.analysis.capture import capture
from jaxvae.analysis.pixels import as_bytes
from jaxvae.analysis.two_runs import compare_runs
from jaxvae.commands.shown_images import chosen_images
from jaxvae.report.page import PAGE
from jaxvae.report.results import write_report
from jaxvae.report.tables import printed_table
from jaxvae.report.two_runs import (
    PICTURED,
    as_records,
    caveat,
    conclusion,
    draw_two_runs,
    in_what_they_differ,
    setting_rows,
    summary,
    two_runs_page,
    value_rows,
)
from jaxvae.runs.continuing import stored_origin
from jaxvae.runs.curve import read_curve
from jaxvae.runs.folder import read_settings
from jaxvae.runs.provenance import made_by
from jaxvae.runs.run import RUN_FILE
from jaxvae.runs.saved import SavedRun, open_run
from jaxvae.typing import ArrayLike, Key

T = TypeVar("T")
U = TypeVar("U")

_PICTURES = 12
# The attribute of the records that holds the folders of the runs.
_COMPARED = "compared"


def compare(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Compare the two runs that were given, and write what is found."""
    for flag, value in (("--snapshot", arguments.snapshot), ("--example", arguments.example)):
        if value is not None:
            raise ValueError(f"expected no {flag} for two runs, got {value}")
    folders = (arguments.folder, arguments.other)
    whole = _both(lambda folder: Path(os.path.abspath(folder)), folders)
    names = _names(whole)
    out = arguments.out or Path("results", "report", "_".join(folder.name for folder in whole))
    compared = json.dumps([*map(str, whole)])
    _refuse_other_results(out, compared)
    runs = _both(partial(open_run, trust=arguments.trust), folders)
    images = _both(lambda run: chosen_images(run, arguments)[0], runs)
    key = jax.random.key(arguments.seed)
    with errors.status("evaluating on held-out images"):
        comparison = compare_runs(runs, images, key=key)
        pictures = {} if comparison.why_not else _pictures(runs, names, images[0], key)
    training = {"epochs": _both(_epochs, runs), "training time": _both(_time, runs)}
    values = value_rows(comparison, names, training)
    settings = setting_rows(comparison, names)
    kept = {name: read_curve(run.folder) for name, run in zip(names, runs, strict=True)}
    curves = {name: curve for name, curve in kept.items() if curve.steps}
    sentences = [
        conclusion(comparison, names),
        in_what_they_differ(settings, names),
        caveat(comparison),
    ]
    tables = [printed_table(each, left=["term", "setting"]) for each in (values, settings) if each]
    write_report(
        out,
        as_records(comparison, names).assign_attrs({_COMPARED: compared}),
        figures=partial(draw_two_runs, comparison, names, pictures),
        summary=summary(sentences, values, settings, f"{names[0]} and {names[1]}"),
        lines=[*tables, *sentences],
        page=two_runs_page(
            comparison, names, sentences=sentences, values=values, settings=settings, curves=curves
        ),
        pictured=PICTURED,
        console=console,
    )


def _both(function: Callable[[T], U], pair: tuple[T, T]) -> tuple[U, U]:
    first, second = pair
    return function(first), function(second)


def _names(folders: tuple[Path, Path]) -> tuple[str, str]:
    """The names of two folders, as short as they can be told apart."""
    one, other = folders
    if one == other:
        raise ValueError(f"expected two runs to compare, got {one} twice")
    short = {one.name, other.name}
    # Not as the other columns of the tables are called.
    clear = len(short) == 2 and not short & {"term", "difference", "setting"}
    return (one.name, other.name) if clear else (str(one), str(other))


def _refuse_other_results(out: Path, compared: str) -> None:
    """Refuse a folder that holds anything but an earlier comparison of the same runs."""
    records, found = out / "records.nc", ""
    if not (records.exists() or (out / PAGE).exists()):
        return
    if records.exists():
        with xr.open_dataset(records) as opened:
            found = opened.attrs.get(_COMPARED, "")
    if found != compared:
        of = (
            f"of a comparison of {' and '.join(json.loads(found))}"
            if found
            else "of another command, or of an earlier version"
        )
        raise ValueError(
            f"expected no other results in {out}, got those {of}; choose another --out"
        )


def _pictures(
    runs: tuple[SavedRun, SavedRun], names: tuple[str, str], images: ArrayLike, key: Key
) -> dict[str, np.ndarray]:
    shown = np.asarray(images[:_PICTURES])
    rows = {"image": shown}
    for run, name in zip(runs, names, strict=True):
        made = capture(run.vae, run.variables, shown, key=key, layers=["output"])["output"]
        rows[name] = as_bytes(made)
    return rows


def _epochs(run: SavedRun) -> str:
    """The number of epochs of a run, and the run that it began with."""
    file = run.folder / RUN_FILE
    origin = stored_origin(read_settings(file), file) if file.is_file() else None
    began = f", {origin.epochs} of them in {origin.folder.name}" if origin else ""
    return f"{run.config.epochs}{began}"


def _time(run: SavedRun) -> str:
    """The time of training of a run, as far as it is known."""
    return made_by(run.folder).get("took", "unknown")
