"""Bottleneck branches: their definition, how a stream of them starts, and changes of size."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from jaxvae.models.blocks import Branches, branch, enlarge, shrink
from jaxvae.models.repeated import repeat, unstack


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def convolution(images, kernel, bias):
    """By its definition, in float64."""
    images, kernel = images.astype("f8"), kernel.astype("f8")
    outputs = [
        [
            sum(
                correlate2d(image[..., i], kernel[..., i, o], mode="same")
                for i in range(kernel.shape[2])
            )
            + bias[o]
            for o in range(kernel.shape[3])
        ]
        for image in images
    ]
    return np.moveaxis(np.array(outputs), 1, -1)


PLAIN = partial(branch, dtype=jnp.dtype("float32"), remat=False)


def test_a_branch_is_four_convolutions_each_after_a_gelu():
    branches, images = Branches(((3, 1), (1, 1), (3, 2)), 3, 2, 5), draw((2, 4, 5, 3))
    shapes = jax.eval_shape(partial(branches.init, run=0), jax.random.key(0))["params"]
    params = {name: draw(leaf.shape, seed) for seed, (name, leaf) in enumerate(shapes.items())}
    # The last of the three of 3 x 3, whose convolutions are the last two of six.
    order = [("enter", 3), ("middle_3", 4), ("middle_3", 5), ("leave", 3)]
    expected = images
    for name, index in order:
        expected = convolution(
            gelu(expected), params[f"{name}_kernel"][index], params[f"{name}_bias"][index]
        )
    _, last = unstack(branches.apply({"params": params}, 2), 2)
    actual = jax.jit(PLAIN)(last, images)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_a_stream_starts_with_the_same_variance_at_any_depth():
    images = draw((50, 6, 6, 32))

    def added(depth):
        branches = Branches(((3, depth),), 32, 32, 32, 1 / depth)
        weights = branches.apply(branches.init(jax.random.key(depth), 0), 0)
        through = jax.jit(
            lambda weights: repeat(lambda x, own: (x + PLAIN(own, x), None), images, weights, depth)
        )
        return np.var(through(weights)[0] - images)

    few, many = added(3), added(24)
    # Without the scale, eight times as much.
    np.testing.assert_allclose(many, few, rtol=0.3)


def test_kernels_start_with_the_variance_of_their_scale():
    branches = Branches(((3, 10),), 64, 16, 64, 0.1)
    params = jax.jit(branches.init, static_argnums=1)(jax.random.key(0), 0)["params"]
    for name, inputs, scale in (("enter", 64, 1), ("middle_3", 9 * 16, 1), ("leave", 16, 0.1)):
        variance = np.var(params[f"{name}_kernel"]) * inputs
        np.testing.assert_allclose(variance, scale, rtol=0.05)
        np.testing.assert_array_equal(params[f"{name}_bias"], 0)


def test_shrinking_takes_means_and_enlarging_repeats():
    images = draw((2, 6, 4, 3))
    means = images.reshape(2, 3, 2, 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(shrink(jnp.asarray(images), 2), means, rtol=1e-5, atol=1e-6)
    repeated = np.repeat(np.repeat(images, 3, axis=1), 3, axis=2)
    np.testing.assert_array_equal(enlarge(jnp.asarray(images), 3), repeated)
    np.testing.assert_array_equal(shrink(jnp.asarray(images), 1), images)
