"""The page of one trained run: its loss, the rates of its latents, and the course of training."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvae.analysis.collapse import collapse_warnings, collapsed_latents, unused_latents
from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.analysis.evaluation import Evaluation, by_layer
from jaxvae.analysis.training_loss import CLEAR, change_at_the_end
from jaxvae.models.hvae import HVAE, latent_names
from jaxvae.report.page import Chart, Page, Table, Trace, picture_of, settings_in_words
from jaxvae.report.tables import with_error
from jaxvae.report.traces import ACCENT, SECOND, line, training_chart
from jaxvae.runs.building import in_effect
from jaxvae.runs.config import RunConfig
from jaxvae.runs.curve import Curve
from jaxvae.runs.saved import SavedRun

# The colors of active, mixed and passive latents.
_TYPES = {"active": ACCENT, "mixed": SECOND, "passive": "#a0a8b0"}
_IMPROVING = "it was still improving"
_READ = {
    "reconstructions": "Each row of images is above the row of its reconstructions.",
    "samples": "Images decoded from latents that are drawn from the prior.",
    "traversals": "In each row one latent is moved; those of the largest rate are first.",
    "layers": "Upper layers of latents are kept from the image, the others drawn from the prior.",
}
_TERMS = (
    "The rate is the KL divergence of the posterior from the prior, in nats per image; ± is the "
    "standard error over images. A latent dimension has collapsed to the prior if its rate is "
    "below 0.01 nats. By the variance of its posterior it is active if that is small for every "
    "image, passive if that is the prior's for every image, and mixed otherwise; one whose mean "
    "varies is an active unit, also if it is passive."
)


class Shown(NamedTuple):
    """The contents of the page of a run, before it is laid out.

    Attributes:
        run: the run.
        of: what the images are, such as "held-out images of mnist".
        found: the evaluation of the run on these images.
        snapshots: evaluations on the first of them, by step, in the order of training.
        curve: loss and terms over training, empty where they were not kept.
        figures: files of `draw_gallery`.
    """

    run: SavedRun
    of: str
    found: Evaluation
    snapshots: Mapping[int, Evaluation]
    curve: Curve
    figures: Sequence[Path]


def run_page(shown: Shown) -> Page:
    """The page of a run."""
    run, evaluation = shown.run, shown.found
    charts = [
        *([training_chart({"loss": shown.curve})] if shown.curve.steps else []),
        *([_over_snapshots(shown)] if len(shown.snapshots) > 1 else []),
        _latents(run, evaluation),
    ]
    pictures = [picture_of(path, _READ[path.stem]) for path in shown.figures]
    tables = [Table("Layers of latents", _rows(run, evaluation), _TERMS)]
    answer = [_quality(shown), *_collapse(run, evaluation), *_improving(shown)]
    return Page(run_title(run), answer, _settings(run.config), charts, tables, pictures)


def run_title(run: SavedRun) -> str:
    """What was trained, and at which step the snapshot was made."""
    config = run.config
    return f"{Path(config.data).name}, {config.network}, {config.objective}, {run.when}"


def _settings(config: RunConfig) -> dict[str, str]:
    return settings_in_words(in_effect(dataclasses.asdict(config)))


def _quality(shown: Shown) -> str:
    evaluation, several = shown.found, len(shown.run.vae.shapes) > 1
    cost = mean_estimate(evaluation.examples.cost)
    count = len(evaluation.examples.distortion)
    rates = mean_estimate(evaluation.examples.rates.sum(axis=1, dtype=np.float64))
    return (
        f"On {count:,} {shown.of} the negative ELBO is {with_error(cost)} nats per image: a "
        f"distortion of {with_error(evaluation.distortion)} and a rate of {with_error(rates)}"
        f"{' over all layers' if several else ''}. The PSNR of reconstructions is "
        f"{with_error(evaluation.psnr)} dB."
    )


def _collapse(run: SavedRun, evaluation: Evaluation) -> list[str]:
    """Sentences on latents that have collapsed to the prior."""
    if len(evaluation.examples.distortion) == 1:
        return ["Whether latents collapsed cannot be told from one image."]
    counts = [int(np.sum(each)) for each in collapsed_latents(evaluation)]
    if isinstance(run.vae, HVAE):
        sizes = run.vae.sizes
        signs = collapse_warnings(evaluation, sizes=sizes) if evaluation.is_finite else ()
        of_layers = zip(counts, sizes, latent_names(run.vae), strict=True)
        collapsed = ", ".join(f"{count} of the {size} of {name}" for count, size, name in of_layers)
        sentence = f"Latents that have collapsed to the prior: {collapsed}."
        if not signs:
            return [f"No layer of latents as a whole shows a sign of collapse. {sentence}"]
        return [sentence, *(f"A sign of collapse: {sign}." for sign in signs)]
    if unused := unused_latents(evaluation):
        return [unused]
    (count,), size = counts, run.vae.latents
    if not count:
        return [f"None of {size} latents has collapsed to the prior."]
    have = "has" if count == 1 else "have"
    return [f"{count} of {size} latents {have} collapsed to the prior."]


def _improving(shown: Shown) -> list[str]:
    """Sentences on whether the model was still improving at the end of training."""
    sentences = []
    if shown.curve.steps:
        sentences.append(_end_of(shown.curve))
    if len(shown.snapshots) > 1:
        (first, before), (last, after) = [*shown.snapshots.items()][-2:]
        costs = after.examples.cost
        change, count = mean_estimate(costs - before.examples.cost), len(costs)
        sentences.append(
            f"From step {first:,} to {last:,} the negative ELBO of {count:,} of these images "
            f"changed by {with_error(change, sign='+')} nats, image by image: "
            f"{_verdict(change)}."
        )
    # Also where training was too short to tell.
    at_its_end = shown.run.step == shown.run.steps[-1]
    if at_its_end and sentences and f"{_IMPROVING}." in sentences[-1]:
        sentences.append(_longer(shown.run))
    return sentences or [
        "Whether the model was still improving is not known: neither its loss over training nor "
        "more than one snapshot was kept."
    ]


def _end_of(curve: Curve) -> str:
    """The loss of the last quarter of training against that of the quarter before."""
    training = f"training after step {curve.begun:,}" if curve.begun else "training"
    change = change_at_the_end(curve)
    if change is None:
        return (
            f"{training.capitalize()} was too short to tell from its loss whether the model was "
            "still improving."
        )
    return (
        f"In the last quarter of {training} the loss changed by "
        f"{with_error(change, sign='+')} nats against the quarter before: "
        f"{_verdict(change)}."
    )


def _longer(run: SavedRun) -> str:
    """What to try with a run that was still improving."""
    command = ["jaxvae", "train", "--from", str(run.folder), "--epochs", str(2 * run.config.epochs)]
    line = shlex.join([*command, "--out", f"{run.folder}-longer"])
    return f"More epochs may improve it further: `{line}`."


def _verdict(change: Estimate) -> str:
    value, stderr = float(change.value), float(change.stderr)
    if not np.isfinite(stderr):
        return "whether this is more than chance is not known"
    if not abs(value) > CLEAR * stderr:
        return "no change beyond twice its standard error"
    return _IMPROVING if value < 0 else "it rose"


def _over_snapshots(shown: Shown) -> Chart:
    evaluations = [*shown.snapshots.values()]
    names = latent_names(shown.run.vae)
    quantities = {
        "PSNR, dB": [each.psnr for each in evaluations],
        **{
            f"rate of {name}, nats": [
                mean_estimate(each.examples.rates[:, index]) for each in evaluations
            ]
            for index, name in enumerate(names)
        },
        "distortion, nats": [each.distortion for each in evaluations],
        "negative ELBO, nats": [mean_estimate(each.examples.cost) for each in evaluations],
    }
    traces = [
        Trace(
            line(
                [*shown.snapshots],
                np.array([each.value for each in estimates], float),
                np.array([each.stderr for each in estimates], float),
                name=name,
                color=ACCENT,
            ),
            {"quantity": name},
        )
        for name, estimates in quantities.items()
    ]
    count = len(evaluations[0].examples.distortion)
    return Chart(
        f"At the snapshots, on {count:,} {shown.of}",
        "Choose the quantity, and hover for its mean over images and its standard error.",
        traces,
        "step",
        "quantity",
        choices={"quantity": [*quantities]},
    )


def _latents(run: SavedRun, evaluation: Evaluation) -> Chart:
    """The rate of every latent dimension of a layer, the largest first."""
    names, traces = latent_names(run.vae), []
    for name, rates, types in zip(
        names, evaluation.number_rates, evaluation.latent_types, strict=True
    ):
        order = np.argsort(-rates, kind="stable")
        ranks = np.arange(1, len(rates) + 1)
        for kind, mask in zip(_TYPES, types, strict=True):
            is_type = np.asarray(mask)[order]
            drawn = {
                "type": "bar",
                "name": kind,
                "x": ranks[is_type],
                "y": rates[order][is_type],
                "text": [f"latent {index}" for index in order[is_type]],
                "textposition": "none",
                "hovertemplate": "%{text}, %{fullData.name}: %{y:.4g} nats<extra></extra>",
                "marker": {"color": _TYPES[kind]},
                "showlegend": True,
            }
            traces.append(Trace(drawn, {"layer": name} if len(names) > 1 else {}))
    return Chart(
        "Rate of every latent",
        "The mean rate of every latent dimension, the largest first, colored by type. Hover for "
        "its index in the layer, its type and its rate.",
        traces,
        "latent dimensions, by their rate",
        "nats per image",
        {"layer": names[::-1]} if len(names) > 1 else {},
    )


def _rows(run: SavedRun, evaluation: Evaluation) -> list[dict[str, str]]:
    rows = []
    for index, (name, rate) in enumerate(by_layer(run.vae, evaluation.rates).items()):
        size = run.vae.sizes[index]
        kinds = zip(_TYPES, evaluation.latent_types[index], strict=True)
        rows.append(
            {
                "layer": name,
                "latents": f"{size:,}",
                "rate, nats": with_error(rate),
                "active units": f"{int(evaluation.active_units[index]):,}",
                **{kind: f"{int(np.sum(mask)):,}" for kind, mask in kinds},
            }
        )
    return rows
