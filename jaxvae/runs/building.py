"""The model and the trainer of a run, from its settings."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any

import jax
import numpy as np
import optax

from jaxvae import models
from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.models.hvae import HVAE
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.vae import VAE, Outputs, Variables
from jaxvae.objectives.multipliers import objective_multipliers
from jaxvae.objectives.schedules import linear_ramp
from jaxvae.runs.choices import (
    called,
    has_bottleneck,
    is_foreign,
    likelihood_options,
    likelihoods,
    named_likelihood,
    named_network,
    named_objective,
    named_objectives,
    network_options,
    networks,
    objective_coefficients,
    refuse_other_options,
    refuse_unknown,
)
from jaxvae.runs.config import RunConfig, numbers
from jaxvae.runs.folder import as_json
from jaxvae.training.refusals import outputs_of
from jaxvae.training.stability import averaged, stabilized
from jaxvae.training.trainer import Adversary, Trainer, vae_trainer
from jaxvae.typing import ImageShape, Key

_LATENTS = 10
# A hierarchy may have so many layers over all resolutions together.
_MOST_LAYERS = 1000
_ADVERSARY = {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}
# With a rate one nat above its target, the beta doubles in 700 steps.
_MULTIPLIER_STEP = 1e-3


def key_of(seed: int) -> Key:
    """The key of a seed, of one generator whatever JAX's default is: a run is its settings.

    It is the one with which a run in an ensemble, as of a sweep, does not depend on the others.
    """
    return jax.random.key(seed, impl="threefry2x32")


def run_keys(config: RunConfig) -> tuple[Key, Key]:
    """The keys of training and of measuring a run."""
    train_key, measure_key = jax.random.split(key_of(config.seed))
    return train_key, measure_key


def in_effect(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run by name, as JSON has them, with defaults where nothing was given.

    These are the size of the bottleneck, and what the network, the likelihood and the objective
    take by name. Of code outside of jaxvae, which is not imported for this, they stay unknown.

    Args:
        settings: fields of a `RunConfig`, and what may stand beside them; none gives none.
    """
    network = networks().get(str(settings.get("network")))
    likelihood = likelihoods().get(str(settings.get("likelihood")))
    objective = named_objectives().get(str(settings.get("objective")))
    takes = {
        "options": {} if network is None else network_options(network),
        "likelihood_options": {} if likelihood is None else likelihood_options(likelihood),
        "coefficients": {} if objective is None else objective_coefficients(objective),
    }
    shown = dict(settings)
    for field, parameters in takes.items():
        if isinstance(given := settings.get(field), Mapping):
            defaults = {name: each.default for name, each in parameters.items()}
            unset = (inspect.Parameter.empty, None, ())
            set_ones = {name: each for name, each in defaults.items() if each not in unset}
            shown[field] = set_ones | {**given}
    if network is not None and has_bottleneck(network) and settings.get("latents") is None:
        shown["latents"] = _LATENTS
    return as_json(shown)


def build_model(config: RunConfig, image_shape: ImageShape) -> VAE | HVAE:
    """The model of a run on images of this shape.

    Raises:
        ValueError: for names that there are not, options that the network or the likelihood
            does not take, latents of a hierarchy, and images that it cannot take.
    """
    network, likelihood = named_network(config.network), named_likelihood(config.likelihood)
    takes = network_options(network)
    refuse_other_options(config.network, config.options, network, takes)
    takes = likelihood_options(likelihood)
    refuse_other_options(config.likelihood, config.likelihood_options, likelihood, takes)
    _refuse_too_deep(config)
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.options.items()
    }
    if has_bottleneck(network):
        options["latents"] = _LATENTS if config.latents is None else config.latents
    elif config.latents is not None:
        raise ValueError(
            f"expected no latents for {config.network}, whose sizes are options: "
            f"{', '.join(network_options(network))}; got {config.latents}"
        )
    of_images = called(config.likelihood, likelihood, **config.likelihood_options)
    if not isinstance(of_images, Likelihood):
        raise ValueError(
            f"expected a Likelihood of {config.likelihood}, got {type(of_images).__name__}"
        )
    shape = {"image_shape": image_shape, "likelihood": of_images}
    model = called(config.network, network, **shape, **options)
    if not isinstance(model, VAE | HVAE):
        raise ValueError(
            f"expected a VAE or an HVAE of {config.network}, got {type(model).__name__}"
        )
    return models.initialized(model, config.initialization)


def variable_shapes(model: VAE | HVAE) -> Variables:
    """The shapes of all that a model learns."""
    return jax.eval_shape(model.init, jax.random.key(0))


def parameter_count(model: VAE | HVAE) -> int:
    """The number of parameters of a model."""
    return sum(leaf.size for leaf in jax.tree.leaves(variable_shapes(model).params))


def given_coefficients(config: RunConfig) -> dict[str, Any]:
    """The coefficients of a run as arrays take them: NaN where a layer has none."""
    return {
        name: value
        if isinstance(value, int | float)
        else tuple(math.nan if each is None else each for each in value)
        for name, value in config.coefficients.items()
    }


def refuse_other_coefficients(config: RunConfig) -> None:
    """Refuse an objective that there is not, and coefficients and ramps that it does not take.

    Raises:
        ValueError: as `build_trainer`, for what is wrong whatever the model.
    """
    _coefficients(config, named_objective(config.objective))


def build_trainer(config: RunConfig, vae: VAE | HVAE, *, dataset_size: int) -> Trainer:
    """The trainer of a run.

    Args:
        config: configuration of the run.
        vae: model of `build_model`.
        dataset_size: training images, which some objectives need to know.

    Raises:
        ValueError: for an objective that there is not or that is not one of such a model,
            coefficients that it does not take or lacks, and ramps of others than its
            coefficients.
    """
    objective: Callable[..., Any] = named_objective(config.objective)
    _refuse_other_models(config, objective, vae)
    _refuse_other_counts(config, vae)
    takes = inspect.signature(objective).parameters
    multipliers = objective_multipliers(objective)
    if is_foreign(config.objective):
        objective = _guarded(config.objective, objective)
    if "dataset_size" in takes:
        objective = partial(objective, dataset_size=dataset_size)
    adversary = None
    if "discriminator" in takes:
        discriminator = models.initialized(
            models.dense_discriminator(latents=vae.latents), config.initialization
        )
        adversary = Adversary(discriminator, optax.adam(**_ADVERSARY))
    return vae_trainer(
        vae,
        objective,
        build_optimizer(config),
        coefficients=_coefficients(config, objective),
        schedules={
            name: partial(linear_ramp, steps=np.asarray(steps))
            for name, steps in config.ramps.items()
        },
        multipliers=dict.fromkeys(multipliers, _MULTIPLIER_STEP),
        adversary=adversary,
    )


def _refuse_too_deep(config: RunConfig) -> None:
    """Refuse what would be traced for hours."""
    for name, value in config.options.items():
        if is_foreign(config.network) or not isinstance(value, list | tuple):
            continue
        layers = sum(value) if name == "blocks" else len(value)
        if layers > _MOST_LAYERS:
            raise ValueError(
                f"expected {name} of {config.network} of at most {_MOST_LAYERS:,} in all, "
                f"got {layers:,}"
            )


def _guarded(name: str, objective: Callable[..., Any]) -> Callable[..., Any]:
    """An objective of the user's own, whose errors are said in one line."""

    @wraps(objective)
    def guarded(*given: Any, **options: Any) -> Any:
        return called(name, objective, *given, **options)

    return guarded


def build_optimizer(config: RunConfig) -> optax.GradientTransformation:
    """Adam with what surrounds it; the learning rate stays in its state, for ensembles."""
    adam = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))
    optimizer = adam(learning_rate=config.learning_rate, eps=config.epsilon)
    if config.l2:
        optimizer = optax.chain(optax.add_decayed_weights(config.l2), optimizer)
    if config.warmup:
        # A factor of the update, since a scheduled rate could not be set for one member.
        ramp = optax.linear_schedule(0.0, 1.0, config.warmup)
        optimizer = optax.chain(optimizer, optax.scale_by_schedule(ramp))
    if config.average is not None:
        optimizer = averaged(optimizer, decay=config.average)
    if config.clip is None and config.skip is None:
        return optimizer
    norms = {"clip": config.clip, "skip": config.skip}
    given = {name: norm for name, norm in norms.items() if norm is not None}
    return stabilized(optimizer, **given)


def _coefficients(config: RunConfig, objective: Callable[..., Any]) -> dict[str, Any]:
    """The given coefficients, and the defaults of those that change and were not given."""
    known = objective_coefficients(objective)
    refuse_unknown(f"coefficients of {config.objective}", config.coefficients, known)
    refuse_unknown(f"ramps of {config.objective}", config.ramps, known)
    multipliers = objective_multipliers(objective)
    for name, value in config.coefficients.items():
        if None in numbers(value) and (name in multipliers or not multipliers):
            raise ValueError(f"expected a number for every {name}, got none among {value}")
    changing = {**config.ramps, **multipliers}
    defaults = {
        name: known[name].default
        for name in changing
        if isinstance(known[name].default, int | float)
    }
    coefficients = {**defaults, **given_coefficients(config)}
    required = [name for name, parameter in known.items() if parameter.default is parameter.empty]
    lacking = [name for name in [*required, *config.ramps] if name not in coefficients]
    if lacking:
        raise ValueError(f"expected the coefficient {lacking[0]} of {config.objective}, got none")
    return coefficients


def _refuse_other_models(
    config: RunConfig, objective: Callable[..., Any], model: VAE | HVAE
) -> None:
    wanted = HierarchyOutputs if isinstance(model, HVAE) else Outputs
    if outputs_of(objective) not in (None, wanted):
        kind = "a hierarchy of latents" if isinstance(model, HVAE) else "one bottleneck"
        among = [name for name, each in named_objectives().items() if outputs_of(each) is wanted]
        raise ValueError(
            f"expected for {config.network}, a network of {kind}, an objective among "
            f"{', '.join(among)}; got {config.objective}"
        )


def _refuse_other_counts(config: RunConfig, model: VAE | HVAE) -> None:
    """Refuse several numbers for one bottleneck, and other than one for every layer."""
    layers = len(model.shapes)
    for name, value in (*config.coefficients.items(), *config.ramps.items()):
        if isinstance(value, Sequence) and (len(value) != layers or layers == 1):
            wanted = f"one number, or {layers} for its layers" if layers > 1 else "one number"
            raise ValueError(f"expected {wanted}, as {name} of {config.network}, got {value}")
