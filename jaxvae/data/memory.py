"""The memory of the machine, for work that would need more than there is."""

import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GIBIBYTE = 2**30

_CONTROL_GROUPS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def available_memory() -> float:
    """Bytes that this process can still allocate; infinite if the system does not say."""
    return min(_limits("MemAvailable"), default=float("inf"))


def whole_memory() -> float:
    """Bytes that this process could allocate on an idle machine, which are always the same."""
    return min(_limits("MemTotal"), default=float("inf"))


def refuse_beyond_memory(bytes_needed: float, what: str) -> None:
    """Refuse what would not fit, before it is allocated.

    Raises:
        ValueError: says how much it is, and how much there is.
    """
    available = available_memory()
    if bytes_needed > available:
        raise ValueError(
            f"expected at most {available / GIBIBYTE:.1f} GiB, which is the memory available, for "
            f"{what}, got {bytes_needed / GIBIBYTE:,.1f} GiB"
        )


def _limits(of_system: str) -> Iterator[float]:
    with suppress(OSError):
        match = re.search(rf"{of_system}:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if match:
            yield 1024 * float(match[1])
    for name in _CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            yield float(Path(name).read_text())
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield float(soft)
