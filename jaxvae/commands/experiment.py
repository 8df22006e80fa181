"""A frozen configuration, its presets, and the command line they make together."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from jaxvae.commands.arguments.launch import add_launch, take_launch
from jaxvae.commands.arguments.parser import Parser, as_line
from jaxvae.commands.arguments.paths import as_path, data_set
from jaxvae.commands.arguments.values import seeds, value_range
from jaxvae.commands.flags import flag_of, flags_named
from jaxvae.sweeps.launch_options import Launch

Config = TypeVar("Config")


def option(default: Any, help_text: str, *, most: str = "") -> Any:
    """A field of a configuration with its help text.

    Args:
        default: default of the setting.
        help_text: help text of its flag.
        most: `train` or `test` for a number of images of that split, of which the value of a
            preset is cut down to those that a data set of one's own has.
    """
    return dataclasses.field(default=default, metadata={"help": help_text, "most": most})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The settings of an experiment that say how the images of a data set are found and read."""

    image_size: int | None = option(None, "resize images to this many pixels square")
    image_key: str | None = option(None, "name of the feature or array that holds the images")
    split: str | None = option(None, "splits to train on and to hold out, as TRAIN/TEST")
    value_range: tuple[float, float] | None = option(
        None, "values of a black and of a white pixel; found from type and values if not set"
    )

    @property
    def image_settings(self) -> dict[str, Any]:
        """These settings by name, as a `RunConfig` takes them."""
        return {name: getattr(self, name) for name in ImageSettings.__dataclass_fields__}


# Settings that are read otherwise than their type says: how, and what the help calls them.
_READ: Mapping[str, tuple[Any, str]] = {
    "data": (data_set, "DATA"),
    "image_key": (str, "NAME"),
    "split": (str, "TRAIN/TEST"),
    "value_range": (value_range, "LOW:HIGH"),
}


_PARTS = ("train", "test")


def require(config: Any, name: str, expectation: str, condition: bool) -> None:
    """Refuse a setting that does not meet a condition, by the name of its flag.

    Args:
        config: a configuration.
        name: name of the field.
        expectation: what is expected of the setting, such as "of at least 1".
        condition: whether the setting is as expected.

    Raises:
        ValueError: says what was expected and what came.
    """
    if not condition:
        raise ValueError(f"expected {flag_of(name)} {expectation}, got {getattr(config, name)}")


def require_least(config: Any, least: int, *names: str) -> None:
    """Refuse settings below a number, and those with a value below it, as `require` does."""
    for name in names:
        value = getattr(config, name)
        several = value if isinstance(value, tuple) else (value,)
        require(config, name, f"of at least {least}", min(several, default=least) >= least)


def run_experiment(
    name: str,
    description: str,
    presets: Mapping[str, Config],
    experiment: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the command line and do an experiment, as `jaxvae.sweeps.launch` does it.

    Args:
        name: name of the module that `python -m` runs.
        description: shown by `--help`.
        presets: configurations by name; `demo` is the default.
        experiment: `module:name` of a `jaxvae.sweeps.job.Experiment`, which is imported
            once the command line is known to be right: help and wrong use are answered at once.
        arguments: the command line, or None for that of the process, which then ends at once
            where it is interrupted.

    Returns:
        The exit status, as `jaxvae.ending` gives it; 2 for wrong use.
    """
    try:
        typed = sys.argv[1:] if arguments is None else arguments
        config, out, launch = _parse(name, description, presets, typed)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    after_interruption = "The same command continues where it stopped."
    try:
        from jaxvae.ending import end_process, status_of  # noqa: PLC0415
        from jaxvae.sweeps.job import Job  # noqa: PLC0415
        from jaxvae.sweeps.launch import run  # noqa: PLC0415
    except KeyboardInterrupt:
        print(f"Interrupted. {after_interruption}", file=sys.stderr)
        return 130
    command = as_line([*_program(name).split(), *typed])
    job = Job(experiment, config, out.absolute(), launch.members, command)
    status = status_of(
        lambda console, errors: run(job, launch, console),
        after_interruption=after_interruption,
        on_host=launch.on_host,
    )
    return end_process(status) if arguments is None else status


def _parse(
    name: str, description: str, presets: Mapping[str, Config], arguments: Sequence[str]
) -> tuple[Config, Path, Launch]:
    results = f"results/{name.rpartition('.')[2]}"
    parser = _parser(name, description, presets, results)
    namespace = parser.parse_args(arguments)
    launch, given = take_launch(namespace), vars(namespace)
    preset, out = given.pop("preset"), given.pop("out")
    config = dataclasses.replace(presets[preset], **given)  # type: ignore[type-var]
    return _fitted(config, given), out or Path(results, preset), launch


def _fitted(config: Config, given: Mapping[str, Any]) -> Config:
    """A preset with no more images than those of the paths that were given for its own data."""
    data = given.get("data", ())
    paths = [name for name in ((data,) if isinstance(data, str) else data) if os.path.isabs(name)]
    if not (paths and isinstance(config, ImageSettings)):
        return config
    from jaxvae.data import load  # noqa: PLC0415  it needs NumPy, help does not

    with flags_named(config.image_settings):
        sets = [load(path, **config.image_settings) for path in paths]
    counts = {part: min(len(getattr(each, part).images) for each in sets) for part in _PARTS}
    fitted: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        most, value = counts.get(field.metadata.get("most", "")), getattr(config, field.name)
        if most is not None and value is not None and value > most and field.name not in given:
            fitted[field.name] = most
    if fitted:
        shown = ", ".join(f"{flag_of(name)} {value:,}" for name, value in fitted.items())
        print(
            f"the preset asks for more images than the data set has; using {shown} instead",
            file=sys.stderr,
        )
    return dataclasses.replace(config, **fitted)


def _parser(
    name: str, description: str, presets: Mapping[str, Config], results: str
) -> argparse.ArgumentParser:
    parser = Parser(
        prog=_program(name),
        description=description,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "preset",
        nargs="?",
        choices=list(presets),
        default="demo",
        help="named configuration; the settings below change single values of it (default: demo)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=as_path,
        default=None,
        help="folder for the results; after an interruption the same command continues "
        f"(default: {results}/PRESET)",
    )
    add_launch(parser)
    demo = presets["demo"]
    settings = parser.add_argument_group(
        "settings",
        "A setting that is not given has the value of the preset. Several values are written with "
        "spaces between them, seeds as 0,3,7 or 0..4.",
    )
    kinds = get_type_hints(type(demo))
    for field in dataclasses.fields(demo):  # type: ignore[arg-type]
        _add_option(settings, field, kinds[field.name], getattr(demo, field.name))
    return parser


def _program(name: str) -> str:
    """The command that runs an experiment."""
    return f"python -m {name}" if "." in name else f"python {name}.py"


def _add_option(
    settings: argparse._ArgumentGroup, field: dataclasses.Field, kind: Any, shown: Any
) -> None:
    """One setting, with its value in the demo as an example."""
    flag = flag_of(field.name)
    if kind is bool:
        text = f"{field.metadata['help']} (demo: {'yes' if shown else 'no'})"
        settings.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        return
    many = get_origin(kind) is tuple
    if field.name == "seeds":
        example, text = ",".join(map(str, shown)), field.metadata["help"]
        settings.add_argument(flag, type=seeds, metavar="LIST", help=f"{text} (demo: {example})")
        return
    base = next(part for part in (*get_args(kind), kind) if part is not type(None))
    read, metavar = _READ.get(field.name, (base, base.__name__.upper()))
    example = " ".join(map(str, shown)) if many else "not set" if shown is None else shown
    settings.add_argument(
        flag,
        type=read,
        nargs="+" if many else None,
        action=_StoreTuple if many else "store",
        metavar=metavar,
        help=f"{field.metadata['help']} (demo: {example})",
    )


class _StoreTuple(argparse.Action):
    """Lists of the command line as the tuples of a frozen configuration."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))
