import contextlib
import gc
import hashlib
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import jax
import pytest
from jax._src import compiler
from jax._src.lib import xla_client

from jaxvae.runs.compiled import keep_compiled_programs

# Most of the time of the tests is compilation, so compiled programs are kept from run to run, and
# shared by the processes of a run and those that they start. JAX knows a program by its operations
# and options; version and processor are in the name of the folder because XLA would also load
# instructions that a processor does not have.
_KEPT = Path(__file__).parents[1] / ".jax_cache"
_UNUSED_SECONDS = 14 * 24 * 3600.0
# Folders and files whose programs are networks, losses and training steps: each runs for a moment
# on a few small images and takes seconds to optimize. The same operations are compiled without.
# Geometry and metrics, where a rounding decides, and the commands that are not named here are
# compiled as for users.
_UNOPTIMIZED = {"models", "objectives", "training", "runs", "sweeps"}
_UNOPTIMIZED |= {
    f"commands/test_{name}.py"
    for name in (
        "bench",
        "capture",
        "data",
        "distributed",
        "hierarchies",
        "report",
        "sweep",
        "train",
    )
}
_UNOPTIMIZED |= {"tests/test_readme.py"}
# Transforms are compared with calls, which other files compile as for users.
_UNOPTIMIZED |= {"metrics/test_transforms.py"}
_UNOPTIMIZED |= {
    f"experiments/test_{name}.py" for name in ("bottleneck", "learning_dynamics", "rate_allocation")
}
_UNOPTIMIZED |= {
    f"analysis/test_{name}.py"
    for name in (
        "capture",
        "evaluation",
        "shuffle",
        "generation",
        "hierarchy",
        "regeneration",
        "trained",
        "traversal",
        "two_runs",
    )
}
# But these train for thousands of steps, which optimized programs take in half the time.
_OPTIMIZED = {"objectives/test_known_optima.py"}
# Folders of programs in which a rounding decides: they are compiled as for users, where they are
# optimized.
_EXACT = {"geometry", "metrics"}


# Files of minutes are begun first, so that no process waits for another at the end.
_LONG = {
    f"test_{name}.py"
    for name in (
        "rate_allocation",
        "learning_dynamics",
        "bottleneck",
        "hierarchies",
        "readme",
        "top_down",
        "hierarchical_vae",
        "rate_targets",
        "train",
        "load",
        "distributed",
    )
}


# The system lets a process have 65,530 maps of memory, and a program needs a few.
_MOST_MAPS = 30_000
_OPTIONS = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")


def _options_of(path: Path) -> tuple[bool, bool]:
    """Whether programs of a file are compiled without optimization, and whether as for users."""
    folder, file = path.parent.name, f"{path.parent.name}/{path.name}"
    unoptimized = file not in _OPTIMIZED and not _UNOPTIMIZED.isdisjoint({folder, file})
    return unoptimized, folder in _EXACT and not unoptimized


def pytest_collection_modifyitems(items):
    """Long files first, and files of the same options together: they share what was traced."""
    items.sort(key=lambda item: (item.path.name not in _LONG, _options_of(item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What the imports make, half a million objects, is no garbage, and is not searched for it.

    Nor is what tracing makes searched as often as Python would, which took a twentieth of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        gc.enable()


def _processor() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        kinds = sorted({line for line in lines if line.startswith(("flags", "Features", "model"))})
        return f"{platform.machine()}-{hashlib.sha256(''.join(kinds).encode()).hexdigest()[:8]}"
    return platform.machine()


_SETTINGS = {
    "jax_enable_compilation_cache": True,
    "jax_compilation_cache_dir": str(_KEPT / f"jaxlib-{version('jaxlib')}-{_processor()}"),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}
for name, value in _SETTINGS.items():
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)
keep_compiled_programs()
# Tests end processes and not machines: what they write need not be forced to the disk.
os.fsync = lambda _: None


# JAX 0.10 compiles what it has fused in one of two ways, and that of its users takes twice as long.
# (Later ones have another one, and no option.) A process reads the variable once, for its first
# options; where it has been taken back, each program asks for the way of users by itself.
_HAS_TWO_WAYS = version("jaxlib").startswith("0.10.")
_AS_USERS = os.environ.get("XLA_FLAGS", "")
_QUICK = f"{_AS_USERS} --xla_cpu_use_fusion_emitters=false"
_QUICK += " --xla_cpu_parallel_codegen_split_count=1"


def _options_of_a_program(*given, _options=compiler.get_compile_options, **named):
    if os.environ["XLA_FLAGS"] == _AS_USERS:
        overrides = named.get("env_options_overrides") or {}
        named["env_options_overrides"] = {"xla_cpu_use_fusion_emitters": True} | overrides
    return _options(*given, **named)


if _HAS_TWO_WAYS:
    os.environ["XLA_FLAGS"] = _QUICK
    # Now, and not as the first file that compiles would have it.
    xla_client.CompileOptions()
    compiler.get_compile_options = _options_of_a_program


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs(request):
    """The options of a file. JAX does not know that programs of other options are others."""
    before = [os.environ.get(name) for name in _OPTIONS]
    unoptimized, exact = _options_of(request.path)
    jax.config.update("jax_disable_most_optimizations", unoptimized)
    # The processes that a test starts are compared with its own, bit by bit.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(unoptimized)
    if _HAS_TWO_WAYS:
        os.environ["XLA_FLAGS"] = _AS_USERS if exact else _QUICK
    if before != [os.environ.get(name) for name in _OPTIONS] or _maps_of_memory() > _MOST_MAPS:
        jax.clear_caches()


def _maps_of_memory() -> int:
    with contextlib.suppress(OSError):
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    return _MOST_MAPS + 1


def pytest_sessionfinish(session):
    """What no run has read for two weeks is removed, by the process that started the others."""
    if hasattr(session.config, "workerinput"):
        return
    oldest = time.time() - _UNUSED_SECONDS
    for path in _KEPT.glob("*/*"):
        with contextlib.suppress(OSError):
            times = path.stat()
            if max(times.st_atime, times.st_mtime) < oldest:
                path.unlink()


@pytest.fixture
def compilations():
    """The seconds of every program that is compiled from here on."""
    counted = []

    def count(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            counted.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(count)
    yield counted
    jax.monitoring.unregister_event_duration_listener(count)
