"""The options that say how the units of a sweep are launched."""

import argparse
import importlib.util

from jaxvae.commands.arguments.values import count
from jaxvae.sweeps.launch_options import HERE, Launch


def add_launch(parser: argparse.ArgumentParser) -> None:
    """The options that make a `Launch`."""
    group = parser.add_argument_group(
        "how the runs are trained",
        "Without any of these options, this process trains all runs. Any number of\n"
        "processes, on all machines that share the folder --out, may be given the same\n"
        "command at once, and share the work. A unit of work is a group of runs that\n"
        "one program trains.",
    )
    only = group.add_mutually_exclusive_group()
    only.add_argument(
        "--plan",
        action="store_true",
        help="list the units of work, their memory and time, and train nothing",
    )
    only.add_argument(
        "--shard",
        metavar="I/N",
        type=_shard,
        help="do only share I of N shares of the units, with I from 0 to N-1, and draw no figures",
    )
    only.add_argument(
        "--workers",
        metavar="N",
        type=count,
        help="start N processes on this machine, each with its own device if there are several",
    )
    only.add_argument(
        "--ray",
        metavar="ADDRESS",
        type=_cluster,
        nargs="?",
        const=HERE,
        help="do the units as tasks of the Ray cluster at this address, or, without an address, "
        "of one that is started on this machine",
    )
    only.add_argument(
        "--report",
        action="store_true",
        help="write the results of the finished runs, and train nothing",
    )
    group.add_argument(
        "--members",
        metavar="M",
        type=count,
        help="largest number of runs that one program trains (default: as many as 4 GiB hold, up "
        "to 64)",
    )
    group.add_argument(
        "--devices",
        metavar="N",
        type=count,
        help="number of devices of this machine that share the runs of a unit, each run being "
        "trained by one of them (default: one); not with --workers or --ray, whose processes take "
        "one device each",
    )


def launch_of(arguments: argparse.Namespace) -> Launch:
    """The launch that a command line asks for, also that of a command without these options."""
    values = vars(arguments)
    return Launch(**{name: values[name] for name in Launch._fields if name in values})


def take_launch(arguments: argparse.Namespace) -> Launch:
    """The launch that the command line asks for; its options are removed from the arguments.

    Raises:
        ValueError: for --devices together with --workers or --ray.
    """
    launch = launch_of(arguments)
    for name in Launch._fields:
        vars(arguments).pop(name, None)
    if launch.devices is not None and launch.on_host:
        raise ValueError(
            "expected --devices without --workers and --ray, whose processes take a device each, "
            f"got --devices {launch.devices}"
        )
    return launch


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if index.isdecimal() and count.isdecimal() and int(index) < int(count):
        return int(index), int(count)
    raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, got {text!r}")


def _cluster(text: str) -> str:
    # Looked for and not imported, which takes seconds.
    if importlib.util.find_spec("ray") is None:
        raise argparse.ArgumentTypeError(
            "expected Ray, which is not installed: pip install -e '.[ray]' in a clone of jaxvae"
        )
    return text
