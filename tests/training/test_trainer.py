"""One training step against a gradient step written by hand."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.models import (
    Variables,
    compact_vae,
    convolutional_vae,
    dense_discriminator,
    dense_vae,
    residual_vae,
    transformer_vae,
    two_layer_hvae,
)
from jaxvae.objectives import (
    annealed_vae,
    beta_tc_vae,
    beta_vae,
    discriminator_loss,
    factor_vae,
    hierarchical_vae,
    linear_ramp,
)
from jaxvae.training import Adversary, train, unit_interval, vae_trainer
from tests.tiers import parametrize

RATE = 0.01
VAES = {
    "dense": dense_vae(image_shape=(4, 4, 1), latents=2, widths=(5,)),
    "convolutional": convolutional_vae(image_shape=(4, 4, 1), latents=2, widths=(3,)),
}
TRAINERS = {name: vae_trainer(vae, beta_vae, optax.sgd(RATE)) for name, vae in VAES.items()}


def draw(vae, count=6):
    return np.random.default_rng(9).integers(0, 256, (count, *vae.image_shape), np.uint8)


def loss_by_hand(vae, params, statistics, images, noise):
    """Cross-entropy of the pixels plus the KL divergence, from the definitions."""
    outputs = vae.apply(Variables(params, statistics), images, noise, train=True)
    probabilities = outputs.taps["output"]
    cross_entropy = -(
        images * jnp.log(probabilities) + (1 - images) * jnp.log(1 - probabilities)
    ).sum(axis=(1, 2, 3))
    variance = jnp.exp(outputs.log_variance)
    kl = 0.5 * (outputs.mean**2 + variance - outputs.log_variance - 1).sum(axis=1)
    return jnp.mean(cross_entropy + kl), outputs.statistics


@pytest.fixture(
    scope="module", params=["dense", pytest.param("convolutional", marks=pytest.mark.slow)]
)
def stepped(request):
    """A state, the state one step later, and the same step by hand."""
    vae, trainer = VAES[request.param], TRAINERS[request.param]
    images = draw(vae)
    state = trainer.init(jax.random.key(0))._replace(step=jnp.int32(7))
    after, loss, terms = jax.jit(trainer.step)(state, images)

    @jax.jit
    def by_hand(state):
        noise = jax.random.normal(jax.random.fold_in(state.key, 7), (vae.latents, len(images))).T
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
    step = jax.jit(trainer.step)
    first, second = (step(trainer.init(jax.random.key(4)), draw(VAES["dense"])) for _ in range(2))
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert jnp.array_equal(one, other)


def test_a_state_that_starts_within_a_jit_is_that_of_the_call():
    trainer, key = TRAINERS["dense"], jax.random.key(4)
    called, inside = trainer.init(key), jax.jit(lambda: trainer.init(key))()
    for one, other in zip(jax.tree.leaves(called), jax.tree.leaves(inside), strict=True):
        assert one.dtype == other.dtype
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_every_step_draws_new_noise():
    trainer, images = TRAINERS["dense"], draw(VAES["dense"])
    state = trainer.init(jax.random.key(0))
    step = jax.jit(trainer.step)
    losses = {float(step(state._replace(step=jnp.int32(count)), images)[1]) for count in range(4)}
    assert len(losses) == 4


def test_a_step_is_traced_once_for_all_programs_that_hold_it():
    traced = []

    def objective(outputs):
        traced.append(outputs)
        return beta_vae(outputs)

    vae = VAES["dense"]
    trainer, images = vae_trainer(vae, objective, optax.sgd(RATE)), draw(vae)
    state = trainer.init(jax.random.key(0))
    jax.eval_shape(trainer.step, state, images[:3])
    train(trainer, state, images, epochs=1, batch_size=3)
    assert len(traced) == 1


@pytest.mark.slow
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

    def objective(outputs):
        size = jnp.mean(outputs.mean**2)
        return size, Terms(size)

    trainer = vae_trainer(vae, objective, optax.sgd(0.1))
    state = trainer.init(jax.random.key(0))
    images, step = draw(vae), jax.jit(trainer.step)
    losses = []
    for _ in range(5):
        state, loss, _ = step(state, images)
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)


# --- coefficients and schedules -------------------------------------------------------


def test_a_coefficient_is_given_to_the_objective():
    vae = VAES["dense"]
    state = jax.jit(TRAINERS["dense"].init)(jax.random.key(0))
    weighted = vae_trainer(vae, beta_vae, optax.sgd(RATE), coefficients={"beta": 4.0})
    state = state._replace(coefficients={"beta": jnp.float32(4.0)})
    after, loss, terms = jax.jit(weighted.step)(state, draw(vae))
    np.testing.assert_allclose(loss, terms.reconstruction + 4 * terms.kl, rtol=1e-6)
    assert after.coefficients == {"beta": 4.0}


def test_a_schedule_leads_to_the_coefficient_with_the_step():
    vae = VAES["dense"]
    trainer = vae_trainer(
        vae,
        beta_vae,
        optax.sgd(RATE),
        coefficients={"beta": 4.0},
        schedules={"beta": partial(linear_ramp, steps=8)},
    )
    state, step = trainer.init(jax.random.key(0)), jax.jit(trainer.step)
    for steps, beta in ((0, 0.0), (2, 1.0), (8, 4.0), (100, 4.0)):
        _, loss, terms = step(state._replace(step=jnp.int32(steps)), draw(vae))
        np.testing.assert_allclose(loss, terms.reconstruction + beta * terms.kl, rtol=1e-6)


# --- the discriminator ----------------------------------------------------------------

ADVERSARY = Adversary(dense_discriminator(latents=2, depth=2, width=8), optax.sgd(0.5))


@pytest.fixture(scope="module")
def adversarial():
    """A FactorVAE trainer, and its state before and after a step."""
    trainer = vae_trainer(
        VAES["dense"],
        factor_vae,
        optax.sgd(RATE),
        coefficients={"gamma": 10.0},
        adversary=ADVERSARY,
    )
    state = trainer.init(jax.random.key(0))
    return trainer, state, *jax.jit(trainer.step)(state, draw(VAES["dense"]))


@pytest.mark.slow
def test_the_discriminator_takes_a_step_of_its_own_loss(adversarial):
    _, state, after, _, _ = adversarial
    vae, images = VAES["dense"], draw(VAES["dense"])
    noise_key = jax.random.fold_in(state.key, 0)
    noise = jax.random.normal(noise_key, (vae.latents, len(images))).T
    sample = vae.apply(state.variables, images / 255, noise).sample

    def loss(params):
        classify = partial(ADVERSARY.discriminator.apply, params)
        return discriminator_loss(classify, sample, jax.random.fold_in(noise_key, 1))

    gradients = jax.jit(jax.grad(loss))(state.adversary.params)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, state.adversary.params, gradients)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6),
        after.adversary.params,
        expected,
    )


def test_the_vae_sees_the_discriminator_before_its_step(adversarial):
    _, state, _, loss, terms = adversarial
    vae, images = VAES["dense"], draw(VAES["dense"])

    @jax.jit
    def seen(state):
        noise = jax.random.normal(jax.random.fold_in(state.key, 0), (vae.latents, len(images))).T
        sample = vae.apply(state.variables, images / 255, noise).sample
        return ADVERSARY.discriminator.apply(state.adversary.params, sample)

    logits = np.asarray(seen(state))
    np.testing.assert_allclose(terms.total_correlation, (logits[:, 0] - logits[:, 1]).mean(), 1e-4)
    np.testing.assert_allclose(
        loss, terms.reconstruction + terms.kl + 10 * terms.total_correlation, rtol=1e-6
    )


@pytest.mark.slow
def test_a_discriminator_learns_to_tell_latents_that_depend_on_each_other():
    adversary = Adversary(dense_discriminator(latents=2, depth=2, width=32), optax.adam(1e-2))
    vae, images = VAES["dense"], draw(VAES["dense"], 200)
    trainer = vae_trainer(
        vae, factor_vae, optax.sgd(0.0), coefficients={"gamma": 1.0}, adversary=adversary
    )
    state = trainer.init(jax.random.key(0))
    # An encoder that stands still, and gives every image one standard number twice.
    params = state.variables.params
    first = vae.apply(state.variables, images / 255, jnp.zeros((200, 2))).mean[:, 0]
    kernel = jnp.repeat(params["mean"]["kernel"][:, :1], 2, axis=1) / first.std()
    params = params | {
        "mean": {"kernel": kernel, "bias": jnp.full(2, -first.mean() / first.std())},
        "log_variance": {"kernel": jnp.zeros_like(kernel), "bias": jnp.full(2, -10.0)},
    }
    state = state._replace(variables=state.variables._replace(params=params))
    step, seen = jax.jit(trainer.step), []
    for _ in range(200):
        state, _, terms = step(state, images)
        seen.append(float(terms.total_correlation))
    assert abs(seen[0]) < 0.5
    assert seen[-1] > 1.0


# --- refusals -------------------------------------------------------------------------


def scheduled(schedule):
    return {"coefficients": {"beta": 1.0}, "schedules": {"beta": schedule}}


@pytest.mark.parametrize(
    ("objective", "given", "message"),
    [
        (beta_vae, {"coefficients": {"gamma": 1.0}}, r"among \['beta'\].* got \['gamma'\]"),
        (annealed_vae, {}, r"with \['capacity'\], got \[\]"),
        (beta_vae, {"schedules": {"beta": linear_ramp}}, r"schedules of the coefficients \[\]"),
        (factor_vae, {"coefficients": {"gamma": 1.0}}, "expected an adversary"),
        (beta_vae, {"adversary": ADVERSARY}, "expected no adversary"),
        (beta_tc_vae, {}, r"give partial\(beta_tc_vae, dataset_size=...\)"),
        (beta_vae, {"coefficients": {"beta": "4"}}, "expected a number for beta, .* got '4'"),
        (beta_vae, {"coefficients": {"beta": None}}, "expected a number for beta, .* got None"),
        (beta_vae, scheduled(optax.linear_schedule(0, 1, 10)), "a schedule .* for beta, such as"),
        (beta_vae, scheduled(0.5), "a schedule .* for beta, such as .* got 0.5"),
    ],
)
def test_what_an_objective_does_not_take_is_refused(objective, given, message):
    with pytest.raises(ValueError, match=message):
        vae_trainer(VAES["dense"], objective, optax.sgd(RATE), **given)


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"such as optax.adam\(1e-3\), got <function adam"):
        vae_trainer(VAES["dense"], beta_vae, optax.adam)


def test_a_state_in_place_of_its_variables_is_refused():
    trainer = vae_trainer(VAES["dense"], beta_vae, optax.sgd(RATE))
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    with pytest.raises(ValueError, match=r"such as state.variables of a training, got TrainState"):
        jax.eval_shape(VAES["dense"].decode, state, np.zeros((1, VAES["dense"].latents)))


@pytest.mark.parametrize(
    ("vae", "optimizer", "differs"),
    [
        (dense_vae(image_shape=(4, 4, 1), latents=3, widths=(5,)), optax.sgd(RATE), "variables"),
        (dense_vae(image_shape=(4, 4, 1), latents=2, widths=(5, 5)), optax.sgd(RATE), "variables"),
        (VAES["dense"], optax.sgd(RATE, momentum=0.9), "optimizer_state"),
        (VAES["dense"], optax.adam(RATE), "optimizer_state"),
    ],
)
def test_a_state_of_another_trainer_is_refused(vae, optimizer, differs):
    state = jax.eval_shape(vae_trainer(vae, beta_vae, optimizer).init, jax.random.key(0))
    images = np.zeros((2, *vae.image_shape), np.uint8)
    with pytest.raises(ValueError, match=f"that this trainer began with.* of its {differs} differ"):
        jax.eval_shape(TRAINERS["dense"].step, state, images)


def test_images_that_are_no_bytes_are_refused():
    trainer = vae_trainer(VAES["dense"], beta_vae, optax.sgd(RATE))
    images = np.zeros((2, *VAES["dense"].image_shape), np.float32)
    with pytest.raises(ValueError, match="expected uint8 images of 0 to 255 for a step, got floa"):
        jax.eval_shape(trainer.step, jax.eval_shape(trainer.init, jax.random.key(0)), images)


def test_bytes_become_the_unit_interval():
    pixels = unit_interval(jnp.arange(256, dtype=jnp.uint8))
    np.testing.assert_allclose(pixels, np.arange(256) / 255, rtol=1e-7)


@parametrize(
    "vae",
    [
        convolutional_vae(image_shape=(16, 16, 1), latents=3, widths=(4, 8)),
        dense_vae(image_shape=(16, 16, 1), latents=3),
        compact_vae(image_shape=(16, 16, 1), latents=3),
        residual_vae(image_shape=(16, 16, 1), latents=3),
        transformer_vae(image_shape=(16, 16, 1), latents=3),
    ],
    quick=2,
    ids=["convolutional", "dense", "compact", "residual", "transformer"],
)
def test_a_state_stays_float32_where_float64_is_enabled(vae):
    trainer = vae_trainer(vae, beta_vae, optax.adam(1e-3), coefficients={"beta": 1.0})
    with jax.enable_x64(True):
        before = jax.eval_shape(trainer.init, jax.random.key(0))
        images = jax.ShapeDtypeStruct((8, 16, 16, 1), jnp.uint8)
        after, _, _ = jax.eval_shape(trainer.step, before, images)
    assert after == before
    kinds = {leaf.dtype for leaf in jax.tree.leaves(before)}
    assert not kinds & {jnp.dtype("float64"), jnp.dtype("int64")}


def test_an_objective_of_another_kind_of_model_is_refused():
    with pytest.raises(ValueError, match="expected a hierarchical VAE, which is of type HVAE"):
        vae_trainer(VAES["dense"], hierarchical_vae, optax.sgd(RATE))
    hierarchy = two_layer_hvae(image_shape=(28, 28, 1), channels=8, top=4)
    with pytest.raises(ValueError, match="expected a VAE of one layer of latents, which is of"):
        vae_trainer(hierarchy, partial(beta_vae, beta=2.0), optax.sgd(RATE))


def test_an_objective_of_the_user_may_be_any_callable():
    class Weighted:
        def __call__(self, outputs, *, teacher: "HierarchyOutputs | 3" = None, beta=1.0):  # noqa: F821
            del teacher
            return beta_vae(outputs, beta=beta)

    trainer = vae_trainer(VAES["dense"], Weighted(), optax.sgd(RATE))
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    _, loss, _ = jax.eval_shape(trainer.step, state, draw(VAES["dense"]))
    assert loss.shape == ()


@jax.tree_util.register_pytree_node_class
class Own:
    """What an optimizer of the user may remember: a node that is equal to itself alone."""

    def __init__(self, value):
        self.value = value

    def tree_flatten(self):
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def test_an_optimizer_may_remember_in_nodes_of_its_own():
    steps = optax.GradientTransformation(
        lambda params: Own(jnp.zeros(())), lambda gradients, state, params=None: (gradients, state)
    )
    trainer = vae_trainer(VAES["dense"], beta_vae, steps)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    jax.eval_shape(trainer.step, state, draw(VAES["dense"]))
