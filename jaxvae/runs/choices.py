"""The networks, objectives and likelihoods by name, and the options that each takes.

Networks, objectives and likelihoods go by the names of their functions in
`jaxvae.models` and `jaxvae.objectives`; a function of your own by `package.module:name`,
which is imported, and refused before it is called where it cannot be one.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, get_origin, get_type_hints

import numpy as np

from jaxvae import models, objectives
from jaxvae.files.refusals import did_you_mean
from jaxvae.models.hvae import HVAE
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.vae import VAE
from jaxvae.training.refusals import outputs_of

# Steps and sizes are counted in int32 on the device.
LARGEST = 2**31 - 1
# The positive numbers that float32 holds in full.
TINY, HUGE = (float(bound) for bound in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


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
    """The options of a network besides shape, size and likelihood, by name."""
    given = {"image_shape", "latents", "likelihood"}
    return {name: each for name, each in _by_name(network).items() if name not in given}


def has_bottleneck(network: Callable[..., VAE | HVAE]) -> bool:
    """Whether a network takes a number of latents; the sizes of a hierarchy are options."""
    return "latents" in inspect.signature(network).parameters


def likelihood_options(likelihood: Callable[..., Likelihood]) -> dict[str, inspect.Parameter]:
    """The options of a likelihood, by name."""
    return _by_name(likelihood)


def objective_coefficients(objective: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The numbers that an objective takes by name."""
    first = next(iter(inspect.signature(objective).parameters), "")
    given = {first, "dataset_size", "discriminator"}
    return {name: each for name, each in _by_name(objective).items() if name not in given}


def named_network(name: str) -> Callable[..., VAE | HVAE]:
    """The network of this name: a function that takes `image_shape` first, and `likelihood`."""

    def is_one(function: Callable[..., Any]) -> bool:
        takes = list(inspect.signature(function).parameters)
        return takes[:1] == ["image_shape"] and "likelihood" in takes

    wanted = "to take image_shape first, and likelihood"
    return _named("network", name, networks(), is_one, wanted)


def named_objective(name: str) -> Callable[..., Any]:
    """The objective of this name: a function that takes `outputs` first."""

    def is_one(function: Callable[..., Any]) -> bool:
        return bool(outputs_of(function)) or list(inspect.signature(function).parameters)[:1] == [
            "outputs"
        ]

    return _named("objective", name, named_objectives(), is_one, "to take outputs first")


def named_likelihood(name: str) -> Callable[..., Likelihood]:
    """The likelihood of this name: a function that says it returns a `Likelihood`."""

    def is_one(function: Callable[..., Any]) -> bool:
        return get_type_hints(function).get("return") is Likelihood

    return _named("likelihood", name, likelihoods(), is_one, "to be annotated -> Likelihood")


def is_foreign(name: str) -> bool:
    """Whether a name is that of code elsewhere, which runs where it is looked up."""
    return ":" in name


def refuse_unknown(kind: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse names that are not among those known.

    Raises:
        ValueError: lists what there is.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        among = ", ".join(known) or "none (it takes none)"
        close = did_you_mean(known, *unknown)
        raise ValueError(f"expected {kind} among {among}; got {', '.join(unknown)}{close}")


def refuse_other_options(
    kind: str, given: Mapping[str, Any], function: Callable[..., Any], known: Mapping[str, Any]
) -> None:
    """Refuse what a network or a likelihood would fail over.

    Raises:
        ValueError: for names that are not among those known, values of another kind than
            the function is annotated with, counts below 1, and what is required and lacks.
    """
    refuse_unknown(f"options of {kind}", given, known)
    hints = get_type_hints(function)
    for name, value in given.items():
        if not _is_a(value, hints.get(name)):
            raise ValueError(f"expected {name} of {kind} as {_words(hints[name])}, got {value!r}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in given:
            raise ValueError(f"expected the option {name} of {kind}, got none")


def called(name: str, function: Callable[..., Any], /, *given: Any, **options: Any) -> Any:
    """The result of the function of this name.

    Raises:
        ValueError: for whatever a function of the user's own raises, in one line.
    """
    try:
        return function(*given, **options)
    except (Exception, SystemExit) as error:
        if not is_foreign(name):
            raise
        raise ValueError(f"expected {name} to return, got {_error_text(error)}") from error


def _by_name(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by a name of their own: neither `*args` nor `**more`."""
    parameters = inspect.signature(function).parameters.items()
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name: each for name, each in parameters if each.kind in kinds}


def _error_text(error: BaseException) -> str:
    kind, (first, *_) = type(error).__name__, [*str(error).split("\n")]
    return f"{kind}: {first}" if first else kind


def _is_a(value: Any, hint: Any) -> bool:
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Sequence):
        return isinstance(value, list | tuple) and all(_is_a(each, int) for each in value)
    if hint is int:
        return type(value) is int and 1 <= value <= LARGEST
    if hint is float:
        return _is_number(value)
    return not isinstance(hint, type) or isinstance(value, hint)


def _is_number(value: Any) -> bool:
    """Whether it is a number that float32 holds, 0 or one that does not become 0 there."""
    return type(value) in (int, float) and (value == 0 or TINY <= abs(value) <= HUGE)


def _words(hint: Any) -> str:
    counts = {
        int: "a count from 1",
        float: "a number of float32",
        bool: "true or false",
        str: "a word",
    }
    return counts.get(hint, "counts from 1")


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(module).items() if inspect.isfunction(value)}


def _named(
    kind: str,
    name: str,
    known: Mapping[str, Callable[..., Any]],
    is_one: Callable[[Callable[..., Any]], bool],
    wanted: str,
) -> Callable[..., Any]:
    if name in known:
        return known[name]
    if not is_foreign(name):
        raise ValueError(
            f"expected as {kind} one of {', '.join(known)}, or package.module:name, got {name!r}"
            f"{did_you_mean(known, name)}"
        )
    function = _imported(kind, name)
    try:
        fits = is_one(function)
    except (ValueError, TypeError, NameError, AttributeError):  # it has no signature
        fits = False
    if not fits:
        raise ValueError(f"expected {name}, as {kind}, {wanted}; got another function")
    return function


def _imported(kind: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        # For modules beside the user; last, so that nothing there hides a package.
        sys.path.append(os.getcwd())
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module may raise anything
        message = (
            str(error) if isinstance(error, ImportError | AttributeError) else _error_text(error)
        )
        raise ValueError(f"expected {attribute} in {module} as {kind}, got {message}") from error
    if not callable(function):
        raise ValueError(f"expected {name} to be a function, got {type(function).__name__}")
    return function
