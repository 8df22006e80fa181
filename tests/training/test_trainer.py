"""One training step against a gradient step written by hand."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.models import Variables, convolutional_vae, dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.training import unit_interval, vae_trainer

RATE = 0.01
VAES = {
    "dense": dense_vae(image_shape=(4, 4, 1), latents=2, widths=(5,)),
    "convolutional": convolutional_vae(image_shape=(4, 4, 1), latents=2, widths=(3,)),
}
TRAINERS = {name: vae_trainer(vae, beta_vae, optax.sgd(RATE)) for name, vae in VAES.items()}


def draw(vae, count=6):
    return jax.random.bits(jax.random.key(9), (count, *vae.image_shape), jnp.uint8)


def loss_by_hand(vae, params, statistics, images, noise):
    """Cross-entropy of the pixels plus the KL divergence, from the definitions."""
    outputs = vae.apply(Variables(params, statistics), images, noise, train=True)
    probabilities = jax.nn.sigmoid(outputs.logits)
    cross_entropy = -(
        images * jnp.log(probabilities) + (1 - images) * jnp.log(1 - probabilities)
    ).sum(axis=(1, 2, 3))
    variance = jnp.exp(outputs.log_variance)
    kl = 0.5 * (outputs.mean**2 + variance - outputs.log_variance - 1).sum(axis=1)
    return jnp.mean(cross_entropy + kl), outputs.statistics


@pytest.fixture(scope="module", params=VAES)
def stepped(request):
    """A state, the state one step later, and the same step by hand."""
    vae, trainer = VAES[request.param], TRAINERS[request.param]
    images = draw(vae)
    state = jax.jit(trainer.init)(jax.random.key(0))._replace(step=jnp.int32(7))
    after, loss, terms = jax.jit(trainer.step)(state, images)

    @jax.jit
    def by_hand(state):
        noise = jax.random.normal(jax.random.fold_in(state.key, 7), (len(images), vae.latents))
        (loss, statistics), gradients = jax.value_and_grad(
            lambda params: loss_by_hand(
                vae, params, state.variables.statistics, images / 255, noise
            ),
            has_aux=True,
        )(state.variables.params)
        params = jax.tree.map(lambda p, g: p - RATE * g, state.variables.params, gradients)
        return loss, Variables(params, statistics)

    return state, (after, loss, terms), by_hand(state)


def test_a_step_is_a_gradient_step_by_hand(stepped):
    _, (after, _, _), (_, expected) = stepped
    # The same gradients from another formula: roundings of losses of about 10 nats.
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
        after.variables,
        expected,
    )


def test_the_loss_is_that_before_the_update(stepped):
    _, (_, loss, _), (expected, _) = stepped
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_terms_add_up_to_the_loss(stepped):
    _, (_, loss, terms), _ = stepped
    np.testing.assert_allclose(terms.reconstruction + terms.kl, loss, rtol=1e-6)


def test_a_step_counts_itself_and_keeps_the_key(stepped):
    state, (after, _, _), _ = stepped
    assert int(after.step) == 8
    assert jnp.array_equal(jax.random.key_data(after.key), jax.random.key_data(state.key))


def test_a_step_changes_every_parameter(stepped):
    state, (after, _, _), _ = stepped
    pairs = zip(
        jax.tree.leaves(state.variables.params),
        jax.tree.leaves(after.variables.params),
        strict=True,
    )
    # A bias before batch normalization has no effect, and rounding decides whether it moves.
    moved = [bool(jnp.any(before != later)) for before, later in pairs if before.ndim > 1]
    assert all(moved)


def test_the_same_key_gives_the_same_numbers():
    trainer = TRAINERS["dense"]
    init, step = jax.jit(trainer.init), jax.jit(trainer.step)
    first, second = (step(init(jax.random.key(4)), draw(VAES["dense"])) for _ in range(2))
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert jnp.array_equal(one, other)


def test_every_step_draws_new_noise():
    trainer, images = TRAINERS["dense"], draw(VAES["dense"])
    state = jax.jit(trainer.init)(jax.random.key(0))
    step = jax.jit(trainer.step)
    losses = {float(step(state._replace(step=jnp.int32(count)), images)[1]) for count in range(4)}
    assert len(losses) == 4


def test_vmap_over_keys_trains_every_member_as_the_single_run():
    trainer, images = TRAINERS["dense"], draw(VAES["dense"])

    def run(key):
        state, loss, _ = trainer.step(trainer.init(key), images)
        return state.variables, loss

    keys = jax.random.split(jax.random.key(0), 2)
    together = jax.jit(jax.vmap(run))(keys)
    for index, key in enumerate(keys):
        # A batched product may add its terms in another order.
        jax.tree.map(
            lambda one, other, index=index: np.testing.assert_allclose(
                one[index], other, rtol=1e-5, atol=1e-5
            ),
            together,
            jax.jit(run)(key),
        )


def test_an_objective_of_the_user_is_what_is_minimized():
    class Terms(NamedTuple):
        size: jax.Array

    vae = VAES["dense"]

    def objective(outputs, images):
        del images
        size = jnp.mean(outputs.mean**2)
        return size, Terms(size)

    trainer = vae_trainer(vae, objective, optax.sgd(0.1))
    state = jax.jit(trainer.init)(jax.random.key(0))
    images, step = draw(vae), jax.jit(trainer.step)
    losses = []
    for _ in range(5):
        state, loss, _ = step(state, images)
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)


def test_bytes_become_the_unit_interval():
    pixels = unit_interval(jnp.arange(256, dtype=jnp.uint8))
    np.testing.assert_allclose(pixels, np.arange(256) / 255, rtol=1e-7)
