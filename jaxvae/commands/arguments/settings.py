"""The settings of a run on the command line, and what there is to choose from."""

import argparse
import ast
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from jaxvae.commands.arguments.declared import Function, functions, setting_defaults
from jaxvae.commands.arguments.paths import data_set
from jaxvae.commands.arguments.values import value_range

_DEFAULTS = setting_defaults()


class Notation(NamedTuple):
    """How the settings of one run, or of many, are written.

    Attributes:
        read: from the type of a setting to what reads it.
        between: the numbers of one value, such as the widths of a network.
    """

    read: Callable[[Any], Any]
    between: str


def _single(kind: Any, advice: str) -> Any:
    """Reads one number; where several are given, says what to do."""

    def number(text: str) -> Any:
        if "," in text:
            raise argparse.ArgumentTypeError(f"expected one number, got {text}; {advice}")
        return kind(text)

    # Where it cannot be read, argparse says which kind was expected.
    number.__name__ = kind.__name__
    return number


def _one(kind: Any) -> Any:
    """Reads one value; where several numbers are given, says which command takes them."""
    if kind not in (int, float):
        return kind
    return _single(kind, "`jaxvae sweep` takes several here, and trains a model with each")


def _epochs(kind: Any) -> Any:
    """Reads one number, also for a sweep, whose models are all measured at the same epochs."""
    return _single(
        kind,
        "`jaxvae sweep --snapshots N` measures models at N epochs up to the last; to train for "
        "several numbers of epochs, give a command with another --out for each",
    )


ONE = Notation(_one, ",")


def add_settings(
    parser: argparse.ArgumentParser,
    notation: Notation = ONE,
    *,
    defaults: Mapping[str, Any] = {},
    helps: Mapping[str, str] = {},
) -> None:
    """The options that make a `RunConfig`, but for the seed.

    Args:
        parser: parser that gets the options.
        notation: how they are written.
        defaults: defaults of options, by name, that differ from those of `RunConfig`. A setting
            without one that is not given is left out.
        helps: help of options, by name, where it is another than that for a run.
    """
    comma = notation.between

    def add(
        flag: str,
        kind: Any,
        metavar: str,
        text: str,
        read: Callable[[Any], Any] = notation.read,
    ) -> None:
        name = flag.replace("-", "_")
        default = defaults.get(name, _DEFAULTS[name])
        shown = "" if default is None else f" (default: {default})"
        own = defaults.get(name, argparse.SUPPRESS)
        told = helps.get(flag, text + shown)
        parser.add_argument(f"--{flag}", type=read(kind), metavar=metavar, default=own, help=told)

    add(
        "data", data_set, "DATA", "data set: a name, or the path of a folder of images or of arrays"
    )
    add("image-size", int, "PIXELS", "resize images to this many pixels square")
    add(
        "image-key",
        str,
        "NAME",
        "name of the feature or array that holds the images (default: image, x, ...)",
    )
    add(
        "split",
        str,
        "TRAIN/TEST",
        "splits to train on and to hold out (default: train and test; a tenth is held out where "
        "there is no test split)",
    )
    add(
        "value-range",
        value_range,
        "LOW:HIGH",
        "values of a black and of a white pixel (default: found from type and values)",
    )
    add("train-size", int, "N", "training images (default: all; 50,000 of sprites)")
    parser.add_argument(
        "--binarize",
        action="store_true",
        default=argparse.SUPPRESS,
        help="make every pixel black or white",
    )
    add("network", str, "NAME", "network, one of those below")
    _add_pairs(parser, "option", "VALUE", f"options of the network, such as widths=256{comma}128")
    add(
        "latents",
        int,
        "K",
        "size of the bottleneck (default: 10; for hierarchies, see their --option)",
    )
    add("initialization", str, "NAME", "how layers are initialized: flax, pytorch or keras")
    add("likelihood", str, "NAME", "likelihood of the images, one of those below")
    _add_pairs(
        parser,
        "likelihood-option",
        "VALUE",
        "options of the likelihood, such as standard_deviation=0.71",
    )
    parser.add_argument(
        "--objective",
        type=notation.read(str),
        metavar="NAME",
        default=argparse.SUPPRESS,
        help="objective, one of those below (default: beta_vae; hierarchical_vae for hierarchies)",
    )
    _add_pairs(
        parser,
        "coefficient",
        "NUMBER",
        "coefficients of the objective, such as beta=4, the weight of the KL divergence; "
        f"beta=0.5{comma}1 gives the layers of a hierarchy weights of their own, from the top",
    )
    _add_pairs(parser, "ramp", "STEPS", "steps over which a coefficient grows from 0 to its value")
    add("learning-rate", float, "RATE", "learning rate of Adam")
    add("epsilon", float, "E", "epsilon of Adam, which divides by sqrt(second moment) + E")
    add(
        "l2",
        float,
        "WEIGHT",
        "L2 penalty, added to the gradient before Adam, as weight_decay of torch.optim.Adam, and "
        "not of AdamW",
    )
    add(
        "clip",
        _or_none(float),
        "NORM",
        "scale larger gradients down to this norm (default: none)",
    )
    add(
        "skip",
        _or_none(float),
        "NORM",
        "skip steps whose gradient has a larger norm than this, or is not finite (default: none)",
    )
    add(
        "average",
        _or_none(float),
        "DECAY",
        "keep exponential moving averages of the parameters, with this decay (default: none)",
    )
    add(
        "warmup",
        _or_none(int),
        "STEPS",
        "steps over which the learning rate grows from 0 (default: none)",
    )
    add("batch-size", int, "N", "training images in every step")
    add("epochs", int, "N", "passes over the training images", _epochs)


def add_help(parser: argparse.ArgumentParser, examples: str, notation: Notation = ONE) -> None:
    """Add a help option whose text ends with all choices, which are only then looked up."""

    class Help(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
            parser.epilog = f"{choices(notation.between)}\n\n{examples}"
            parser.print_help()
            parser.exit()

    text = "show this help message and exit"
    parser.add_argument("-h", "--help", action=Help, dest=argparse.SUPPRESS, nargs=0, help=text)


def choices(comma: str = ",") -> str:
    """All networks, objectives, likelihoods and data sets, with their options, as a text."""
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
        _listed("networks", networks, "--option", {"image_shape", "latents", "likelihood"}, comma),
        _listed(
            "objectives",
            losses,
            "--coefficient",
            {"outputs", "dataset_size", "discriminator"},
            comma,
        ),
        _listed("likelihoods", likelihoods, "--likelihood-option", set(), comma),
        f"data sets on this machine:\n  {', '.join(dataset_names())}",
        "Write a network, objective or likelihood of your own as PACKAGE.MODULE:FUNCTION. A data"
        "\nset is also the name of an image set that TensorFlow Datasets has prepared, or the path"
        "\nof images: a folder, a TIFF, a .npy, a .npz or a zarr. `jaxvae data` describes one.",
    ]
    return "\n\n".join(parts)


def _or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reads a value, or `none` for a setting that is off."""

    def value(text: str) -> Any:
        return None if text == "none" else kind(text)

    # Where it cannot be read, argparse says which kind was expected.
    value.__name__ = f"{kind.__name__} or none"
    return value


def _listed(
    title: str, listed: Mapping[str, Function], flag: str, given: Collection[str], comma: str
) -> str:
    """The name and first docstring line of each, and the parameters that users set."""
    width = max(map(len, listed)) + 2
    lines = [f"{title}:"]
    for name, function in listed.items():
        lines.append(f"  {name:{width}}{function.title}")
        takes = {each: value for each, value in function.takes.items() if each not in given}
        if takes:
            shown = (_shown(each, value, comma) for each, value in takes.items())
            lines.append(f"  {'':{width}}{flag} {' '.join(shown)}")
    return "\n".join(lines)


def _shown(name: str, default: ast.expr | None, comma: str) -> str:
    if default is None:
        return f"{name}=NUMBER"
    value = ast.literal_eval(default)
    if value is None or value == ():
        return f"[{name}=NUMBER]"
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    if isinstance(value, float):
        return f"{name}={value:g}"
    return f"{name}={comma.join(map(str, value)) if isinstance(value, tuple) else value}"


def _add_pairs(parser: argparse.ArgumentParser, flag: str, value: str, text: str) -> None:
    parser.add_argument(
        f"--{flag}", nargs="+", action="extend", default=[], metavar=f"NAME={value}", help=text
    )
