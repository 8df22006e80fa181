"""A run in words: names and numbers -> its model and its trainer.

The names are those of `jaxvae.training.choices`.
"""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optax

from jaxvae import models
from jaxvae.models.hvae import HVAE, HierarchyOutputs
from jaxvae.models.vae import VAE, Outputs
from jaxvae.objectives.schedules import linear_ramp
from jaxvae.training.choices import (
    likelihood_options,
    named_likelihood,
    named_network,
    named_objective,
    named_objectives,
    network_options,
    objective_coefficients,
    objective_multipliers,
    outputs_of,
    refuse_unknown,
)
from jaxvae.training.folder import write_settings
from jaxvae.training.stability import averaged, stabilized
from jaxvae.training.trainer import Adversary, Trainer, vae_trainer

# A number, or one a layer of a hierarchy from the top to the bottom, None for those without.
Coefficient = float | Sequence[float | None]

_LATENTS = 10
_ADVERSARY = {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}
# Nats above a target that double a price in 700 steps.
_MULTIPLIER_STEP = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is trained, on what, and how.

    Attributes:
        data: a name that `jaxvae.data.load` knows.
        image_size: pixels along each side to resize to; None for the images as they are.
        train_size: training images; None for all.
        network: such as `compact_vae`.
        options: what else the network takes, such as `widths`.
        latents: size of the bottleneck; None for 10, and for hierarchies, whose sizes are
            options.
        initialization: of the layers, as `jaxvae.models.initialized` names it.
        likelihood: of the images.
        likelihood_options: what it takes, such as `standard_deviation`.
        objective: such as `beta_tc_vae`.
        coefficients: of the objective, by name: a number, or one for every layer of a
            hierarchy, from the top to the bottom.
        ramps: steps over which a coefficient grows from 0, by its name, or for every layer.
        learning_rate: of Adam.
        l2: penalty, added to the gradient before Adam.
        clip: norm to which larger gradients are scaled down, before the penalty; None for
            gradients as they are.
        skip: norm beyond which a gradient is not used at all; None for no such norm. With
            `clip` or `skip`, gradients that are not finite are never used.
        average: decay of the moving average of the parameters, which is then what is saved
            and evaluated; None for the parameters themselves.
        warmup: steps over which the learning rate grows from 0; None for none.
        batch_size: images a step.
        epochs: passes over the training images.
        seed: of parameters, noise and batches.
    """

    data: str = "sprites"
    image_size: int | None = None
    train_size: int | None = None
    network: str = "compact_vae"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    latents: int | None = None
    initialization: str = "flax"
    likelihood: str = "bernoulli"
    likelihood_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    objective: str = "beta_vae"
    coefficients: Mapping[str, Coefficient] = dataclasses.field(default_factory=dict)
    ramps: Mapping[str, int | Sequence[int]] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-4
    l2: float = 0.0
    clip: float | None = None
    skip: float | None = None
    average: float | None = None
    warmup: int | None = None
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("learning_rate", self.learning_rate), ("l2", self.l2)):
            if not (math.isfinite(value) and (value > 0 or (name == "l2" and value == 0))):
                raise ValueError(f"expected {name} finite and positive, got {value}")
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0), ("warmup", 1)):
            count = getattr(self, name)
            if count is not None and count < least:
                raise ValueError(f"expected {name} of at least {least}, got {count}")
        if self.seed >= 2**32:
            raise ValueError(f"expected seed below {2**32}, got {self.seed}")
        for name, given in self.coefficients.items():
            if not all(number is None or math.isfinite(number) for number in numbers(given)):
                raise ValueError(f"expected a finite {name}, got {given}")
        for name, steps in self.ramps.items():
            if any(count is None or count < 1 for count in numbers(steps)):
                raise ValueError(f"expected a ramp of {name} over at least 1 step, got {steps}")


def build_model(config: RunConfig, image_shape: tuple[int, int, int]) -> VAE | HVAE:
    """The model of a run on images of this shape.

    Raises:
        ValueError: for names that there are not, options that the network or the likelihood
            does not take, latents of a hierarchy, and images that it cannot take.
    """
    network, likelihood = named_network(config.network), named_likelihood(config.likelihood)
    refuse_unknown(f"options of {config.network}", config.options, network_options(network))
    takes = likelihood_options(likelihood)
    refuse_unknown(f"options of {config.likelihood}", config.likelihood_options, takes)
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.options.items()
    }
    if "latents" in inspect.signature(network).parameters:
        options["latents"] = _LATENTS if config.latents is None else config.latents
    elif config.latents is not None:
        raise ValueError(
            f"expected no latents for {config.network}, whose sizes are options: "
            f"{', '.join(network_options(network))}; got {config.latents}"
        )
    model = network(
        image_shape=image_shape, likelihood=likelihood(**config.likelihood_options), **options
    )
    return models.initialized(model, config.initialization)


def build_trainer(config: RunConfig, vae: VAE | HVAE, *, dataset_size: int) -> Trainer:
    """The trainer of a run.

    Args:
        config: of the run.
        vae: of `build_model`.
        dataset_size: training images, which some objectives need to know.

    Raises:
        ValueError: for an objective that there is not or that is not one of such a model,
            coefficients that it does not take or lacks, and ramps of others than its
            coefficients.
    """
    objective: Callable[..., Any] = named_objective(config.objective)
    _refuse_other_models(config, objective, vae)
    takes = inspect.signature(objective).parameters
    multipliers = objective_multipliers(objective)
    coefficients = _coefficients(config, objective)
    if isinstance(vae, HVAE):
        coefficients = {
            name: _for_every_layer(value, vae) if multipliers.get(name) else value
            for name, value in coefficients.items()
        }
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
        _optimizer(config),
        coefficients=coefficients,
        schedules={
            name: partial(linear_ramp, steps=np.asarray(steps))
            for name, steps in config.ramps.items()
        },
        multipliers=dict.fromkeys(multipliers, _MULTIPLIER_STEP),
        adversary=adversary,
    )


def run_settings(config: RunConfig, *, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """All that a run is told, and the shape of its images, without which no model is built."""
    return {**dataclasses.asdict(config), "image_shape": list(image_shape)}


def write_config(path: Path, config: RunConfig, *, image_shape: tuple[int, int, int]) -> None:
    """Write a configuration as JSON, whole; makes the folder.

    Args:
        path: `run.json` in the folder of the run.
        config: of the run.
        image_shape: `(h, w, c)` of the images it is trained on.

    Raises:
        OSError: if it cannot be written.
    """
    write_settings(path, run_settings(config, image_shape=image_shape))


def read_config(path: Path) -> tuple[RunConfig, tuple[int, int, int]]:
    """The configuration that `write_config` wrote, and the shape of the images.

    Raises:
        ValueError: for a file that is none.
        OSError: for a file that cannot be read.
    """
    try:
        settings = json.loads(path.read_text())
        height, width, channels = map(int, settings.pop("image_shape"))
        return RunConfig(**settings), (height, width, channels)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected the settings of a run in {path}, got {error}") from error


def _optimizer(config: RunConfig) -> optax.GradientTransformation:
    """Adam with what surrounds it; the learning rate stays in its state, for ensembles."""
    adam = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))
    optimizer = adam(learning_rate=config.learning_rate)
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
    """Those given, and where one changes and was not given, its default."""
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
    given = {
        name: value if isinstance(value, int | float) else tuple(map(_number, value))
        for name, value in config.coefficients.items()
    }
    coefficients = {**defaults, **given}
    required = [name for name, parameter in known.items() if parameter.default is parameter.empty]
    lacking = [name for name in [*required, *config.ramps] if name not in coefficients]
    if lacking:
        raise ValueError(f"expected the coefficient {lacking[0]} of {config.objective}, got none")
    return coefficients


def numbers(value: Any) -> Sequence[Any]:
    """A setting that is one number, or one for every layer, as a sequence."""
    return value if isinstance(value, Sequence) else (value,)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _for_every_layer(value: Any, model: HVAE) -> tuple[float, ...]:
    return (value,) * len(model.shapes) if isinstance(value, int | float) else tuple(value)


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
