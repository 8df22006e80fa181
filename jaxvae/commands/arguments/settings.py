"""The settings of a run on the command line, and what there is to choose from."""

import argparse
import ast
from collections.abc import Collection, Mapping
from typing import Any

from jaxvae.commands.arguments.declared import Function, defaults, functions

_DEFAULTS = defaults("runs/config", "RunConfig")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that make a `RunConfig`."""

    def add(flag: str, kind: Any, metavar: str, text: str) -> None:
        default = _DEFAULTS[flag.replace("-", "_")]
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
    add("initialization", str, "NAME", "of layers: flax, or as in pytorch or keras")
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


def choices() -> str:
    """What there is to choose from, with what each takes."""
    # Where data sets are looked for is known to a package that needs NumPy.
    from jaxvae.data import dataset_names  # noqa: PLC0415

    models, objectives = functions("models"), functions("objectives")
    networks = {
        name: each
        for name, each in models.items()
        # Those that build one around any network take that first.
        if each.returns in ("VAE", "HVAE") and next(iter(each.takes)) == "image_shape"
    }
    losses = {
        name: each
        for name, each in objectives.items()
        if each.first in ("Outputs", "HierarchyOutputs") and each.returns.startswith("tuple[")
    }
    likelihoods = {name: each for name, each in models.items() if each.returns == "Likelihood"}
    parts = [
        _listed("networks", networks, "--option", {"image_shape", "latents", "likelihood"}),
        _listed(
            "objectives", losses, "--coefficient", {"outputs", "dataset_size", "discriminator"}
        ),
        _listed("likelihoods", likelihoods, "--likelihood-option", set()),
        f"data sets here:\n  {', '.join(dataset_names())}",
        "A network, objective or likelihood of your own is PACKAGE.MODULE:FUNCTION, any other data"
        "\nset the name of an image set that TensorFlow Datasets has prepared.",
    ]
    return "\n\n".join(parts)


def _listed(title: str, listed: Mapping[str, Function], flag: str, given: Collection[str]) -> str:
    """Name, first line of the docstring, and the parameters that users set, with defaults."""
    width = max(map(len, listed)) + 2
    lines = [f"{title}:"]
    for name, function in listed.items():
        lines.append(f"  {name:{width}}{function.title}")
        takes = {each: value for each, value in function.takes.items() if each not in given}
        if takes:
            lines.append(f"  {'':{width}}{flag} {' '.join(map(_shown, takes, takes.values()))}")
    return "\n".join(lines)


def _shown(name: str, default: ast.expr | None) -> str:
    if default is None:
        return f"{name}=NUMBER"
    value = ast.literal_eval(default)
    if value is None or value == ():
        return f"[{name}=NUMBER]"
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    if isinstance(value, float):
        return f"{name}={value:g}"
    return f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _add_pairs(parser: argparse.ArgumentParser, flag: str, value: str, text: str) -> None:
    parser.add_argument(
        f"--{flag}", nargs="+", action="extend", default=[], metavar=f"NAME={value}", help=text
    )
