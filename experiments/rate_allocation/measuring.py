"""The measurements of a model: rates and distortion at every epoch, its uses at the last."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.rate_allocation.config import Config
from experiments.rate_allocation.judge import Judge, labels_of
from experiments.rate_allocation.protocol import CLASSIFIERS, WIDEST, measure_protocol
from jaxvae.analysis import (
    CollapseWarning,
    Estimate,
    ExampleCosts,
    aggregate_information,
    ancestral_samples,
    bound_estimate,
    capture,
    class_probabilities,
    collapse_warnings,
    evaluate,
    generation_quality,
    layer_accuracies,
    profile,
    shuffle_effect,
)
from jaxvae.analysis.pixels import as_bytes
from jaxvae.data import Dataset
from jaxvae.models import HVAE, VAE, Variables
from jaxvae.models.stochastic_layers import Gaussian, layer_names
from jaxvae.sweeps.estimate import geometry_seconds
from jaxvae.typing import Key

# Seconds of all classifiers for every number that they learn from.
_LEARNING = 3e-5
_EXAMPLES = 10
KINDS = ("sample", "mean")
SCORES = ("inception_score", "diversity", "sharpness")
COSTS = (
    "distortion",
    "mean_distortion",
    "rates",
    "information_bounds",
    "psnr",
    "mean_psnr",
    "bits_per_dimension",
)


def measure_costs(
    config: Config,
    hvae: HVAE,
    variables: Variables,
    images: np.ndarray,
    *,
    against: Mapping[str, Any],
    key: Key,
) -> tuple[dict[str, np.ndarray], tuple[CollapseWarning, ...]]:
    """Rates and distortions with their errors, whether the model has failed, signs of collapse.

    Args:
        config: configuration of the grid.
        hvae: the network.
        variables: what it has learned.
        images: `[n, h, w, c]`; between the first `config.points` of them latents are shuffled.
        against: the betas and what they are compared with, as `collapse_warnings` takes them, or
            nothing.
        key: key of the noise.
    """
    evaluation_key, shuffle_key = jax.random.split(key)
    evaluation = evaluate(hvae, variables, images, key=evaluation_key)
    some, sizes = images[: config.points], hvae.sizes
    shuffled = shuffle_effect(hvae, variables, some, key=shuffle_key)
    estimates = {name: getattr(evaluation, name) for name in COSTS}
    effect = {"shuffle_distortion": shuffled.distortion, "shuffle_cost": shuffled.cost}
    arrays = {
        **_with_errors(estimates | effect),
        "active_units": evaluation.active_units,
        "size": np.array(sizes),
        "failed": np.asarray(not evaluation.is_finite),
    }
    if not evaluation.is_finite:
        return arrays, ()
    known = shuffled if shuffled.is_finite else None
    return arrays, collapse_warnings(evaluation, sizes=sizes, shuffle=known, **against)


def measure_uses(
    config: Config,
    hvae: HVAE,
    variables: Variables,
    dataset: Dataset,
    judge: Judge,
    *,
    key: Key,
) -> dict[str, np.ndarray]:
    """The scores of a model in classification and generation, and the geometry of its layers.

    The quantities by which cells are compared are kept for every test image and generated image.
    """
    keys = jax.random.split(key, 4)
    test, labels = dataset.test.images[: config.points], labels_of(dataset.test)[: config.points]
    taps = capture(hvae, variables, test, key=keys[0])
    samples = ancestral_samples(hvae, variables, key=keys[1], n=config.samples)
    quality = generation_quality(judge.classifier, judge.params, samples, key=keys[2])
    # The theorem is about the images that are classified.
    evaluation = evaluate(hvae, variables, test, key=keys[3])
    scores = {name: getattr(quality, name) for name in SCORES}
    return {
        **_with_errors(scores | {"judge_accuracy": judge.accuracy}),
        "generated_information": quality.information.astype(np.float32),
        **_of_images(evaluation.examples),
        **_top_knowledge(hvae, variables, labels, taps, classes=judge.classifier.classes),
        **_accuracies(
            config,
            hvae,
            variables,
            dataset,
            taps,
            information=evaluation.information_bounds,
            key=keys[3],
        ),
        **measure_protocol(
            taps,
            labels,
            samples,
            judge=partial(class_probabilities, judge.classifier, judge.params),
        ),
        **_geometry(hvae, taps),
        "example_input": as_bytes(taps["input"][:_EXAMPLES]),
        "example_reconstruction": as_bytes(taps["output"][:_EXAMPLES]),
        "example_sample": as_bytes(samples[:_EXAMPLES]),
    }


def uses_seconds(config: Config, model: VAE | HVAE) -> float:
    """An estimate of the seconds that `measure_uses` takes."""
    layers = model.sizes if isinstance(model, HVAE) else []
    geometry = geometry_seconds(config.points, [math.prod(model.image_shape), *layers, *layers])
    # Samples, means, and means as the paper splits them.
    learned = 3 * config.labeled * sum(size for size in layers if size <= WIDEST)
    return geometry + _LEARNING * learned


def _of_images(costs: ExampleCosts) -> dict[str, np.ndarray]:
    return {f"image_{name}": values for name, values in costs._asdict().items()}


def _accuracies(
    config: Config,
    hvae: HVAE,
    variables: Variables,
    dataset: Dataset,
    taps: dict[str, np.ndarray],
    *,
    information: Estimate,
    key: Key,
) -> dict[str, np.ndarray]:
    """Accuracies of four classifiers of the samples and means of every layer, and their bound."""
    labeled = dataset.train.images[: config.labeled]
    train_labels = labels_of(dataset.train)[: config.labeled]
    labels = labels_of(dataset.test)[: config.points]
    layers = layer_names(len(hvae.shapes))
    narrow = [name for name, size in zip(layers, hvae.sizes, strict=True) if size <= WIDEST]
    chosen = [f"{name}/{kind}" for name in layers for kind in KINDS]
    train_taps = capture(hvae, variables, labeled, key=key, layers=chosen)
    accuracies = layer_accuracies(
        train_taps,
        train_labels,
        {name: taps[name] for name in chosen},
        labels,
        information=information,
        layers=narrow,
    )
    shape = (len(layers), len(KINDS), len(CLASSIFIERS))
    values, errors = np.full((2, *shape), np.nan)
    converged, right = np.zeros(shape, bool), np.zeros((*shape, len(labels)), bool)
    bounds, bound_errors = np.full((2, len(layers)), np.nan)
    for index, layer in enumerate(layers):
        if layer in accuracies:
            bounds[index], bound_errors[index] = accuracies[layer].bound
            for kind, by_name in enumerate((accuracies[layer].samples, accuracies[layer].means)):
                for column, name in enumerate(CLASSIFIERS):
                    one = (index, kind, column)
                    values[one], errors[one], converged[one], right[one] = by_name[name]
    return {
        **_with_errors(
            {
                "accuracy": Estimate(values, errors),
                "known_information": information,
                "accuracy_bound": Estimate(bounds, bound_errors),
            }
        ),
        "converged": converged,
        # Means are not compared between cells.
        "image_right": right[:, KINDS.index("sample")],
    }


def _top_knowledge(
    hvae: HVAE,
    variables: Variables,
    labels: np.ndarray,
    taps: dict[str, np.ndarray],
    *,
    classes: int,
) -> dict[str, np.ndarray]:
    """Information of the top layer on image and label, its bound, its mismatch with its prior.

    The estimated information on n images is at most log n. Near that limit it says nothing about
    the mismatch, which is NaN then.
    """
    prior = _top_prior(hvae, variables)
    top = layer_names(len(hvae.shapes))[0]
    information = aggregate_information(
        *(taps[f"{top}/{part}"] for part in ("sample", "mean", "log_variance")),
        labels=labels,
        prior_mean=prior.mean[0],
        prior_log_variance=prior.log_variance[0],
    )
    estimates = {f"top_{name}": estimate for name, estimate in information._asdict().items()}
    if information.information.value > math.log(len(labels)) - 1:
        estimates["top_mismatch"] = Estimate(np.float64(np.nan), np.float64(np.nan))
    shares = np.bincount(labels, minlength=classes) / len(labels)
    bound = bound_estimate(estimates["top_label_information"], shares)
    return {
        **_with_errors(estimates | {"top_accuracy_bound": bound}),
        "label_shares": shares,
    }


@partial(jax.jit, static_argnames="hvae")
def _top_prior(hvae: HVAE, variables: Variables) -> Gaussian:
    """The prior of the top layer, which is the same for every image."""
    image, noise = jnp.zeros((1, *hvae.image_shape)), jnp.zeros((1, hvae.latents))
    return hvae.apply(variables, image, noise).layers[0].prior


def _geometry(hvae: HVAE, taps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The intrinsic dimension of every layer, and the imbalance from it to the input and back."""
    names = layer_names(len(hvae.shapes))
    spaces = {"input": taps["input"], **{f"{z}/mean": taps[f"{z}/mean"] for z in names}}
    measured = profile(spaces | {f"{z}/sample": taps[f"{z}/sample"] for z in names})
    # The input, then the means, then the samples.
    dimension = measured.dimension[1:].reshape(2, -1)[::-1].T
    lacking, beyond = (
        one[1:].reshape(2, -1)[::-1].T for one in (measured.imbalance[:, 0], measured.imbalance[0])
    )
    return {
        "input_dimension": measured.dimension[0],
        "intrinsic_dimension": dimension,
        "imbalance_to_input": lacking,
        "imbalance_from_input": beyond,
    }


def _with_errors(estimates: dict[str, Estimate]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, (value, error) in estimates.items():
        arrays[name], arrays[f"{name}_stderr"] = np.asarray(value), np.asarray(error)
    return arrays
