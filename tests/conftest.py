import contextlib
import os
import shutil
import tempfile

import jax
import pytest

from jaxvae.commands.compiled import keep_compiled_programs

# Programs are compiled once for a process of tests and those that it starts: most of the time of
# the tests is compilation. What another run compiled must decide no test, nor a test what users
# find in their cache, so the place is new.
_COMPILED = tempfile.mkdtemp(prefix="jaxvae-compiled-")
_SETTINGS = {
    "jax_enable_compilation_cache": True,
    "jax_compilation_cache_dir": _COMPILED,
    "jax_persistent_cache_min_compile_time_secs": 0.3,
}
for name, value in _SETTINGS.items():
    os.environ[name.upper()] = str(value)
    jax.config.update(name, value)
# It says where they are kept once a process: not in the midst of a test.
with contextlib.redirect_stderr(None):
    keep_compiled_programs()


def pytest_unconfigure():
    shutil.rmtree(_COMPILED, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Every program maps memory, and the system limits the maps of one process."""
    yield
    jax.clear_caches()
