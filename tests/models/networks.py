"""What the tests of encoders and decoders share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

BATCH = 4


def draw(shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=(BATCH, *shape)), jnp.float32)


def parameters_of(network, inputs, key=0):
    """Random numbers in place of all parameters: no bias and no block is zero."""
    random = np.random.default_rng(key)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), inputs, train=False))
    return jax.tree.map(lambda leaf: random.normal(0, 0.3, leaf.shape).astype("f4"), shapes)


@partial(jax.jit, static_argnames=("network", "train"))
def outputs_of(network, parameters, inputs, *, train=True):
    return network.apply(parameters, inputs, train=train)


def tap_shapes(network, shape):
    """Names and shapes in the order of the dict, without computing anything."""
    named = []

    def trace():
        inputs = jnp.zeros((1, *shape))
        (_, taps), _ = network.init_with_output(jax.random.key(0), inputs, train=False)
        named.extend((name, tap.shape[1:]) for name, tap in taps.items())

    jax.eval_shape(trace)
    return named


def count_parameters(network, shape):
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def assert_close(actual, expected, tolerance=1e-4):
    # The same float32 sums of up to a hundred terms, grouped in another way, and normalized.
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance),
        actual,
        expected,
    )
