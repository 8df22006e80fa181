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
    """One of the two ways that Linux has of limiting the memory of containers and jobs.

    Attributes:
        folder: holds the files of the container, and of those within it in folders.
        controller: is named in the line of `/proc/self/cgroup` with the one that the process is in.
        limit: holds the bytes that one may have.
        used: holds those that it has, pages of files among them.
        files: begins the lines of `memory.stat` with these pages, which are given back when needed.
    """

    folder: str
    controller: str
    limit: str
    used: str
    files: str


_GROUPS = (
    _Group("sys/fs/cgroup", "", "memory.max", "memory.current", "(?:in)?active_file"),
    _Group(
        "sys/fs/cgroup/memory",
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
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
        for folder in _folders(group):
            with suppress(OSError, ValueError):  # "max": no limit
                limit, used = (
                    float((folder / name).read_text()) for name in (group.limit, group.used)
                )
                yield limit, used - sum(_numbers(folder / "memory.stat", group.files))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        own = _numbers(_ROOT / "proc/self/status", "VmSize:")
        yield float(soft), 1024 * sum(own)


def _folders(group: _Group) -> Iterator[Path]:
    """The folders of the container that is the machine, and of all that this process is in."""
    folder = _ROOT / group.folder
    yield folder
    with suppress(OSError, ValueError):  # A line of another form.
        for line in (_ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, within = line.split(":", 2)
            if group.controller in controllers.split(","):
                for name in Path(within).parts[1:]:
                    folder /= name
                    yield folder


def _numbers(file: Path, name: str) -> list[float]:
    """The numbers that follow a name, a pattern, at the beginning of lines."""
    with suppress(OSError):
        return [float(each) for each in re.findall(rf"(?m)^{name}\s+(\d+)", file.read_text())]
    return []
