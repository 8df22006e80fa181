"""Compiled programs, kept on disk from one process to the next."""

import hashlib
import os
import platform
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import jax

from jaxvae.data.cache import cache_directory

# Seconds: what compiles faster is compiled again, and leaves no file.
_LEAST_COMPILE_SECONDS = 0.1
_UNUSED_SECONDS = 30 * 24 * 3600.0
_LEAST_COMPILE_VARIABLE = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@cache
def keep_compiled_programs() -> str | None:
    """From now on, programs that were compiled once are read from the disk.

    They lie in `compiled` in the cache (`JAXVAE_CACHE_DIR`, see `jaxvae.data.load`), where
    what nobody has read for 30 days is removed; or where `JAX_COMPILATION_CACHE_DIR` says.
    The place is said once on the standard error. `JAX_ENABLE_COMPILATION_CACHE=false`
    turns it off. Numbers do not change: the programs are the same.

    Returns:
        The place; None where none are kept.
    """
    if not jax.config.values["jax_enable_compilation_cache"]:
        return None
    own = jax.config.values["jax_compilation_cache_dir"]
    if own:
        return _say(own, "JAX_COMPILATION_CACHE_DIR")
    place = cache_directory() / "compiled" / _machine()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"compiled programs are not kept (JAXVAE_CACHE_DIR): {error}", file=sys.stderr)
        return None
    _remove_unused(place)
    jax.config.update("jax_compilation_cache_dir", str(place))
    if _LEAST_COMPILE_VARIABLE not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_COMPILE_SECONDS)
    return _say(str(place), "JAXVAE_CACHE_DIR")


def _say(place: str, variable: str) -> str:
    print(f"compiled programs are kept in {place} ({variable})", file=sys.stderr)
    return place


def _machine() -> str:
    """A name for machines that run each other's programs.

    Machines of several kinds may share a home, and XLA loads, with a warning or none,
    instructions that a processor does not have.
    """
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kinds = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
        digest = hashlib.sha256("\n".join(sorted(kinds)).encode()).hexdigest()
        return f"{platform.machine()}-{digest[:8]}"
    return platform.machine() or "any"


def _remove_unused(place: Path) -> None:
    oldest = time.time() - _UNUSED_SECONDS
    with suppress(OSError):
        for path in place.iterdir():
            times = path.stat()
            if max(times.st_atime, times.st_mtime) < oldest:
                path.unlink(missing_ok=True)
