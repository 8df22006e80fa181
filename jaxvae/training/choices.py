"""What there is to train with, by name, and what each takes.

Networks, objectives and likelihoods go by the names of their functions in
`jaxvae.models` and `jaxvae.objectives`; a function of your own by `package.module:name`.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, get_origin, get_type_hints

from jaxvae import models, objectives
from jaxvae.models.hvae import HVAE, HierarchyOutputs
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.vae import VAE, Outputs
from jaxvae.objectives.multipliers import LayerMultipliers, Multiplier


def networks() -> dict[str, Callable[..., VAE | HVAE]]:
    """The named networks: functions of `jaxvae.models` from the shape of images to a model."""
    return {
        name: function
        for name, function in _functions(models).items()
        if get_type_hints(function).get("return") in (VAE, HVAE)
        # Those that build one around any network take that first.
        and next(iter(inspect.signature(function).parameters)) == "image_shape"
    }


def named_objectives() -> dict[str, Callable[..., Any]]:
    """The objectives: functions of `jaxvae.objectives` from outputs of a model to a loss."""
    return {
        name: function
        for name, function in _functions(objectives).items()
        if outputs_of(function) and get_origin(get_type_hints(function)["return"]) is tuple
    }


def default_objective(network: Callable[..., VAE | HVAE]) -> str:
    """The objective of a network when none is asked for: the evidence lower bound."""
    hierarchical = get_type_hints(network).get("return") is HVAE
    return "hierarchical_vae" if hierarchical else "beta_vae"


def likelihoods() -> dict[str, Callable[..., Likelihood]]:
    """The likelihoods: functions of `jaxvae.models` that return one."""
    return {
        name: function
        for name, function in _functions(models).items()
        if get_type_hints(function).get("return") is Likelihood
    }


def network_options(network: Callable[..., VAE | HVAE]) -> dict[str, inspect.Parameter]:
    """What a network takes besides shape, size and likelihood, by name."""
    given = {"image_shape", "latents", "likelihood"}
    takes = inspect.signature(network).parameters
    return {name: parameter for name, parameter in takes.items() if name not in given}


def likelihood_options(likelihood: Callable[..., Likelihood]) -> dict[str, inspect.Parameter]:
    """What a likelihood takes, by name."""
    return dict(inspect.signature(likelihood).parameters)


def objective_coefficients(objective: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The numbers that an objective takes by name."""
    takes = list(inspect.signature(objective).parameters.items())[1:]
    given = {"dataset_size", "discriminator"}
    return {name: parameter for name, parameter in takes if name not in given}


def named_network(name: str) -> Callable[..., VAE | HVAE]:
    """The network of this name."""
    return _named("network", name, networks())


def named_objective(name: str) -> Callable[..., Any]:
    """The objective of this name."""
    return _named("objective", name, named_objectives())


def named_likelihood(name: str) -> Callable[..., Likelihood]:
    """The likelihood of this name."""
    return _named("likelihood", name, likelihoods())


def objective_multipliers(objective: Callable[..., Any]) -> dict[str, bool]:
    """The coefficients that are learned, and whether every layer has its own."""
    hints = get_type_hints(objective, include_extras=True)
    kinds = {Multiplier: False, LayerMultipliers: True}
    return {name: kinds[hint] for name, hint in hints.items() if hint in kinds}


def outputs_of(objective: Callable[..., Any]) -> Any:
    """What an objective takes first, where that is known: outputs of a VAE or a hierarchy."""
    first = next(iter(get_type_hints(objective).values()), None)
    return first if first in (Outputs, HierarchyOutputs) else None


def refuse_unknown(kind: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse names that are not among those known.

    Raises:
        ValueError: lists what there is.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        among = ", ".join(known) or "none (it takes none)"
        raise ValueError(f"expected {kind} among {among}; got {', '.join(unknown)}")


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(module).items() if inspect.isfunction(value)}


def _named(kind: str, name: str, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if name in known:
        return known[name]
    place, _, attribute = name.partition(":")
    if attribute:
        try:
            found = getattr(importlib.import_module(place), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"expected {attribute} in {place} as {kind}, got {error}") from error
        if not callable(found):
            raise ValueError(f"expected {name} to be a function, got {type(found).__name__}")
        return found
    raise ValueError(
        f"expected as {kind} one of {', '.join(known)}, or package.module:name, got {name!r}"
    )
