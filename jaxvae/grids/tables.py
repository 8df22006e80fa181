"""A grid in words and numbers: its tables in the terminal, and its summary."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from rich.table import Table

from jaxvae.analysis.comparison import compare_cells
from jaxvae.files.words import counted, first_few
from jaxvae.grids.combinations import assigned, combinations
from jaxvae.grids.grid import Grid
from jaxvae.grids.quantities import Quantity, geometry, known_runs, negative_elbo, rates
from jaxvae.report.tables import markdown_table, over_seeds, printed_table

_RATES = (
    "Reconstruction is the negative log-likelihood, and KL or rate the KL divergence of the "
    "posterior from the prior, in nats per image over all held-out images; active units are "
    "latents whose posterior mean varies with the image."
)
_GEOMETRY = (
    "ID: intrinsic dimension (TwoNN) over {points:,} distinct held-out images; Δ out→in: "
    "information imbalance from the output to the input, near 0 where neighbors of the output are "
    "neighbors of the input, near 1 where it says nothing about them."
)
# Settings between which nats do not compare: other images, or another likelihood.
_OTHER_NATS = {
    *("data", "image_size", "image_key", "split", "value_range", "binarize"),
    *("likelihood", "likelihood_options"),
}
_LEFT_OUT = "Runs that failed or are missing are left out."
_ALONE = (
    "± is the standard error over images, where there is one; several seeds would show how much "
    "trainings differ."
)


def sweep_tables(grid: Grid, records: xr.Dataset) -> list[Table]:
    """Rates, and the geometry where it was measured, at the last epoch.

    Args:
        grid: grid of the runs.
        records: records of the runs, without the dimensions of settings that have one value.
    """
    several = filter(None, (rates(records), geometry(records)))
    return [printed_table(_rows(grid, quantities)) for quantities in several]


def summary(grid: Grid, records: xr.Dataset) -> str:
    """All numbers at the last epoch, and what they are, as Markdown."""
    parts = [f"# {title(grid, records)}", *lowest(grid, records), *collapsed(grid, records)]
    for _, rows, caption in captioned_rows(grid, records):
        parts += [markdown_table(rows), caption]
    return "\n\n".join([*parts, errors(grid)]) + "\n"


def captioned_rows(
    grid: Grid, records: xr.Dataset
) -> Iterator[tuple[str, list[dict[str, str]], str]]:
    """The tables at the last epoch: what each is of, its rows, and what its numbers are."""
    captions = (_RATES, _GEOMETRY.format(points=records.attrs["points"]))
    tables = zip(("Rates", "Geometry"), (rates(records), geometry(records)), captions, strict=True)
    for name, quantities, caption in tables:
        if quantities:
            rows = [
                {column.replace("\n", " "): text for column, text in row.items()}
                for row in _rows(grid, quantities)
            ]
            yield name, rows, caption


def lowest(grid: Grid, records: xr.Dataset) -> list[str]:
    """A sentence on the settings with the lowest negative ELBO of held-out images, if there is one.

    There is none for a single combination of settings, and where images or likelihoods differ
    between runs, or nothing is known.
    """
    several = {name.partition(".")[0] for name, each in grid.values.items() if len(each) > 1}
    if not several or several & _OTHER_NATS:
        return []
    known = known_runs(records).isel(epoch=-1)
    cost = negative_elbo(known)
    costs = [
        (
            float(cost.mean.isel(where)),
            float(cost.stderr.isel(where)),
            words,
            cost.values.isel(where),
        )
        for words, where in combinations(grid.varying)
    ]
    costs = sorted((each for each in costs if math.isfinite(each[0])), key=lambda each: each[0])
    if not costs:
        return []
    texts = [
        f"{value:.1f}{f' ± {stderr:.1f}' if math.isfinite(stderr) else ''} nats with "
        + assigned(words)
        for value, stderr, words, _ in costs[:2]
    ]
    first = f"The lowest negative ELBO of held-out images is {texts[0]}"
    if len(texts) == 1:
        return [f"{first}."]
    runs = np.stack([np.ravel(each.values) for *_, each in costs])
    names = [assigned(words) for _, _, words, _ in costs]
    return [f"{first}; the next is {texts[1]}. {_told_apart(runs, names)}"]


def _told_apart(costs: Float[np.ndarray, "m s"], names: Sequence[str]) -> str:
    """From which other settings the lowest one, which is the first, can be told."""
    whole = np.isfinite(costs).all(axis=1)
    if costs.shape[1] == 1:
        return "One seed of each does not say whether a difference is chance: train more seeds."
    if not whole[0]:
        return "Some of its seeds are missing, so that it is not compared with others."
    others = int(whole.sum()) - 1
    if not others:
        return "Some seeds of all others are missing, so that it is not compared with them."
    # Of every run one number is known. Less is better.
    values = np.repeat(-costs[whole, :, None], 2, axis=2)
    best = np.flatnonzero(whole)[compare_cells(values).candidates]
    as_low = [names[place] for place in best if place]
    if as_low:
        verdict = f"It cannot be told apart from that with {first_few(as_low, '; ')}"
    elif others == 1:
        verdict = "The other is higher by more than chance"
    else:
        verdict = f"All {others} others are higher by more than chance"
    missing = len(costs) - 1 - others
    lack = "that lacks seeds is" if missing == 1 else "that lack seeds are"
    left_out = f"; {missing} {lack} left out" if missing else ""
    return f"{verdict} (95% confidence, paired by seed{left_out})."


def collapsed(grid: Grid, records: xr.Dataset) -> list[str]:
    """A sentence on the settings with which no latent of any seed is active, where there are some.

    Their layers of latents are noise, whatever is measured of them.
    """
    last = known_runs(records).isel(epoch=-1)
    # A network has NaN for a layer that it lacks, and a run that is not known has it for all.
    counts = last["active_units"].sum("latent_layer", min_count=1).max("seed")
    named = [
        assigned(words)
        for words, where in combinations(grid.varying)
        if float(counts.isel(where)) == 0
    ]
    if not named:
        return []
    where = f" with {first_few(named, '; ')}" if named[0] else ""
    return [
        f"No latent is active{where}: these models ignore their latents, of which IDs and "
        "imbalances say nothing."
    ]


def errors(grid: Grid) -> str:
    """A sentence on what the ± of tables and figures is."""
    seeds = len(grid.seeds)
    several = f"Values are means over {seeds} seeds, ± their standard error; one seed has none."
    return f"{several if seeds > 1 else _ALONE} {_LEFT_OUT}"


def title(grid: Grid, records: xr.Dataset) -> str:
    """What was trained in all runs, for how many epochs, with how many seeds."""
    same = [grid.run[name] for name in ("data", "network", "objective") if name in grid.run]
    epoch = f"epoch {int(records['epoch'][-1])}"
    return ", ".join([*same, epoch, counted(len(grid.seeds), "seed")])


def _rows(grid: Grid, quantities: Sequence[Quantity]) -> list[dict[str, str]]:
    last = [(each, each.mean.isel(epoch=-1), each.stderr.isel(epoch=-1)) for each in quantities]
    return [
        words
        | {
            each.name: over_seeds(float(mean.isel(where)), float(stderr.isel(where)), each.digits)
            for each, mean, stderr in last
        }
        for words, where in combinations(grid.varying)
    ]
