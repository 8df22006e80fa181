"""The same step many times: values and gradients of the steps one after another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.repeated import kept, packed, repeat, unpacked


def step(state, weights):
    state = kept(jnp.sin(state @ weights["kernel"])) + state
    return state, {"mean": state[..., :2], "double": 2 * state}


def drawn(count):
    random = np.random.default_rng(0)
    state = random.normal(size=(5, 3, 4)).astype("f4")
    return state, {"kernel": random.normal(size=(count, 4, 4)).astype("f4")}


@pytest.mark.parametrize("count", [1, 3])
def test_steps_have_the_values_and_the_gradient_of_one_after_another(count):
    def together(state, weights):
        state, made = repeat(step, state, weights, count)
        return loss(state, made), made

    def apart(state, weights):
        made = []
        for index in range(count):
            state, each = step(state, jax.tree.map(lambda leaf, index=index: leaf[index], weights))
            made.append(each)
        return loss(state, made), made

    def loss(state, made):
        return jnp.sum(state**2) + sum(jnp.sum(each["mean"] ** 3) for each in made)

    one, other = (
        jax.jit(jax.value_and_grad(function, argnums=(0, 1), has_aux=True))(*drawn(count))
        for function in (together, apart)
    )
    assert len(one[0][1]) == count
    for each, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(each, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 8, 8, 16), (8 * 8 * 16, 64)),
        ((64, 8, 8, 64), (64, 8 * 8, 64)),
        ((256, 8, 8, 128), (256, 8 * 8, 128)),
        ((5, 3), (5, 3)),
        ((5,), (5,)),
        ((), ()),
    ],
)
def test_of_images_channels_are_the_last_axis_where_they_are_many_and_else_examples(
    shape, expected
):
    values = jnp.arange(np.prod(shape)).reshape(shape)
    assert packed(values).shape == expected
    np.testing.assert_array_equal(unpacked(packed(values), shape), values)
