import os

import jax
import pytest

# What another process compiled must decide no test, nor a test what users find in their cache;
# for the processes that tests start, by the environment.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
jax.config.update("jax_enable_compilation_cache", False)


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Every program maps memory, and the system limits the maps of one process."""
    yield
    jax.clear_caches()
