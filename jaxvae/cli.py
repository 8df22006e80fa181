"""The `jaxvae` command: one subcommand for every job that is real."""

import argparse
import os
import sys
from collections.abc import Sequence

import jax
from rich.console import Console

from jaxvae import __version__
from jaxvae.commands import capture, measure, report, train
from jaxvae.commands.compiled import keep_compiled_programs
from jaxvae.training.epochs import NonFiniteLossError
from jaxvae.training.signals import name_and_status, terminable

_COMMANDS = (train, capture, measure, report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: or None for those of the process.

    Returns:
        The exit status: 0; 1 where the device failed, as without memory, and for a loss
        that is not finite; 2 for wrong use; 130 when interrupted, 143 when terminated.
    """
    # As they are: names and messages may hold brackets and colons.
    console = Console(highlight=False, markup=False, emoji=False)
    errors = Console(highlight=False, markup=False, emoji=False, stderr=True)
    given = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    if os.getcwd() not in sys.path:
        # For `module:function` beside the user; last, so that nothing there hides a package.
        sys.path.append(os.getcwd())
    try:
        with terminable():
            keep_compiled_programs()
            given.run(given, console, errors)
    except KeyboardInterrupt as interruption:
        name, status = name_and_status(interruption)
        errors.print(f"{name}. {given.after_interruption}", style="yellow")
        return status
    except (ValueError, OSError, ModuleNotFoundError) as error:
        errors.print(f"error: {error}", style="bold red", soft_wrap=True)
        return 2
    except NonFiniteLossError as error:
        errors.print(f"stopped: {error}", style="bold red", soft_wrap=True)
        return 1
    except jax.errors.JaxRuntimeError as error:
        first_line = str(error).partition("\n")[0]
        errors.print(f"stopped: {first_line}", style="bold red", soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxvae",
        description="Train variational autoencoders, and measure what their layers know.",
    )
    parser.add_argument("--version", action="version", version=f"jaxvae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
