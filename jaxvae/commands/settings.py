"""The settings of a run on the command line, and what there is to choose from."""

import argparse
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_origin, get_type_hints

from jaxvae.data import dataset_names
from jaxvae.training.choices import (
    default_objective,
    likelihood_options,
    likelihoods,
    named_likelihood,
    named_network,
    named_objectives,
    network_options,
    networks,
    objective_coefficients,
)
from jaxvae.training.config import RunConfig

_DEFAULT = RunConfig()
_FIELDS = {field.name for field in dataclasses.fields(RunConfig)}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that make a `RunConfig`."""

    def add(flag: str, kind: Any, metavar: str, text: str) -> None:
        default = getattr(_DEFAULT, flag.replace("-", "_"))
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(
            f"--{flag}", type=kind, metavar=metavar, default=default, help=text + shown
        )

    add("data", str, "NAME", "data set")
    add("image-size", int, "PIXELS", "resize images to this many pixels square")
    add("train-size", int, "N", "training images (default: all)")
    add("network", str, "NAME", "see below")
    _add_pairs(parser, "option", "VALUE", "what else the network takes, such as widths=256,128")
    add(
        "latents",
        int,
        "K",
        "size of the bottleneck (default: 10; hierarchies take theirs as options)",
    )
    add("likelihood", str, "NAME", "of the images")
    _add_pairs(
        parser, "likelihood-option", "VALUE", "what it takes, such as standard_deviation=0.71"
    )
    parser.add_argument(
        "--objective",
        metavar="NAME",
        help="see below (default: beta_vae; hierarchical_vae for hierarchies)",
    )
    _add_pairs(
        parser,
        "coefficient",
        "NUMBER",
        "of the objective, such as beta=4; beta=0.5,1 for every layer of a hierarchy, from the top",
    )
    _add_pairs(parser, "ramp", "STEPS", "steps over which a coefficient grows from 0 to its value")
    add("learning-rate", float, "RATE", "of Adam")
    add("l2", float, "WEIGHT", "penalty, added to the gradient before Adam")
    add("clip", float, "NORM", "scale gradients of a larger norm down to it (default: none)")
    add("skip", float, "NORM", "skip gradients of a larger norm, or not finite (default: none)")
    add("average", float, "DECAY", "keep moving averages of the parameters (default: none)")
    add("warmup", int, "STEPS", "steps over which the learning rate grows from 0 (default: none)")
    add("batch-size", int, "N", "images a step")
    add("epochs", int, "N", "passes over the training images")
    add("seed", int, "S", "of parameters, noise and batches")


def given_config(given: argparse.Namespace) -> RunConfig:
    """The configuration that was given.

    Raises:
        ValueError: for settings that cannot be read, or make no sense.
    """
    network, likelihood = named_network(given.network), named_likelihood(given.likelihood)
    values = {name: getattr(given, name) for name in _FIELDS & set(vars(given))}
    values["objective"] = given.objective or default_objective(network)
    return RunConfig(
        **values,
        options=_pairs("--option", given.option, _reader(network)),
        likelihood_options=_pairs(
            "--likelihood-option", given.likelihood_option, _reader(likelihood)
        ),
        coefficients=_pairs("--coefficient", given.coefficient, _numbers(float)),
        ramps=_pairs("--ramp", given.ramp, _numbers(int)),
    )


@contextmanager
def flags_named() -> Iterator[None]:
    """Within the block, a message that names a setting of several words names its flag."""
    try:
        yield
    except ValueError as error:
        names = "|".join(sorted(name for name in _FIELDS if "_" in name))

        def flag(match: re.Match[str]) -> str:
            return f"--{match[0].replace('_', '-')}"

        raise ValueError(re.sub(rf"\b({names})\b", flag, str(error))) from error


def choices() -> str:
    """What there is to choose from, with what each takes."""
    parts = [
        _listed("networks", networks(), "--option", network_options),
        _listed("objectives", named_objectives(), "--coefficient", objective_coefficients),
        _listed("likelihoods", likelihoods(), "--likelihood-option", likelihood_options),
        f"data sets here:\n  {', '.join(dataset_names())}",
        "A network, objective or likelihood of your own is PACKAGE.MODULE:FUNCTION, any other data"
        "\nset the name of an image set that TensorFlow Datasets has prepared.",
    ]
    return "\n\n".join(parts)


def _listed(
    title: str,
    functions: Mapping[str, Callable[..., Any]],
    flag: str,
    takes: Callable[[Callable[..., Any]], Mapping[str, inspect.Parameter]],
) -> str:
    """Name, first line of the docstring, and parameters with their defaults."""
    width = max(map(len, functions)) + 2
    lines = [f"{title}:"]
    for name, function in functions.items():
        lines.append(f"  {name:{width}}{(inspect.getdoc(function) or '').partition(chr(10))[0]}")
        parameters = " ".join(map(_shown, takes(function).values()))
        if parameters:
            lines.append(f"  {'':{width}}{flag} {parameters}")
    return "\n".join(lines)


def _shown(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty:
        return f"{parameter.name}=NUMBER"
    if default is None or default == ():
        return f"[{parameter.name}=NUMBER]"
    if isinstance(default, bool):
        return f"{parameter.name}={str(default).lower()}"
    if isinstance(default, float):
        return f"{parameter.name}={default:g}"
    listed = isinstance(default, Sequence) and not isinstance(default, str)
    return f"{parameter.name}={','.join(map(str, default)) if listed else default}"


def _add_pairs(parser: argparse.ArgumentParser, flag: str, value: str, text: str) -> None:
    parser.add_argument(
        f"--{flag}", nargs="+", action="extend", default=[], metavar=f"NAME={value}", help=text
    )


def _pairs(flag: str, words: Sequence[str], read: Callable[[str, str], Any]) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, _, text = word.partition("=")
        if not text:
            raise ValueError(f"expected {flag} NAME=VALUE, got {word}")
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
    """What a parameter calls for: numbers, several where it takes a sequence of them."""
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
