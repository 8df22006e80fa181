"""The memory of the machine, for work that would need more than there is."""

import math
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

GIBIBYTE = 2**30

_ROOT = Path("/")


class _Group(NamedTuple):
    """Files of a container, in one of the two ways that Linux has of limiting its memory.

    Attributes:
        limit: holds the bytes that it may have.
        used: holds those that it has, pages of files among them.
        files: begins the lines of `memory.stat` with these pages, which are given back when needed.
    """

    limit: str
    used: str
    files: str


_GROUPS = (
    _Group("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "(?:in)?active_file"),
    _Group(
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "total_(?:in)?active_file",
    ),
)


def available_memory() -> float:
    """Bytes that this process can still allocate; infinite if the system does not say."""
    free = (max(0.0, limit - used) for limit, used in _limits("MemAvailable"))
    return min(free, default=math.inf)


def whole_memory() -> float:
    """Bytes that this process could allocate on an idle machine, which are always the same."""
    return min((limit for limit, _ in _limits("MemTotal")), default=math.inf)


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


def _limits(of_system: str) -> Iterator[tuple[float, float]]:
    """Limits in bytes, and what of each is used: by all programs, a container, this process."""
    for kibibytes in _numbers(_ROOT / "proc/meminfo", f"{of_system}:"):
        yield 1024 * kibibytes, 0.0
    for group in _GROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            limit, used = (float((_ROOT / name).read_text()) for name in group[:2])
            files = _numbers((_ROOT / group.used).with_name("memory.stat"), group.files)
            yield limit, used - sum(files)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        own = _numbers(_ROOT / "proc/self/status", "VmSize:")
        yield float(soft), 1024 * sum(own)


def _numbers(file: Path, name: str) -> list[float]:
    """The numbers that follow a name, a pattern, at the beginning of lines."""
    with suppress(OSError):
        return [float(each) for each in re.findall(rf"(?m)^{name}\s+(\d+)", file.read_text())]
    return []
