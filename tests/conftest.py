import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Every program maps memory, and the system limits the maps of one process."""
    yield
    jax.clear_caches()
