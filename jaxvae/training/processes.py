"""Processes that train one model: what the first decides, and what all have to know at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

# A process that gives no sign for so long has ended: the others do not wait for it any longer.
_SILENT_SECONDS = 30
# The last thing is to evaluate, which the first process does while the others wait.
_EVALUATION_SECONDS = 24 * 3600
_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


class LostProcessError(RuntimeError):
    """Another of several processes has ended, without which this one cannot go on."""


def join_processes() -> None:
    """Make this process one of several, whose devices are then those of all.

    JAX finds the others by itself on TPU pods and where SLURM or Open MPI started them; for Open
    MPI 5 and later it needs mpi4py. Elsewhere three variables say it, in every process:
    `JAX_COORDINATOR_ADDRESS`, the machine of the first process and a port of it,
    `JAX_NUM_PROCESSES`, and `JAX_PROCESS_ID` from 0.

    Raises:
        ValueError: where nothing tells who the others are, or they do not come.
    """
    address, *numbers = map(os.environ.get, _VARIABLES)
    try:
        count, index = (None if text is None else int(text) for text in numbers)
        # Told to end, a process tells the others between two steps; JAX's own way hears less.
        jax.config.update("jax_enable_preemption_service", False)
        # On CPU, programs that run at once would mix up what they tell each other.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        jax.distributed.initialize(
            address,
            count,
            index,
            cluster_detection_method=_way_to_find_others(),
            heartbeat_timeout_seconds=_SILENT_SECONDS,
            shutdown_timeout_seconds=_EVALUATION_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        message = str(error).partition("\n")[0]
        raise ValueError(
            "expected for --distributed a TPU pod, SLURM, Open MPI, or the variables "
            f"{', '.join(_VARIABLES)}, got: {message}"
        ) from error


def _way_to_find_others() -> str | None:
    """How JAX is to find out who they are; None where it sees that by itself.

    Open MPI 5 leaves no address in the variables of its processes, which have to ask it.
    """
    by_itself = {"OMPI_MCA_orte_hnp_uri", *_VARIABLES}
    if "OMPI_COMM_WORLD_SIZE" not in os.environ or not by_itself.isdisjoint(os.environ):
        return None
    if find_spec("mpi4py") is None:
        raise ValueError(
            "processes of Open MPI 5 or later without mpi4py, by which they find each other: "
            "pip install mpi4py"
        )
    return "mpi4py"


def are_several(mesh: Mesh | None) -> bool:
    """Whether devices of other processes are among those of a mesh."""
    return mesh is not None and mesh.is_multi_process


def is_first() -> bool:
    """Whether this process is the one that writes and prints: the only one, or the first."""
    return jax.process_index() == 0


def from_first(number: int) -> int:
    """A value of the first process, sent to all processes, which call this together."""
    with _all_of_them():
        return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def name_from_first(name: str) -> str:
    """A name of at most 64 letters of ASCII that the first process gives, told to all of them."""
    letters = np.zeros(64, np.uint8)
    given = np.frombuffer(name.encode("ascii"), np.uint8)
    letters[: len(given)] = given
    with _all_of_them():
        received = bytes(multihost_utils.broadcast_one_to_all(letters))
    return received.rstrip(b"\0").decode("ascii")


def wait_for_all(what: str) -> None:
    """Go on when all processes have come here, for what they say."""
    with _all_of_them():
        multihost_utils.sync_global_devices(what)


def in_any(flag: bool) -> bool:
    """Whether any process says so; all of them call this together."""
    with _all_of_them():
        return bool(np.any(multihost_utils.process_allgather(np.bool_(flag))))


@contextmanager
def _all_of_them() -> Iterator[None]:
    """Within the block, what the transport between processes raises says that one is lost."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise LostProcessError(str(error).partition("\n")[0]) from error
