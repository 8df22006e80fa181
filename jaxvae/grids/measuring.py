"""The measurements of a model of a grid."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxvae.analysis import Evaluation, capture, evaluate, profile, unknown_profile
from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.data.distinct import first_distinct
from jaxvae.metrics.latents import LatentTypes
from jaxvae.models import HVAE
from jaxvae.models.stochastic_layers import layer_names
from jaxvae.sweeps.sweep import Trained

# Training images on which the cost is measured too, to be held against that of held-out ones.
_TRAINING_IMAGES = 2000
# The layers of a VAE that have its latents.
_LATENT = ("mean", "log_variance", "sample")


def measure(points: int, trained: Trained) -> tuple[dict[str, Any], dict[str, Any]]:
    """The measurements of a model at every epoch, and at the last one alone.

    Rates, over all held-out images, are nats per image with their standard errors over images. The
    noise is that of `jaxvae train`.

    Args:
        points: distinct held-out images that the geometry of layers is measured on, or all that
            are distinct; 0 for none of it.
        trained: the model. One that has failed has no geometry.
    """
    model, images = trained.model, trained.dataset.test.images
    evaluation = evaluate(model, trained.variables, images, key=trained.key)
    failed = trained.stopped or not evaluation.is_finite
    training_cost = _training_cost(trained)
    kl, kl_stderr = (np.atleast_1d(each)[-1] for each in evaluation.information_bounds)
    every = {
        "reconstruction": evaluation.distortion.value,
        "reconstruction_stderr": evaluation.distortion.stderr,
        "kl": kl,
        "kl_stderr": kl_stderr,
        "rate": evaluation.rates.value,
        "rate_stderr": evaluation.rates.stderr,
        "active_units": evaluation.active_units.astype(float),
        "cost_stderr": mean_estimate(evaluation.examples.cost).stderr,
        "training_cost": training_cost.value,
        "training_cost_stderr": training_cost.stderr,
        "failed": failed,
        **_types(evaluation, trained),
    }
    last = {"latent_layer": np.array(layer_names(len(model.shapes)))}
    if points == 0:
        return every, last
    measured = images[first_distinct(images, points)]
    taps = capture(model, trained.variables, measured, key=trained.key)
    if not isinstance(model, HVAE):
        taps |= {name: taps[name][:, : trained.latents] for name in _LATENT}
    return every | _geometry(taps, failed=failed), last | {"layer": np.array([*taps])}


def _training_cost(trained: Trained) -> Estimate:
    """Negative ELBO of the first training images, nats per image."""
    images = trained.dataset.train.images[:_TRAINING_IMAGES]
    evaluation = evaluate(trained.model, trained.variables, images, key=trained.key)
    return mean_estimate(evaluation.examples.cost)


def _types(evaluation: Evaluation, trained: Trained) -> dict[str, np.ndarray]:
    """The numbers of active, mixed and passive latents in every layer, without padding."""
    cut = None if isinstance(trained.model, HVAE) else trained.latents
    return {
        f"{name}_latents": np.array(
            [np.asarray(mask).reshape(-1)[:cut].sum() for mask in masks], float
        )
        for name, masks in zip(
            LatentTypes._fields, zip(*evaluation.latent_types, strict=True), strict=True
        )
    }


def _geometry(taps: Mapping[str, np.ndarray], *, failed: bool) -> dict[str, np.ndarray]:
    names = ("intrinsic_dimension", "intrinsic_dimension_stderr", "distinct_points", "imbalance")
    measured = unknown_profile([*taps]) if failed else profile(taps)
    return dict(zip(names, measured[1:], strict=True))
