"""Sentences on the claims of the paper, with the evidence of a grid of betas for them."""

import re
from collections import Counter
from itertools import combinations

import numpy as np
import xarray as xr

from experiments.rate_allocation.uses import ERROR, GRID, Cell, Use, halves, is_done, trusted
from jaxvae.analysis.bounds import above_bound
from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.rate_plane import MATERIAL
from jaxvae.files.words import counted, first_few

# Best cells that are named, at most.
_NAMED = 4


def rate_conclusions(records: xr.Dataset, every_use: list[Use]) -> list[str]:
    """Sentences on the claims of the paper, with the evidence for them."""
    lines = [
        _on_missing(records),
        *_on_uses(every_use, seeds=records.sizes["seed"]),
        _on_split(records, every_use),
        _on_bounds(records),
        _on_classifiers(records),
        _on_collapse(records),
        _on_training(records),
    ]
    return [line for line in lines if line]


def _on_missing(records: xr.Dataset) -> str:
    missing, count = int(records["missing"].sum()), records["missing"].size
    text = f"{missing} of {count} runs are not done; what follows is about the others."
    return text * (missing > 0)


def _on_bounds(records: xr.Dataset) -> str:
    sampled, means = (_tests(records, kind) for kind in ("sample", "mean"))
    hits, excess = sampled[:2]
    if not np.isfinite(hits).any():
        return "Bound of accuracy by the rate: not tested, no layer was classified."
    if not np.isfinite(excess).any():
        return "Bound of accuracy by the rate: at these rates it is 1, and cannot be exceeded."
    broken, above = (_clearly_above(records, tests) for tests in (sampled, means))
    verdict = "never clearly exceeded" if not broken else f"EXCEEDED {broken} times"
    return (
        f"Bound of accuracy by the rate: {verdict} in {np.isfinite(hits).sum()} tests of "
        f"classifiers of samples, of which {np.isfinite(excess).sum()} have a bound below 1 (the "
        f"error of all tests together is {ERROR:.0%}); {_largest(np.nanmax(excess))} standard "
        "errors of accuracy and bound. The bound does not hold "
        f"for classifiers of posterior means, which are as clearly above it in {above} tests."
    )


def _largest(excess: float) -> str:
    if excess < 0:
        return f"the closest stays below it by {-excess:.1f}"
    return f"the largest excess is {excess:.1f}"


def _tests(records: xr.Dataset, kind: str) -> np.ndarray:
    """The tests of all classifiers against their bounds, one a column.

    The rows are the hits, the excess over a bound below 1 in standard errors, the nats that the
    bound comes from, and the standard error of these nats. In the top layer, its information on
    the labels gives a bound beside that of its rate. Both are tested, each with its own error: the
    smaller of two estimates would be biased downwards.
    """
    top, tests = records["layer"].values[:1], []
    for known, bound, layers in (
        ("known_information", "accuracy_bound", records["layer"].values),
        ("top_label_information", "top_accuracy_bound", top),
    ):
        tested = records.sel(kind=kind, layer=layers)
        hits = np.rint(tested["accuracy"] * tested.attrs["points"])
        error = np.hypot(tested["accuracy_stderr"], tested[f"{bound}_stderr"])
        excess = ((tested["accuracy"] - tested[bound]) / error).where(tested[bound] < 1)
        listed = xr.broadcast(hits, excess, tested[known], tested[f"{known}_stderr"])
        tests.append(np.stack([one.values.ravel() for one in listed]))
    return np.concatenate(tests, axis=1)


def _clearly_above(records: xr.Dataset, tests: np.ndarray) -> int:
    hits, _, nats, errors = tests
    shares, n = records["label_shares"].values, records.attrs["points"]
    return int(above_bound(hits, Estimate(nats, errors), shares, n=n, error=ERROR).sum())


def _on_classifiers(records: xr.Dataset) -> str:
    """How many classifiers did not converge, and which."""
    trained = records["accuracy"].notnull()
    unfinished = trained & ~records["converged"].astype(bool)
    if not unfinished.any():
        return ""
    others = [name for name in unfinished.dims if name != "classifier"]
    counts = unfinished.sum(others)
    where = ", ".join(
        f"{name} in {int(count)}"
        for name, count in zip(records["classifier"].values, counts.values, strict=True)
        if count
    )
    return (
        f"Of {int(trained.sum())} classifiers {int(unfinished.sum())} did not converge, and might "
        f"be more accurate if they had: {where}."
    )


def _on_uses(every: list[Use], *, seeds: int) -> list[str]:
    """Whether uses want different cells, and which cells are the best for each."""
    if not every:
        return []
    if seeds == 1:
        where = "; ".join(f"{use.name} at beta {_named(use.highest)}" for use in every)
        return [
            f"Highest score with this one seed: {where}. With one seed it is unknown how much "
            "another training with the same betas would change the scores: no cell is shown to be "
            "better than another, and no two uses to want different cells. The same command with "
            "--seeds 0..3 adds the seeds that are lacking."
        ]
    where = "; ".join(_best(use) for use in every)
    pairs = [(one, two) for one, two in combinations(every, 2) if _apart(one, two)]
    apart = "; ".join(f"{one.name} and {two.name}" for one, two in pairs)
    verdict = (
        f"Uses without a best cell in common, which want different betas: {apart}."
        if apart
        else "No two uses are shown to want different cells."
    )
    few = (
        " Two seeds decide only differences of dozens of standard errors; the same command with "
        "--seeds 0..3 adds seeds that decide smaller ones."
    )
    return [
        verdict,
        f"Cells that cannot be told from the best, over {seeds} seeds (the error of all uses "
        f"together is at most {ERROR:.0%}): {where}.{few if seeds == 2 else ''}",
    ]


def _best(use: Use) -> str:
    """How many cells cannot be told from the best one, and the first of them."""
    cells, size = [_named(cell) for cell in use.best], use.candidates.size
    if not use.leaves_some_out:
        return f"{use.name} any of {len(cells)}"
    return f"{use.name} {len(cells)} of {size} (beta {first_few(cells, '; ', most=_NAMED)})"


def _apart(one: Use, two: Use) -> bool:
    return not bool((one.candidates & two.candidates).any())


def _named(cell: Cell) -> str:
    return f"{cell[0]:.3g} and {cell[1]:.3g}"


def _on_split(records: xr.Dataset, every: list[Use]) -> str:
    """How much of the variance of a score the total rate explains, and how much both rates."""
    flat = trusted(records, "rates").stack(cell=GRID)
    upper, lower = (part.values for part in halves(flat))
    parts = []
    for use in every:
        score = use.score.stack(cell=GRID).values
        known = np.isfinite(score) & np.isfinite(upper)
        by_total = _explained(score[known], (upper + lower)[known])
        by_both = _explained(score[known], upper[known], lower[known])
        if np.isfinite(by_total) and np.isfinite(by_both):
            parts.append(f"{use.name} {by_total:.2f}, {by_both:.2f}")
    if not parts:
        return ""
    return (
        "Share of the variance over cells (adjusted R²) that a quadratic function of the total "
        f"rate explains, and one of both rates: {'; '.join(parts)}."
    )


def _explained(score: np.ndarray, *rates: np.ndarray) -> float:
    """R², adjusted for the number of coefficients; NaN for too few cells, or no variance."""
    columns = [np.ones_like(score), *rates]
    columns += [one * other for i, one in enumerate(rates) for other in rates[i:]]
    design = np.stack(columns, axis=1)
    n, coefficients = design.shape
    if n <= coefficients + 1 or np.ptp(score) == 0:
        return float("nan")
    fitted = design @ np.linalg.lstsq(design, score, rcond=None)[0]
    return 1 - float(np.var(score - fitted) / np.var(score)) * (n - 1) / (n - coefficients)


def _on_collapse(records: xr.Dataset) -> str:
    """How many runs end with signs of collapse, in which layers, which these are, what to try."""
    signs_of_runs = records["warnings"].isel(epoch=-1).transpose(*records["missing"].dims).values
    ends = [str(signs).splitlines() for signs in signs_of_runs[is_done(records).values]]
    # A line begins with the name of its layer.
    layers = [{line.split(":")[0] for line in lines} for lines in ends]
    counts = {layer: sum(layer in those for those in layers) for layer in records["layer"].values}
    where = ", ".join(f"{layer} in {count}" for layer, count in counts.items() if count)
    if not where:
        return ""
    # Its number in brackets differs from run to run.
    signs = Counter(
        re.sub(r" \([^()]*\): ", ": ", line, count=1) for lines in ends for line in lines
    )
    which = " ".join(f"In {count}: {sign}." for sign, count in signs.most_common())
    runs = sum(map(bool, layers))
    return f"At the end {runs} of {len(ends)} runs show signs of collapse: {where}. {which}"


def _on_training(records: xr.Dataset) -> str:
    failed = int(records["failed"].isel(epoch=-1).sum())
    suspect, count = int(records["suspect"].sum()), int((~records["missing"]).sum())
    excess = records["excess_cost"]
    beaten = int((excess > MATERIAL).sum())
    finished = (
        "no run is shown to have a loss more than a nat above that of another at the same betas"
        if not beaten
        else f"{beaten} have a loss more than a nat above that of another run at the same betas "
        f"(95% confidence over images), one by {float(excess.max()):.0f} nats or more: training "
        "has not come to its optimum there, or the model is overfitted"
    )
    return (
        f"Of {counted(count, 'run')} {failed} failed; {suspect} are suspect, because their "
        f"rates are out of order; {finished}. Cells with failed or suspect runs are not counted "
        "among the best."
    )
