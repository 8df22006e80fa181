"""How a command ends: its exit status, and what it says where it does not end well."""

from collections.abc import Callable

import jax
from rich.console import Console

from jaxvae.commands.compiled import keep_compiled_programs
from jaxvae.training.signals import name_and_status, terminable


def status_of(work: Callable[[Console, Console], None], *, after_interruption: str) -> int:
    """Do the work of a command, with compiled programs kept, and say how it failed.

    Args:
        work: `work(console, errors)` prints to the standard output and error.
        after_interruption: what the user may count on, for one that was broken off.

    Returns:
        The exit status: 0; 1 where the device failed, as without memory, and for a loss
        that is not finite; 2 for wrong use; 130 when interrupted, 143 when terminated.
    """
    # As they are: names and messages may hold brackets and colons.
    console = Console(highlight=False, markup=False, emoji=False)
    errors = Console(highlight=False, markup=False, emoji=False, stderr=True)
    try:
        with terminable():
            keep_compiled_programs()
            work(console, errors)
    except KeyboardInterrupt as interruption:
        name, status = name_and_status(interruption)
        errors.print(f"{name}. {after_interruption}", style="yellow")
        return status
    except (ValueError, OSError, ModuleNotFoundError) as error:
        errors.print(f"error: {error}", style="bold red", soft_wrap=True)
        return 2
    except MemoryError as error:
        errors.print(f"stopped: out of memory: {error}", style="bold red", soft_wrap=True)
        return 1
    except ArithmeticError as error:
        errors.print(f"stopped: {error}", style="bold red", soft_wrap=True)
        return 1
    except jax.errors.JaxRuntimeError as error:
        first_line = str(error).partition("\n")[0]
        errors.print(f"stopped: {first_line}", style="bold red", soft_wrap=True)
        return 1
    return 0
