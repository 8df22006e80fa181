"""Compiled programs, kept on disk from one process to the next.

What is kept is run. So it lies in folders that only their owner can write, and every program
has a checksum that names it: one that is damaged, or lies under the name of another, is removed
and compiled again.
"""

import glob
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxvae.data.cache import cache_directory

# What compiles in fewer seconds is compiled again, and leaves no file.
_LEAST_COMPILE_SECONDS = 0.1
_UNUSED_SECONDS = 30 * 24 * 3600.0
_LEAST_COMPILE_VARIABLE = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@cache
def keep_compiled_programs() -> str | None:
    """Keep compiled programs on the disk from now on, and read those that are there.

    They lie in `compiled` in the cache (`JAXVAE_CACHE_DIR`, see `jaxvae.data.load`), where
    what nobody has read for 30 days is removed; or where `JAX_COMPILATION_CACHE_DIR` says,
    and then as JAX keeps them, without checks.
    The place is said on the standard error where it is made. `JAX_ENABLE_COMPILATION_CACHE=false`
    turns it off. Numbers do not change: the programs are the same.

    Returns:
        The place; None where none are kept.
    """
    if not jax.config.values["jax_enable_compilation_cache"]:
        return None
    own = jax.config.values["jax_compilation_cache_dir"]
    if own:
        return str(own)
    programs = cache_directory() / "compiled" / _machine()
    is_new = not programs.exists()
    try:
        cache_directory().mkdir(parents=True, exist_ok=True)
        for folder in (programs.parent, programs):
            _make_private(folder)
        _check_programs()
    except (OSError, ImportError, AttributeError) as error:
        print(f"compiled programs are not kept (JAXVAE_CACHE_DIR): {error}", file=sys.stderr)
        return None
    _remove_unused(programs)
    jax.config.update("jax_compilation_cache_dir", str(programs))
    if _LEAST_COMPILE_VARIABLE not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_COMPILE_SECONDS)
    if is_new:
        print(f"compiled programs are kept in {programs} (JAXVAE_CACHE_DIR)", file=sys.stderr)
    return str(programs)


@contextmanager
def compiled_anew() -> Iterator[None]:
    """Within it every program is compiled, also one that is kept or that this process has."""
    before = jax.config.values["jax_enable_compilation_cache"]
    _enable(False)
    jax.clear_caches()
    try:
        yield
    finally:
        _enable(before)


def _enable(enabled: bool, /) -> None:
    jax.config.update("jax_enable_compilation_cache", enabled)
    # JAX looks at the setting once.
    compilation_cache.reset_cache()


def _make_private(folder: Path) -> None:
    """Make a folder that nobody else can write, or see that it is one.

    Raises:
        OSError: for a folder of somebody else, or that others could write programs to.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise OSError(
            f"expected a folder that only you can write, got {folder}, of user {status.st_uid} "
            f"with mode {status.st_mode & 0o777:o}; choose another JAXVAE_CACHE_DIR"
        )
    folder.chmod(0o700)


class _Checked:
    """The cache of JAX, with a digest of its name and content before every program."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._path = inner._path

    def get(self, key: str) -> bytes | None:
        """The program of this name, or None where there is none that is whole."""
        executable = self._inner.get(key)
        if executable is None:
            return None
        checksum, program = executable[: sha256().digest_size], executable[sha256().digest_size :]
        if checksum == _digest(key, program):
            return program
        # JAX does not write over what is there.
        for file in Path(self._path).glob(f"{glob.escape(key)}*"):
            file.unlink(missing_ok=True)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep a compiled program on the disk."""
        self._inner.put(key, _digest(key, value) + value)


def _digest(key: str, program: bytes) -> bytes:
    return sha256(key.encode() + b"\0" + program).digest()


def _check_programs() -> None:
    """Have JAX read and write programs with their digests from now on.

    Raises:
        ImportError, AttributeError: where JAX has no such cache any more.
    """
    from jax._src import compilation_cache  # noqa: PLC0415

    of_jax = compilation_cache.get_file_cache

    def checked(path: str) -> Any:
        own_cache = of_jax(path)
        return None if own_cache is None else (_Checked(own_cache[0]), *own_cache[1:])

    compilation_cache.get_file_cache = checked
    compilation_cache.reset_cache()


def _machine() -> str:
    """A name for machines that run each other's programs.

    Machines of several kinds may share a home, and XLA loads, with a warning or none,
    instructions that a processor does not have.
    """
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kinds = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
        digest = sha256("\n".join(sorted(kinds)).encode()).hexdigest()
        return f"{platform.machine()}-{digest[:8]}"
    return platform.machine() or "any"


def _remove_unused(folder: Path) -> None:
    oldest = time.time() - _UNUSED_SECONDS
    with suppress(OSError):
        for path in folder.iterdir():
            times = path.stat()
            if max(times.st_atime, times.st_mtime) < oldest:
                path.unlink(missing_ok=True)
