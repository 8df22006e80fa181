"""The settings of a run, from the words of the command line."""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, get_origin, get_type_hints

from jaxvae.runs.choices import (
    default_objective,
    named_likelihood,
    named_network,
)
from jaxvae.runs.config import RunConfig

_FIELDS = {field.name for field in dataclasses.fields(RunConfig)}
LONG_NAMES = {name for name in _FIELDS if "_" in name} - {"likelihood_options"} | {"split"}
"""Settings that messages name: those of several words, whose flags have hyphens, and a split."""


def given_config(arguments: argparse.Namespace, base: RunConfig | None = None) -> RunConfig:
    """The configuration that was given.

    Args:
        arguments: the words of the command line.
        base: configuration of settings that are not given; None for the defaults.

    Raises:
        ValueError: for settings that cannot be read, or make no sense.
    """
    default = RunConfig() if base is None else base
    values = {name: getattr(arguments, name) for name in _FIELDS & set(vars(arguments))}
    network = named_network(values.get("network", default.network))
    likelihood = named_likelihood(values.get("likelihood", default.likelihood))
    if base is None:
        values.setdefault("objective", default_objective(network))
    coefficients = read_pairs("--coefficient", arguments.coefficient, _numbers(float))
    ramps = read_pairs("--ramp", arguments.ramp, _numbers(int))
    if values.get("objective", default.objective) == default.objective:
        coefficients, ramps = {**default.coefficients, **coefficients}, {**default.ramps, **ramps}
    likelihood_options = read_pairs(
        "--likelihood-option", arguments.likelihood_option, _reader(likelihood)
    )
    return dataclasses.replace(
        default,
        **values,
        options={**default.options, **read_pairs("--option", arguments.option, _reader(network))},
        likelihood_options={**default.likelihood_options, **likelihood_options},
        coefficients=coefficients,
        ramps=ramps,
    )


def read_pairs(flag: str, words: Sequence[str], read: Callable[[str, str], Any]) -> dict[str, Any]:
    """The values of words NAME=VALUE by their names.

    Args:
        flag: flag that they were given to.
        words: the words.
        read: `(name, text) -> value`.

    Raises:
        ValueError: for other words, a name that comes twice, and values that cannot be read.
    """
    pairs = {}
    for word in words:
        name, _, text = word.partition("=")
        if not (name and text):
            raise ValueError(f"expected {flag} NAME=VALUE, got {word}")
        if name in pairs:
            raise ValueError(f"expected one {flag} {name}, got also {word}")
        try:
            pairs[name] = read(name, text)
        except ValueError as error:
            raise ValueError(f"expected {flag} NAME=VALUE, got {word}: {error}") from error
    return pairs


def _numbers(read: Callable[[str], Any]) -> Callable[[str, str], Any]:
    """Reads a number, or several with commas between them, of which some may be `none`."""

    def numbers(_: str, text: str) -> Any:
        several = text.split(",")
        if len(several) == 1:
            return read(text)
        return tuple(None if each == "none" else read(each) for each in several)

    return numbers


def _reader(function: Callable[..., Any]) -> Callable[[str, str], Any]:
    """Reads a value as the parameter of this name wants it."""
    hints = get_type_hints(function)
    return lambda name, text: _as(hints.get(name), text)


def _as(hint: Any, text: str) -> Any:
    """A text as the type of a parameter: a number, or several where it takes a sequence of them."""
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Sequence):
        return tuple(map(_positive, text.split(",")))
    if hint is bool:
        if text not in ("true", "false"):
            raise ValueError(f"expected true or false, got {text}")
        return text == "true"
    return _positive(text) if hint is int else float(text) if hint is float else text


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(f"expected at least 1, got {text}")
    return int(text)
