"""The `jaxvae` command: one subcommand for every job that is real."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from jaxvae import __version__
from jaxvae.commands.arguments import (
    advise,
    bench,
    capture,
    data,
    export,
    measure,
    report,
    sweep,
    train,
)
from jaxvae.commands.arguments.launch import launch_of
from jaxvae.commands.arguments.parser import Parser, as_line

_COMMANDS = (advise, data, train, sweep, capture, measure, report, export, bench)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: or None for those of the process, which then ends at once where it is
            interrupted.

    Returns:
        The exit status, as `jaxvae.ending` gives it; 2 for wrong use.
    """
    typed = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(typed)
    options.line = as_line(["jaxvae", *typed])
    try:
        if "check" in options:
            options.check(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        # JAX takes seconds to import: help, and what cannot be read, do without.
        from jaxvae.ending import end_process, status_of  # noqa: PLC0415

        command = importlib.import_module(f"jaxvae.commands.{options.command}")
    except KeyboardInterrupt:
        print(f"Interrupted. {options.after_interruption}", file=sys.stderr)
        return 130
    status = status_of(
        lambda console, errors: command.main(options, console, errors),
        after_interruption=options.after_interruption,
        on_host=launch_of(options).on_host,
        distributed=getattr(options, "distributed", False),
    )
    return end_process(status) if arguments is None else status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="jaxvae",
        description="Train variational autoencoders, and measure what their layers know.",
    )
    parser.add_argument("--version", action="version", version=f"jaxvae {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    for command in _COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
