"""The options of the command line that say how the units of a sweep are launched."""

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

# The address of a Ray cluster that is started for the sweep alone.
HERE = "here"


class Launch(NamedTuple):
    """How the units of a sweep are done, which changes none of its results.

    Attributes:
        plan: list the units, and do nothing else.
        report: merge and draw the results of finished units, and do nothing else.
        shard: `(i, n)`: do the units of the i-th of n shares, counted from 0.
        workers: number of processes that are started on this machine.
        ray: address of a Ray cluster, or `HERE` for one that is started for the sweep.
        members: number of runs that are trained in one program, at most; None for as many as fit.
        devices: number of devices of this machine that share the runs of a unit; None for one.
    """

    plan: bool = False
    report: bool = False
    shard: tuple[int, int] | None = None
    workers: int | None = None
    ray: str | None = None
    members: int | None = None
    devices: int | None = None

    @property
    def on_host(self) -> bool:
        """Whether this process leaves the accelerators to those that it starts."""
        return self.workers is not None or self.ray is not None


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


def take_launch(arguments: argparse.Namespace) -> Launch:
    """The launch that the command line asks for; its options are removed from the arguments.

    Raises:
        ValueError: for --devices together with --workers or --ray.
    """
    values = vars(arguments)
    launch = Launch(**{name: values.pop(name) for name in Launch._fields if name in values})
    if launch.devices is not None and launch.on_host:
        raise ValueError(
            "expected --devices without --workers and --ray, whose processes take a device each, "
            f"got --devices {launch.devices}"
        )
    return launch


def seeds(text: str) -> tuple[int, ...]:
    """Seeds as a list or a range: `0,3,7`, `0..4`, or both, `0..4,10`.

    Raises:
        argparse.ArgumentTypeError: for other words, and ranges that are empty.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        if not (first.isdecimal() and (last.isdecimal() if dots else True)):
            raise argparse.ArgumentTypeError(
                f"expected seeds as a list such as 0,3,7 or a range such as 0..4, got {text!r}"
            )
        span = range(int(first), int(last if dots else first) + 1)
        if not span:
            raise argparse.ArgumentTypeError(f"expected a range that ascends, got {part!r}")
        numbers.extend(span)
    return tuple(sorted(set(numbers)))


def several(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Reads values with commas between them."""

    def values(text: str) -> tuple[Any, ...]:
        return tuple(map(kind, text.split(",")))

    # Where one cannot be read, argparse says which kind was expected.
    values.__name__ = kind.__name__
    return values


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


def count(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: for other words.
    """
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a count of at least 1, got {text!r}")
