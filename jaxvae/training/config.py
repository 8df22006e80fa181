"""A run in words: names and numbers -> its model and its trainer.

Networks, objectives and likelihoods go by the names of their functions in
`jaxvae.models` and `jaxvae.objectives`; a function of your own by `package.module:name`.
"""

import dataclasses
import importlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import optax

from jaxvae import models, objectives
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.vae import VAE, Outputs
from jaxvae.objectives.schedules import linear_ramp
from jaxvae.training.trainer import Adversary, Trainer, vae_trainer

_ADVERSARY = {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is trained, on what, and how.

    Attributes:
        data: a name that `jaxvae.data.load` knows.
        image_size: pixels along each side to resize to; None for the images as they are.
        train_size: training images; None for all.
        network: such as `compact_vae`.
        options: what else the network takes, such as `widths`.
        latents: size of the bottleneck.
        likelihood: of the images.
        objective: such as `beta_tc_vae`.
        coefficients: of the objective.
        ramps: steps over which a coefficient grows from 0, by its name.
        learning_rate: of Adam.
        l2: penalty, added to the gradient before Adam.
        batch_size: images a step.
        epochs: passes over the training images.
        seed: of parameters, noise and batches.
    """

    data: str = "sprites"
    image_size: int | None = None
    train_size: int | None = None
    network: str = "compact_vae"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    latents: int = 10
    likelihood: str = "bernoulli"
    objective: str = "beta_vae"
    coefficients: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ramps: Mapping[str, int] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-4
    l2: float = 0.0
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("learning_rate", self.learning_rate), ("l2", self.l2)):
            if not (math.isfinite(value) and (value > 0 or (name == "l2" and value == 0))):
                raise ValueError(f"expected a finite positive {name}, got {value}")
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} of at least {least}, got {getattr(self, name)}")
        for name, value in self.coefficients.items():
            if not math.isfinite(value):
                raise ValueError(f"expected a finite {name}, got {value}")
        for name, steps in self.ramps.items():
            if steps < 1:
                raise ValueError(f"expected a ramp of {name} over at least 1 step, got {steps}")


def build_model(config: RunConfig, image_shape: tuple[int, int, int]) -> VAE:
    """The model of a run on images of this shape.

    Raises:
        ValueError: for names that there are not, options that the network does not take,
            and images that it cannot take.
    """
    network, likelihood = named_network(config.network), named_likelihood(config.likelihood)()
    known = set(inspect.signature(network).parameters) - {"image_shape", "latents", "likelihood"}
    if not set(config.options) <= known:
        raise ValueError(
            f"expected options of {config.network} among {sorted(known)}, "
            f"got {sorted(config.options)}"
        )
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.options.items()
    }
    return network(
        image_shape=image_shape, latents=config.latents, likelihood=likelihood, **options
    )


def build_trainer(config: RunConfig, vae: VAE, *, dataset_size: int) -> Trainer:
    """The trainer of a run.

    Args:
        config: of the run.
        vae: of `build_model`.
        dataset_size: training images, which some objectives need to know.

    Raises:
        ValueError: for an objective that there is not, and coefficients that it does not
            take or lacks.
    """
    objective: Callable[..., Any] = named_objective(config.objective)
    takes = inspect.signature(objective).parameters
    if "dataset_size" in takes:
        objective = partial(objective, dataset_size=dataset_size)
    adversary = None
    if "discriminator" in takes:
        discriminator = models.dense_discriminator(latents=vae.latents)
        adversary = Adversary(discriminator, optax.adam(**_ADVERSARY))
    adam = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))
    optimizer = adam(learning_rate=config.learning_rate)
    if config.l2:
        optimizer = optax.chain(optax.add_decayed_weights(config.l2), optimizer)
    return vae_trainer(
        vae,
        objective,
        optimizer,
        coefficients=config.coefficients,
        schedules={name: partial(linear_ramp, steps=n) for name, n in config.ramps.items()},
        adversary=adversary,
    )


def networks() -> dict[str, Callable[..., VAE]]:
    """The named networks: functions of `jaxvae.models` from a shape and a size to a VAE."""
    return {
        name: function
        for name, function in _functions(models).items()
        if {"image_shape", "latents", "likelihood"} <= set(inspect.signature(function).parameters)
        and name != "build_vae"
    }


def named_objectives() -> dict[str, Callable[..., Any]]:
    """The objectives: functions of `jaxvae.objectives` whose first argument are `Outputs`."""
    return {
        name: function
        for name, function in _functions(objectives).items()
        if next(iter(get_type_hints(function).values()), None) is Outputs
    }


def likelihoods() -> dict[str, Callable[..., Likelihood]]:
    """The likelihoods: functions of `jaxvae.models` that return one."""
    return {
        name: function
        for name, function in _functions(models).items()
        if get_type_hints(function).get("return") is Likelihood
    }


def named_network(name: str) -> Callable[..., VAE]:
    """The network of this name."""
    return _named("network", name, networks())


def named_objective(name: str) -> Callable[..., Any]:
    """The objective of this name."""
    return _named("objective", name, named_objectives())


def named_likelihood(name: str) -> Callable[..., Likelihood]:
    """The likelihood of this name."""
    return _named("likelihood", name, likelihoods())


def write_config(path: Path, config: RunConfig) -> None:
    """Write a configuration as JSON."""
    path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def read_config(path: Path) -> RunConfig:
    """The configuration that `write_config` wrote.

    Raises:
        ValueError: for a file that is none.
        OSError: for a file that cannot be read.
    """
    try:
        return RunConfig(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"expected the settings of a run in {path}, got {error}") from error


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(module).items() if inspect.isfunction(value)}


def _named(kind: str, name: str, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if name in known:
        return known[name]
    place, _, attribute = name.partition(":")
    if attribute:
        try:
            return getattr(importlib.import_module(place), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"expected a {kind} {attribute} in {place}, got {error}") from error
    raise ValueError(
        f"expected a {kind} among {', '.join(known)}, or package.module:name, got {name!r}"
    )
