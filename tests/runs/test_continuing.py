"""A run that begins with another: equal where nothing differs, and what of it goes on where not."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from jaxvae.runs.config import RunConfig, write_config
from jaxvae.runs.continuing import Origin, first_state, refuse_other_model, stored_origin
from jaxvae.runs.ready import ready_run
from jaxvae.runs.run import latest_state, train_run
from tests.runs.states import assert_same
from tests.tiers import parametrize

CONFIG = RunConfig(
    image_size=8,
    train_size=40,
    network="dense_vae",
    options={"widths": [4]},
    latents=2,
    objective="annealed_vae",
    coefficients={"capacity": 5.0},
    ramps={"capacity": 5},
    learning_rate=1e-3,
    clip=100.0,
    average=0.9,
    warmup=3,
    batch_size=16,
    epochs=2,
)
KEY = jax.random.key(0)


def trained(folder, run, origin=None):
    """Train as `jaxvae train` does, and give the last state."""
    config = run.config

    def first():
        return run.trainer.init(KEY) if origin is None else first_state(run, origin, KEY)

    write_config(
        folder / "run.json",
        config,
        image_shape=run.vae.image_shape,
        per_epoch=run.per_epoch,
        origin=origin and origin.told,
    )
    return train_run(
        run.trainer,
        latest_state(run.trainer, folder, first),
        run.dataset.train.images,
        folder=folder,
        epochs=config.epochs,
        batch_size=config.batch_size,
        begun=0 if origin is None else origin.epochs,
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    return folder, trained(folder, ready_run(CONFIG))


def began(folder, **other):
    """The first state of a run that goes on for three more epochs."""
    config, origin = dataclasses.replace(CONFIG, **{"epochs": 5, **other}), Origin(folder, 2)
    refuse_other_model(origin, CONFIG, config)
    return first_state(ready_run(config), origin, KEY)


def test_two_epochs_and_three_more_are_five_bit_by_bit(begun, tmp_path):
    """With clipping, an average, warm-up and a ramp that are not over where the first run ends."""
    run = ready_run(dataclasses.replace(CONFIG, epochs=5))
    whole = trained(tmp_path / "whole", run)
    parts = trained(tmp_path / "parts", run, Origin(begun[0], 2))
    assert int(parts.step) == 10
    assert_same(parts, whole)


def test_another_learning_rate_is_all_that_changes_in_the_state(begun):
    state = began(begun[0], learning_rate=1e-5)
    rate = optax.tree.get(state.optimizer_state, "learning_rate")
    assert float(rate) == np.float32(1e-5)
    before = optax.tree.set(state.optimizer_state, learning_rate=np.float32(1e-3))
    assert_same(state._replace(optimizer_state=before), begun[1])


def test_with_other_batches_the_step_is_that_of_the_same_epoch(begun):
    assert int(began(begun[0], batch_size=8).step) == 2 * 5


@parametrize(
    "other",
    [{"clip": None}, {"warmup": 7}, {"average": 0.5}, {"l2": 1e-3}],
    ids=lambda one: next(iter(one)),
)
def test_the_moments_of_adam_go_on_where_other_parts_of_the_optimizer_begin_anew(begun, other):
    state = began(begun[0], **other)
    assert_same(state.variables, begun[1].variables)
    for name in ("mu", "nu"):
        assert_same(*(optax.tree.get(each.optimizer_state, name) for each in (state, begun[1])))
    average = optax.tree.get(state.optimizer_state, "average")
    assert_same(average, state.variables.params)
    assert int(optax.tree.get(state.optimizer_state, "updates")) == 0


@parametrize(("objective", "coefficient"), [("beta_vae", "beta"), ("factor_vae", "gamma")])
def test_another_objective_has_its_own_coefficients_and_discriminator(
    begun, objective, coefficient
):
    state = began(begun[0], objective=objective, coefficients={coefficient: 3.0}, ramps={})
    assert_same(state.variables, begun[1].variables)
    assert {name: float(value) for name, value in state.coefficients.items()} == {coefficient: 3.0}
    assert (state.adversary is not None) == (objective == "factor_vae")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"epochs": 2}, "expected --epochs above 2, .* such as 4, got 2"),
        ({"latents": 3}, "expected latents 2 of .*, got 3: what it has learned would not fit"),
        ({"options": {"widths": (5,)}}, r"expected options .*widths.* would not fit"),
        (
            {"train_size": 50},
            "expected train_size 40 of .*: training continues with the same images",
        ),
        ({"seed": 1}, "expected seed 0 of .*, got 1: its noise and the order of its images are"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_would_be_another_model_is_refused_with_the_reason(begun, other, message):
    with pytest.raises(ValueError, match=message):
        began(begun[0], **other)


def test_a_run_that_is_absent_has_not_ended_or_has_gone_on_is_refused(begun, tmp_path):
    run = ready_run(dataclasses.replace(CONFIG, epochs=5))
    for epochs in (1, 3):
        with pytest.raises(ValueError, match=f"has done {epochs} epochs, got one after 2: where"):
            first_state(run, Origin(begun[0], epochs), KEY)
    with pytest.raises(ValueError, match=r"expected the run of --from in .*, found none: it is"):
        first_state(run, Origin(tmp_path, 2), KEY)


def test_another_run_in_the_place_of_the_first_is_refused(begun):
    run = ready_run(dataclasses.replace(CONFIG, epochs=5, latents=3))
    with pytest.raises(ValueError, match="expected latents 2 of"):
        first_state(run, Origin(begun[0], 2), KEY)


def test_the_settings_of_a_run_name_the_one_it_began_with(tmp_path):
    origin = Origin(tmp_path, 2)
    assert stored_origin({"from": origin.told}, tmp_path) == origin
    assert stored_origin({}, tmp_path) is None
    with pytest.raises(ValueError, match=r"expected a run and its epochs as from in .*, got 3"):
        stored_origin({"from": 3}, tmp_path)
