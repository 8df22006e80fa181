"""Times of calls, and the machine that they are of."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import jax

from jaxvae import __version__
from jaxvae.runs.provenance import cpu_model

# Calls after the first are repeated for about so many seconds, and at most so often.
_SECONDS = 1.0
_MOST_CALLS = 20


class Timing(NamedTuple):
    """Wall-clock seconds of a call.

    Attributes:
        first: seconds of the first call, which compiles.
        later: median of those after it.
    """

    first: float
    later: float


def timed(call: Callable[[], Any]) -> Timing:
    """The first call, and others for about a second, at least one.

    Args:
        call: returns arrays, which are waited for.
    """
    first, later = seconds_of(call), [seconds_of(call)]
    while sum(later) < _SECONDS and len(later) < _MOST_CALLS:
        later.append(seconds_of(call))
    return Timing(first, statistics.median(later))


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, whose arrays are waited for."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def machine() -> dict[str, Any]:
    """The processor, the accelerator, the software and how busy the machine is now."""
    device = jax.devices()[0]
    return {
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "device_count": jax.device_count(),
        "python": platform.python_version(),
        "jaxvae": __version__,
        "jax": jax.__version__,
        "flax": version("flax"),
    }
