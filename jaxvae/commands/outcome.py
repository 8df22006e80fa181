"""The results of a run on held-out images, for the terminal and for its folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.analysis.collapse import (
    against_data,
    collapse_warnings,
    largest_eigenvalue,
    unused_latents,
)
from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.evaluation import Evaluation, by_layer, evaluate
from jaxvae.analysis.shuffle import shuffle_effect
from jaxvae.analysis.training_loss import CLEAR, change_at_the_end
from jaxvae.files.whole import write_text_whole
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.objectives.multipliers import LEAST, MOST
from jaxvae.report.tables import with_error
from jaxvae.runs.config import RunConfig
from jaxvae.runs.curve import Curve
from jaxvae.typing import ArrayLike, Key

OUTCOME_FILE = "held_out.json"
# Images that samples are shuffled between, and whose covariance betas are compared with.
_EXAMPLES = 1000
# A target is missed if the result differs by more than this share of it and three standard errors.
_TOLERANCE = 0.05


class Outcome(NamedTuple):
    """Held-out numbers of a run.

    Attributes:
        lines: sentences for the terminal.
        warnings: signs of collapse, and targets that were missed.
        numbers: the content of `held_out.json`, by name; estimates have standard errors.
        is_finite: whether reconstruction and rates are numbers, not NaN or infinite.
    """

    lines: Sequence[str]
    warnings: Sequence[str]
    numbers: Mapping[str, Any]
    is_finite: bool


def outcome_of(
    config: RunConfig,
    model: VAE | HVAE,
    variables: Variables,
    images: ArrayLike,
    *,
    betas: Sequence[float] | None,
    curve: Curve,
    key: Key,
) -> Outcome:
    """Evaluate a model on held-out images.

    Args:
        config: configuration of its run.
        model: a VAE or a hierarchy.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        betas: the weight of the rate of every layer of a hierarchy at the end, where known.
        curve: its loss over training.
        key: key of the posterior noise.
    """
    evaluation = evaluate(model, variables, images, key=key)
    estimates = {
        "reconstruction": evaluation.distortion,
        **{f"rate of {name}": rate for name, rate in by_layer(model, evaluation.rates).items()},
        "psnr": evaluation.psnr,
        "bits_per_dimension": evaluation.bits_per_dimension,
    }
    numbers: dict[str, Any] = {
        "images": len(images),
        **{
            name: {"value": float(each.value), "stderr": float(each.stderr)}
            for name, each in estimates.items()
        },
        "active_units": evaluation.active_units.tolist(),
    }
    *_, total = by_layer(model, evaluation.information_bounds).values()
    lines = [
        f"held out, {len(images):,} images: distortion {with_error(evaluation.distortion)}, rate "
        f"{with_error(total)} nats, PSNR {with_error(evaluation.psnr)} dB, "
        f"{with_error(evaluation.bits_per_dimension)} bits per dimension",
        *_layer_lines(model, evaluation, betas),
    ]
    if not evaluation.is_finite:
        return Outcome(lines, [], numbers, is_finite=False)
    if isinstance(model, VAE):
        warning = unused_latents(evaluation)
        return Outcome(lines, [] if warning is None else [warning], numbers, is_finite=True)
    some = images[:_EXAMPLES]
    shuffled = shuffle_effect(model, variables, some, key=key)
    signs = collapse_warnings(
        evaluation,
        sizes=model.sizes,
        shuffle=shuffled if shuffled.is_finite else None,
        **against_data(config, betas, lambda: largest_eigenvalue(some)),
    )
    unfinished = _unfinished(curve) if signs else []
    warnings = [*unfinished, *map(str, signs), *_missed_targets(config, model, evaluation, betas)]
    return Outcome(lines, warnings, numbers, is_finite=True)


def write_outcome(folder: Path, outcome: Outcome, *, step: int) -> None:
    """Write the outcome of a run to a JSON file in its folder."""
    content = {"step": step, **outcome.numbers, "warnings": list(outcome.warnings)}
    text = json.dumps(content, indent=2) + "\n"
    write_text_whole(folder / OUTCOME_FILE, text)


def _unfinished(curve: Curve) -> list[str]:
    """A sentence that layers may still fill, where training was too short to call them empty."""
    if not curve.steps:
        return []
    change = change_at_the_end(curve)
    if change is None:
        fact = "Training was too short to tell from its loss whether the model was still improving"
    elif change.value < -CLEAR * change.stderr:
        fact = (
            f"The loss was still falling, by {with_error(Estimate(-change.value, change.stderr))} "
            "nats in the last quarter of training against the quarter before"
        )
    else:
        return []
    return [
        f"{fact}: a layer that seems collapsed may still fill. Train for more --epochs before you "
        "change the model."
    ]


def _layer_lines(
    model: VAE | HVAE, evaluation: Evaluation, betas: Sequence[float] | None
) -> list[str]:
    lines = []
    for index, (name, rate) in enumerate(by_layer(model, evaluation.rates).items()):
        size = model.sizes[index]
        weight = "" if betas is None else f", beta {betas[index]:.3g}"
        lines.append(
            f"  {name}: rate {with_error(rate)} nats, {rate.value / size:.3f} per dimension, "
            f"{int(evaluation.active_units[index])} of {size} units active{weight}"
        )
    return lines


def _missed_targets(
    config: RunConfig, hvae: HVAE, evaluation: Evaluation, betas: Sequence[float] | None
) -> list[str]:
    """Sentences on the rates or the distortion that the run has as targets and missed."""
    several = betas or (1.0,) * len(hvae.sizes)
    asked: list[tuple[str, Any, Estimate, Sequence[float]]] = []
    if config.objective == "rate_targets":
        targets = config.coefficients["targets"]
        targets = targets if isinstance(targets, Sequence) else (targets,)
        rates = by_layer(hvae, evaluation.rates).items()
        asked = [
            (f"rate of {name}", target, rate, [beta])
            for (name, rate), target, beta in zip(rates, targets, several, strict=True)
        ]
    if config.objective == "distortion_target":
        asked = [("distortion", config.coefficients["target"], evaluation.distortion, several)]
    return [
        f"{name}: {with_error(got)} nats on held-out images, where the target of training is "
        f"{target:g}: {_to_reach_it(own)}"
        for name, target, got, own in asked
        if target is not None
        and abs(got.value - target) > max(3 * got.stderr, _TOLERANCE * abs(target))
    ]


def _to_reach_it(betas: Sequence[float]) -> str:
    """What to do about a missed target, by the betas that training has adapted to it."""
    if any(beta <= 1.01 * LEAST or beta >= 0.99 * MOST for beta in betas):
        return (
            "its beta has come to the end of its range, so that the network may not reach the "
            "target; choose another, or, if training was short, train longer"
        )
    return "train longer, or, if training images have the target, use more of them"
