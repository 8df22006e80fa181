"""What the tests of convolutions share: images and kernels, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np


def draw(size, kernel_size):
    batch, height, width, inputs, outputs = size
    random = np.random.default_rng(0)
    images = random.normal(size=(batch, height, width, inputs))
    kernel = random.normal(size=(kernel_size, kernel_size, inputs, outputs))
    return images.astype(np.float32), kernel.astype(np.float32)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def with_gradients(function, images, kernel):
    def loss(images, kernel):
        # A cotangent that differs at every output, so that no tap can stand for another.
        values = function(images, kernel)
        return jnp.vdot(jnp.sin(jnp.arange(values.size)), values.ravel()), values

    gradients, values = jax.grad(loss, argnums=(0, 1), has_aux=True)(images, kernel)
    return values, gradients


values_and_gradients = jax.jit(with_gradients, static_argnums=0)


def assert_close(actual, expected, name=""):
    # The same few hundred float32 products summed in another order: the difference is a
    # few dozen roundings (eps 6e-8) of the largest value, not of each one, as terms cancel.
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        largest = np.max(np.abs(other))
        np.testing.assert_allclose(one, other, rtol=0, atol=4e-6 * largest, err_msg=name)
