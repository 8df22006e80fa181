import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _compile_quickly():
    """A program of a training step runs for a moment here, and takes seconds to optimize."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
