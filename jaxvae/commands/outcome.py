"""What a run has come to on held-out images: in the terminal, and in its folder."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.analysis.collapse import collapse_warnings, largest_eigenvalue
from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.evaluation import Evaluation, evaluate
from jaxvae.analysis.exchange import shuffle_effect
from jaxvae.files.whole import write_whole
from jaxvae.models.hvae import HVAE, layer_names
from jaxvae.models.vae import VAE, Variables
from jaxvae.objectives.multipliers import LEAST, MOST
from jaxvae.runs.config import RunConfig
from jaxvae.runs.folder import read_settings
from jaxvae.typing import ArrayLike, Key

HELD_OUT = "held_out.json"
# Images that samples are exchanged between, and whose covariance prices are compared with.
_EXAMPLES = 1000
# Of a target: beyond it, and beyond three standard errors, it was not met.
_TOLERANCE = 0.05


class Outcome(NamedTuple):
    """Held-out numbers of a run.

    Attributes:
        lines: for the terminal.
        warnings: what to look at.
        numbers: for `held_out.json`, by name; with errors where they are estimates.
    """

    lines: Sequence[str]
    warnings: Sequence[str]
    numbers: Mapping[str, Any]

    @property
    def is_finite(self) -> bool:
        """Whether the model gives numbers: reconstruction and rates are not NaN or infinite."""
        return all(
            math.isfinite(each["value"])
            for name, each in self.numbers.items()
            if name in ("reconstruction", "kl") or name.startswith("rate of ")
        )


def outcome_of(
    config: RunConfig,
    model: VAE | HVAE,
    variables: Variables,
    images: ArrayLike,
    *,
    prices: Sequence[float] | None,
    key: Key,
) -> Outcome:
    """Evaluate a model on held-out images.

    Args:
        config: of its run.
        model: a VAE or a hierarchy.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        prices: what a nat costs in every layer of a hierarchy in the end, where known.
        key: of the posterior noise.
    """
    found = evaluate(model, variables, images, key=key)
    estimates = {
        "reconstruction": found.distortion,
        **{f"rate of {name}": rate for name, rate in _by_layer(model, found.rates).items()},
        "psnr": found.psnr,
        "bits_per_dimension": found.bits_per_dimension,
    }
    numbers: dict[str, Any] = {
        "images": len(images),
        **{
            name: {"value": float(each.value), "stderr": float(each.stderr)}
            for name, each in estimates.items()
        },
        "active_units": found.active_units.tolist(),
    }
    *_, total = _by_layer(model, found.information_bounds).values()
    lines = [
        f"held out, {len(images):,} images: distortion {_shown(found.distortion)}, rate "
        f"{_shown(total)} nats, PSNR {_shown(found.psnr)} dB, "
        f"{_shown(found.bits_per_dimension, 4)} bits per dimension",
        *_layer_lines(model, found, prices),
    ]
    if not found.is_finite or isinstance(model, VAE):
        return Outcome(lines, [], numbers)
    some = images[:_EXAMPLES]
    signs = collapse_warnings(
        found,
        sizes=[math.prod(shape) for shape in model.shapes],
        shuffle=shuffle_effect(model, variables, some, key=key),
        **_against_data(config, some, prices),
    )
    warnings = [*map(str, signs), *_missed_targets(config, model, found, prices)]
    return Outcome(lines, warnings, numbers)


def write_outcome(
    folder: Path, outcome: Outcome, *, step: int, training: Mapping[str, float]
) -> None:
    """Keep an outcome in the folder of a run, as JSON, whole, with the time of training."""
    content = {"step": step, "training": training, **outcome.numbers}
    content["warnings"] = list(outcome.warnings)
    text = json.dumps(content, indent=2) + "\n"
    write_whole(folder / HELD_OUT, lambda part: part.write_text(text, encoding="utf-8"))


def time_of_training(folder: Path, *, first: int, last: int, seconds: float) -> dict[str, float]:
    """Seconds of training, compilation included, and the steps that they were for.

    With those of the processes before, as far as they came to an end: what an interrupted one
    took is not known.

    Args:
        folder: of the run.
        first: step with which this process began.
        last: with which it ended.
        seconds: that it took.
    """
    file, steps = folder / HELD_OUT, last - first
    before = read_settings(file) if file.is_file() else {}
    if before.get("step", last) <= first and "training" in before:
        seconds += before["training"]["seconds"]
        steps += before["training"]["steps"]
    return {"seconds": seconds, "steps": steps}


def _against_data(
    config: RunConfig, images: ArrayLike, prices: Sequence[float] | None
) -> dict[str, Any]:
    """Prices beside the data, where the likelihood has a fixed variance to compare them by."""
    if config.likelihood != "gaussian" or prices is None:
        return {}
    deviation = float(config.likelihood_options.get("standard_deviation", 1.0))
    largest = np.array([largest_eigenvalue(images)])
    return {"betas": prices, "variance": deviation**2, "eigenvalues": largest}


def _by_layer(model: VAE | HVAE, every: Estimate) -> dict[str, Estimate]:
    """From the top to the bottom."""
    pairs = zip(np.atleast_1d(every.value), np.atleast_1d(every.stderr), strict=True)
    return {name: Estimate(*pair) for name, pair in zip(_names(model), pairs, strict=True)}


def _names(model: VAE | HVAE) -> list[str]:
    """Of the layers of latents."""
    return ["latents"] if isinstance(model, VAE) else layer_names(len(model.shapes))


def _layer_lines(model: VAE | HVAE, found: Evaluation, prices: Sequence[float] | None) -> list[str]:
    lines = []
    for place, (name, rate) in enumerate(_by_layer(model, found.rates).items()):
        size = math.prod(model.shapes[place])
        price = "" if prices is None else f", at {prices[place]:.3g} a nat"
        lines.append(
            f"  {name}: rate {_shown(rate)} nats, {rate.value / size:.3f} a number, "
            f"{int(found.active_units[place])} of {size} units active{price}"
        )
    return lines


def _missed_targets(
    config: RunConfig, hvae: HVAE, found: Evaluation, prices: Sequence[float] | None
) -> list[str]:
    """Where the run was asked for rates or a distortion, and did not get them."""
    asked: dict[str, tuple[Any, Estimate]] = {}
    if config.objective == "rate_targets":
        targets = config.coefficients["targets"]
        several = targets if isinstance(targets, Sequence) else (targets,)
        rates = _by_layer(hvae, found.rates)
        asked = {f"rate of {n}": (t, rates[n]) for n, t in zip(rates, several, strict=True)}
    if config.objective == "distortion_target":
        asked = {"distortion": (config.coefficients["target"], found.distortion)}
    # A multiplier at its bound has given up.
    lost = any(price <= 1.01 * LEAST or price >= 0.99 * MOST for price in prices or ())
    advice = (
        "infeasible: a price is at its bound; ask for what the network can reach"
        if lost
        else "train longer, or, if training shows what was asked for, use more images"
    )
    return [
        f"{name}: {_shown(got)} nats on held-out images where {target:g} were asked for in "
        f"training: {advice}"
        for name, (target, got) in asked.items()
        if target is not None
        and abs(got.value - target) > max(3 * got.stderr, _TOLERANCE * abs(target))
    ]


def _shown(estimate: Estimate, digits: int = 2) -> str:
    return f"{estimate.value:.{digits}f} ± {estimate.stderr:.{digits}f}"
