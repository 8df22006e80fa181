"""Two trained models on held-out images, compared image by image."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.analysis.evaluation import Evaluation, evaluate
from jaxvae.models.hvae import HVAE
from jaxvae.models.stochastic_layers import layer_names
from jaxvae.runs.building import in_effect
from jaxvae.runs.folder import as_json
from jaxvae.runs.saved import SavedRun
from jaxvae.typing import ArrayLike, Key

Costs = dict[str, Float[np.ndarray, " n"]]


class Side(NamedTuple):
    """One of two runs that are compared, and its evaluation.

    Attributes:
        run: as its folder holds it.
        found: what its model comes to on held-out images.
    """

    run: SavedRun
    found: Evaluation

    @property
    def costs(self) -> Costs:
        """The negative ELBO of every image in nats, and each of its terms; layers from the top."""
        examples = self.found.examples
        distortion, rates = (
            np.asarray(each, np.float64) for each in (examples.distortion, examples.rates)
        )
        layers: Costs = {}
        if isinstance(self.run.vae, HVAE):
            names = layer_names(rates.shape[1])
            layers = {f"rate of {name}": each for name, each in zip(names, rates.T, strict=True)}
        terms = {"cost": examples.cost, "distortion": distortion, "rate": rates.sum(axis=1)}
        return terms | layers


class TwoRuns(NamedTuple):
    """Two runs side by side.

    Attributes:
        sides: the first and the second.
        differences: what an image costs the second more than the first, by term, with the
            standard error over images; none where that cannot be said.
        why_not: the reason for that, or nothing.
    """

    sides: tuple[Side, Side]
    differences: Mapping[str, Estimate]
    why_not: str


def compare_runs(
    runs: tuple[SavedRun, SavedRun], images: tuple[ArrayLike, ArrayLike], *, key: Key
) -> TwoRuns:
    """Evaluate two models, and take the differences of what the same images cost them.

    The cost of an image is its negative ELBO at one posterior sample, distortion and all rates,
    in nats, whatever the two were trained for. The standard error of a mean difference is that over
    images, which are the same for both: it says nothing about how much another seed would change.

    Args:
        runs: the first and the second.
        images: held-out ones of each, uint8 `[n, h, w, c]`. Costs are compared where they are
            the same, and the likelihoods are.
        key: key of the posterior noise, the same for both.

    Raises:
        ValueError: for images that a model does not take.
    """
    one, other = (
        Side(run, evaluate(run.vae, run.variables, own, key=key))
        for run, own in zip(runs, images, strict=True)
    )
    why_not = _why_not((one, other), images)
    differences = {}
    if not why_not:
        first, second = one.costs, other.costs
        differences = {
            term: mean_estimate(second[term] - first[term]) for term in first if term in second
        }
    return TwoRuns((one, other), differences, why_not)


def different_settings(one: SavedRun, other: SavedRun) -> dict[str, tuple[Any, Any]]:
    """The settings in which two runs differ, by name, such as `learning_rate` and `options.widths`.

    Those that were not given are the defaults; one that a run does not have is None.
    """
    first, second = (_flat(in_effect(dataclasses.asdict(run.config))) for run in (one, other))
    pairs = {name: (first.get(name), second.get(name)) for name in {**first, **second}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _why_not(sides: tuple[Side, Side], images: tuple[ArrayLike, ArrayLike]) -> str:
    first, second = map(np.asarray, images)
    if not np.array_equal(first, second):
        return "their held-out images are not the same"
    one, other = (side.run.config for side in sides)
    options = [as_json(config.likelihood_options) for config in (one, other)]
    if one.likelihood != other.likelihood or options[0] != options[1]:
        return "nats of one likelihood are not those of another"
    if not all(np.isfinite(side.costs["cost"]).all() for side in sides):
        return "one of them is not finite"
    return ""


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat
