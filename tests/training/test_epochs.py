"""Epochs: what is visited, what is reported, and what stops a run."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae.training.windows as windows_module
from jaxvae.models import dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.training import (
    Ensemble,
    NonFiniteLossError,
    Trainer,
    TrainState,
    steps_per_epoch,
    train,
    train_ensemble,
    vae_trainer,
)

COUNT, BATCH = 23, 5
PER_EPOCH = COUNT // BATCH
EPOCHS = 4
# Every image is its own number.
NUMBERS = np.arange(COUNT, dtype=np.uint8).reshape(COUNT, 1, 1, 1)
VAE = dense_vae(image_shape=(4, 4, 1), latents=2, widths=(5,))
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 1), dtype=np.uint8)


class Squared(NamedTuple):
    square: jax.Array


def log_state(key):
    seen = jnp.full((EPOCHS * PER_EPOCH, BATCH), -1)
    return TrainState(seen, (), None, {}, None, key, jnp.int32(0))


def logging_trainer(loss_of=lambda step: step.astype(jnp.float32)):
    """A trainer whose state is the list of the images that each step saw."""

    def init(key):
        return log_state(key)

    def step(state, images):
        seen = state.variables.at[state.step].set(images.reshape(-1).astype(jnp.int32))
        loss = loss_of(state.step)
        return state._replace(variables=seen, step=state.step + 1), loss, Squared(loss**2)

    return Trainer(init, step)


LOGGING = logging_trainer()


def visits(key=0, epochs=EPOCHS, first_step=0):
    """The images of every batch `[epoch, step, image]`, -1 where none was seen."""
    state = LOGGING.init(jax.random.key(key))._replace(step=jnp.int32(first_step))
    state = train(LOGGING, state, NUMBERS, epochs=epochs, batch_size=BATCH)
    return np.asarray(state.variables).reshape(EPOCHS, PER_EPOCH, BATCH)


# --- what is visited ------------------------------------------------------------------


def test_an_epoch_visits_no_image_twice():
    for epoch in visits():
        assert len(np.unique(epoch)) == PER_EPOCH * BATCH


def test_only_the_remainder_is_left_out_and_not_always_the_same():
    left_out = [frozenset(range(COUNT)) - set(epoch.ravel().tolist()) for epoch in visits()]
    assert {len(images) for images in left_out} == {COUNT % BATCH}
    assert len(set(left_out)) > 1


def test_every_epoch_has_a_new_order():
    orders = {tuple(epoch.ravel().tolist()) for epoch in visits()}
    assert len(orders) == EPOCHS


def test_the_order_is_a_function_of_the_key():
    np.testing.assert_array_equal(visits(key=1), visits(key=1))
    assert not np.array_equal(visits(key=1), visits(key=2))


def test_an_epoch_is_in_random_order():
    # The expected rank correlation with the original order is 0 with a spread of 1 / sqrt(n - 1);
    # its mean over four epochs is within three of them.
    correlations = [
        np.corrcoef(epoch.ravel(), np.arange(PER_EPOCH * BATCH))[0, 1] for epoch in visits()
    ]
    assert abs(np.mean(correlations)) < 3 / np.sqrt(EPOCHS * (PER_EPOCH * BATCH - 1))


def test_a_state_within_an_epoch_goes_on_with_the_batches_that_are_left():
    complete, resumed = visits(), visits(first_step=PER_EPOCH + 2)
    assert np.all(resumed.reshape(-1, BATCH)[: PER_EPOCH + 2] == -1)
    np.testing.assert_array_equal(
        resumed.reshape(-1, BATCH)[PER_EPOCH + 2 :], complete.reshape(-1, BATCH)[PER_EPOCH + 2 :]
    )


def test_epochs_that_are_already_done_are_not_repeated():
    state = LOGGING.init(jax.random.key(0))._replace(step=jnp.int32(2 * PER_EPOCH))
    assert train(LOGGING, state, NUMBERS, epochs=2, batch_size=BATCH) is state


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 23), (5, 4), (12, 1), (23, 1)])
def test_an_epoch_has_whole_batches_only(batch_size, steps):
    assert steps_per_epoch(NUMBERS, batch_size) == steps


@pytest.mark.parametrize("epochs", [1.5, -1, None])
def test_what_is_no_number_of_epochs_is_refused(epochs):
    trainer = vae_trainer(VAE, beta_vae, optax.sgd(0.1))
    state = trainer.init(jax.random.key(0))
    with pytest.raises(ValueError, match=f"expected a whole number of epochs, got {epochs}"):
        train(trainer, state, IMAGES, epochs=epochs, batch_size=BATCH)


@pytest.mark.parametrize("batch_size", [0, COUNT + 1])
def test_a_batch_larger_than_the_data_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"<= 23 images, got {batch_size}"):
        train(LOGGING, LOGGING.init(jax.random.key(0)), NUMBERS, epochs=1, batch_size=batch_size)


# --- training in pieces ---------------------------------------------------------------

ADAM = vae_trainer(VAE, beta_vae, optax.adam(1e-3))


def train_adam(*stops):
    state = jax.jit(ADAM.init)(jax.random.key(0))
    for epochs in stops:
        state = train(ADAM, state, IMAGES, epochs=epochs, batch_size=BATCH)
    return state


def test_training_in_pieces_is_bitwise_training_at_once():
    for one, other in zip(
        jax.tree.leaves(train_adam(1, 3)), jax.tree.leaves(train_adam(3)), strict=True
    ):
        assert jnp.array_equal(one, other)


def test_epochs_are_the_steps_one_by_one():
    trainer, step = ADAM, jax.jit(ADAM.step)
    state = trainer.init(jax.random.key(0))
    order = train_log(state.key)
    for batch in order:
        state, _, _ = step(state, jnp.asarray(IMAGES[batch]))
    # One compiled step in a loop and alone: Adam divides gradients by their own size, so that
    # a rounding of a small one moves a parameter by a part of the learning rate of 1e-3.
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
        train_adam(2).variables.params,
        state.variables.params,
    )


def train_log(key):
    """The batches of the first two epochs under a key, from a trainer that writes them down."""
    state = train(LOGGING, log_state(key), NUMBERS, epochs=2, batch_size=BATCH)
    return np.asarray(state.variables)[: 2 * PER_EPOCH]


# --- reports --------------------------------------------------------------------------


def reports(trainer=LOGGING, epochs=EPOCHS):
    seen = []
    state = trainer.init(jax.random.key(0))
    train(trainer, state, NUMBERS, epochs=epochs, batch_size=BATCH, report=seen.append)
    return seen


def test_short_epochs_are_reported_about_twice_a_second_and_each_is_recorded():
    start = LOGGING.init(jax.random.key(0))
    calls = {name: [] for name in ("report", "record")}
    told = {name: seen.append for name, seen in calls.items()}
    begun = time.perf_counter()
    train(LOGGING, start, NUMBERS, epochs=200, batch_size=BATCH, **told)
    seconds = time.perf_counter() - begun
    assert len(calls["report"]) <= 2 + seconds / 0.25
    steps = [progress.step for progress in calls["record"]]
    assert steps == sorted(set(steps))
    assert set(range(PER_EPOCH, 200 * PER_EPOCH + 1, PER_EPOCH)) <= set(steps)
    total = np.arange(200 * PER_EPOCH).sum()
    assert [sum_of_losses(seen) for seen in calls.values()] == pytest.approx([total, total])


def sum_of_losses(seen):
    firsts = [0, *(progress.step for progress in seen)]
    return sum(
        progress.loss * (progress.step - first)
        for first, progress in zip(firsts, seen, strict=False)
    )


def test_the_last_steps_of_members_are_reported_whenever_they_end():
    start = Ensemble(jax.vmap(LOGGING.init)(jax.random.split(jax.random.key(0))), jnp.full(2, -1))
    seen = []
    train_ensemble(LOGGING, start, NUMBERS, epochs=EPOCHS, batch_size=BATCH, report=seen.append)
    assert seen[-1].step == EPOCHS * PER_EPOCH


def test_reports_ascend_to_the_last_step():
    steps = [progress.step for progress in reports()]
    assert steps == sorted(set(steps))
    assert steps[-1] == EPOCHS * PER_EPOCH


def test_a_report_holds_the_means_since_the_one_before():
    # The loss of a step is its number, its only term the square of that.
    first = 0
    for progress in reports():
        steps = np.arange(first, progress.step)
        assert progress.loss == pytest.approx(steps.mean())
        assert progress.terms == pytest.approx({"square": (steps**2).mean()})
        first = progress.step


def test_a_report_holds_a_positive_speed():
    assert all(progress.images_per_second > 0 for progress in reports())


# --- saving ---------------------------------------------------------------------------


def test_an_interrupted_run_saves_a_state_that_leads_to_the_same_end():
    saved = []

    def interrupt(progress):
        if progress.step >= PER_EPOCH + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            ADAM,
            jax.jit(ADAM.init)(jax.random.key(0)),
            IMAGES,
            epochs=3,
            batch_size=BATCH,
            record=interrupt,
            save=saved.append,
        )
    (state,) = saved
    assert 0 < int(state.step) < 3 * PER_EPOCH
    resumed = train(ADAM, state, IMAGES, epochs=3, batch_size=BATCH)
    for one, other in zip(jax.tree.leaves(resumed), jax.tree.leaves(train_adam(3)), strict=True):
        assert jnp.array_equal(one, other)


def test_a_long_run_is_saved_on_the_way(monkeypatch):
    monkeypatch.setattr(windows_module, "_SAVE_SECONDS", 0.0)
    saved = []
    state = LOGGING.init(jax.random.key(0))
    train(LOGGING, state, NUMBERS, epochs=EPOCHS, batch_size=BATCH, save=saved.append)
    steps = [int(state.step) for state in saved]
    assert steps == sorted(set(steps))
    assert steps[-1] == EPOCHS * PER_EPOCH


# --- a loss that is not finite --------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("bad_step", [0, 6, EPOCHS * PER_EPOCH - 1])
def test_the_first_loss_that_is_not_finite_stops_the_run_with_its_step(bad_step, value):
    trainer = logging_trainer(lambda step: jnp.where(step == bad_step, value, 1.0))
    with pytest.raises(NonFiniteLossError) as caught:
        reports(trainer)
    assert caught.value.step == bad_step
    np.testing.assert_array_equal(list(caught.value.terms.values()), [value, value**2])
    assert f"step {bad_step} (epoch {bad_step // PER_EPOCH})" in str(caught.value)


def test_no_report_includes_a_loss_that_is_not_finite():
    trainer, seen = logging_trainer(lambda step: jnp.where(step == 6, jnp.nan, 1.0)), []
    with pytest.raises(NonFiniteLossError):
        train(
            trainer,
            trainer.init(jax.random.key(0)),
            NUMBERS,
            epochs=EPOCHS,
            batch_size=BATCH,
            report=seen.append,
        )
    assert all(progress.loss == 1 for progress in seen)


def test_a_huge_learning_rate_ends_in_an_error_with_the_terms():
    trainer = vae_trainer(VAE, beta_vae, optax.sgd(1e30))
    state = trainer.init(jax.random.key(0))
    with pytest.raises(NonFiniteLossError, match="try a smaller learning rate") as caught:
        train(trainer, state, IMAGES, epochs=2, batch_size=BATCH)
    assert list(caught.value.terms) == ["loss", "reconstruction", "kl"]
    assert caught.value.step >= 1
