"""A run in words: names and numbers -> its model and its trainer.

The names are those of `jaxvae.runs.choices`.
"""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import optax

from jaxvae import models
from jaxvae.models.hvae import HVAE, HierarchyOutputs
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.vae import VAE, Outputs
from jaxvae.objectives.schedules import linear_ramp
from jaxvae.runs.choices import (
    HUGE,
    LARGEST,
    TINY,
    called,
    is_foreign,
    likelihood_options,
    named_likelihood,
    named_network,
    named_objective,
    named_objectives,
    network_options,
    objective_coefficients,
    objective_multipliers,
    outputs_of,
    refuse_other_options,
    refuse_unknown,
)
from jaxvae.runs.folder import read_settings, write_settings
from jaxvae.training.stability import averaged, stabilized
from jaxvae.training.trainer import Adversary, Trainer, vae_trainer

# A number, or one a layer of a hierarchy from the top to the bottom, None for those without.
Coefficient = float | Sequence[float | None]

_LATENTS = 10
# Of all resolutions together.
_MOST_LAYERS = 1000
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
        binarize: whether pixels are made black or white, at half of the range.
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
        epsilon: of Adam, which divides by sqrt(second moment) + epsilon.
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
    binarize: bool = False
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
    epsilon: float = 1e-8
    l2: float = 0.0
    clip: float | None = None
    skip: float | None = None
    average: float | None = None
    warmup: int | None = None
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0

    def __hash__(self) -> int:
        # What it holds in dictionaries is made of JSON's kinds.
        return hash(json.dumps(dataclasses.asdict(self), sort_keys=True, default=str))

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            _refuse_other_kinds(name, getattr(self, name), hint)
        for name in ("learning_rate", "epsilon", "l2", "clip", "skip"):
            value = getattr(self, name)
            if value is not None and not (name == "l2" and value == 0):
                _refuse_beyond_float32(name, value)
        for name in ("latents", "batch_size", "epochs", "warmup"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"expected {name} of at least 1, got {count}")
            if count is not None and count > LARGEST:
                raise ValueError(f"expected {name} of at most {LARGEST}, got {count}")
        if not 0 <= self.seed < 2**32:
            bound = "of at least 0" if self.seed < 0 else f"below {2**32}"
            raise ValueError(f"expected seed {bound}, got {self.seed}")
        for name, given in self.coefficients.items():
            if not all(map(_is_coefficient, numbers(given))):
                raise ValueError(f"expected a finite {name}, got {given}")
        for name, steps in self.ramps.items():
            if any(type(count) is not int or count < 1 for count in numbers(steps)):
                raise ValueError(f"expected a ramp of {name} over at least 1 step, got {steps}")
            if max(numbers(steps)) > LARGEST:
                raise ValueError(f"expected a ramp of {name} over at most {LARGEST}, got {steps}")


def build_model(config: RunConfig, image_shape: tuple[int, int, int]) -> VAE | HVAE:
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
    if "latents" in inspect.signature(network).parameters:
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
    _refuse_other_counts(config, vae)
    takes = inspect.signature(objective).parameters
    multipliers = objective_multipliers(objective)
    coefficients = _coefficients(config, objective)
    if isinstance(vae, HVAE):
        coefficients = {
            name: _for_every_layer(value, vae) if multipliers.get(name) else value
            for name, value in coefficients.items()
        }
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


def read_config(path: Path, *, trust: bool = False) -> tuple[RunConfig, tuple[int, int, int]]:
    """The configuration that `write_config` wrote, and the shape of the images.

    Args:
        path: where it is.
        trust: whether code that it names outside of jaxvae, which runs when the model is
            built, may run.

    Raises:
        ValueError: for a file that is none, and for one that names other code where it is
            not trusted.
        OSError: for a file that cannot be read.
    """
    try:
        settings = read_settings(path)
    except ValueError as error:
        raise ValueError(f"expected the settings of a run in {path}, got {error}") from error
    return parsed_config(settings, path, trust=trust)


def parsed_config(
    settings: Mapping[str, Any], path: Path, *, trust: bool = False
) -> tuple[RunConfig, tuple[int, int, int]]:
    """The configuration that `run_settings` made settings of, and the shape of the images.

    Args:
        settings: as they were read.
        path: of the file that they were in.
        trust: as for `read_config`.

    Raises:
        ValueError: as `read_config`.
    """
    told = dict(settings)
    try:
        height, width, channels = image_shape = tuple(told.pop("image_shape"))
        if not all(type(side) is int and 1 <= side <= LARGEST for side in image_shape):
            raise ValueError(f"image_shape {image_shape}")
        config = RunConfig(**told)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected the settings of a run in {path}, got {error}") from error
    foreign = filter(is_foreign, (config.network, config.likelihood, config.objective))
    for name in () if trust else foreign:
        raise ValueError(
            f"expected names of jaxvae in {path}, got {name}, code that would be run; only where "
            "you know whose it is, allow it with --trust"
        )
    return config, (height, width, channels)


@cache
def _hints() -> dict[str, Any]:
    """What kinds the settings are of; a sweep has thousands of configurations."""
    return get_type_hints(RunConfig)


def _refuse_beyond_float32(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"expected {name} finite and positive, got {value}")
    if not TINY <= value <= HUGE:
        raise ValueError(
            f"expected {name} of {TINY:.2g} to {HUGE:.2g}, as float32 has them, got {value}"
        )


def _refuse_other_kinds(name: str, value: Any, hint: Any) -> None:
    alternatives = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(each) or each for each in alternatives)
    kinds += (int,) * (float in kinds)
    if isinstance(value, bool) != (hint is bool) or not isinstance(value, kinds):
        among = " or ".join(kind.__name__ for kind in kinds if kind is not NoneType)
        raise ValueError(f"expected {name} as {among}, got {value!r}")


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


def _optimizer(config: RunConfig) -> optax.GradientTransformation:
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


def _is_coefficient(value: Any) -> bool:
    """A number of float32, or None for a layer without one."""
    return value is None or (type(value) in (int, float) and abs(value) <= HUGE)


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


def _refuse_other_counts(config: RunConfig, model: VAE | HVAE) -> None:
    """Refuse several numbers for one bottleneck, and other than one for every layer."""
    layers = len(model.shapes)
    for name, value in (*config.coefficients.items(), *config.ramps.items()):
        if isinstance(value, Sequence) and (len(value) != layers or layers == 1):
            wanted = f"one number, or {layers} for its layers" if layers > 1 else "one number"
            raise ValueError(f"expected {wanted}, as {name} of {config.network}, got {value}")
