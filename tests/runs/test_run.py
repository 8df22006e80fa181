"""A run in its folder: what is kept, when, and where it goes on."""

import shutil
from functools import partial

import jax
import numpy as np
import optax
import pytest

from jaxvae.models import dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.runs import checkpoint
from jaxvae.runs.run import latest_state, latest_step, snapshot_epochs, train_run
from jaxvae.training import train, vae_trainer
from tests.files.damage import flip
from tests.runs.states import assert_same
from tests.tiers import parametrize

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
TRAINER = vae_trainer(
    dense_vae(image_shape=(4, 4, 1), latents=2, widths=(5,)), beta_vae, optax.adam(1e-3)
)
KEY = jax.random.key(3)
FIRST = partial(TRAINER.init, KEY)


class StopError(Exception):
    pass


def go(folder, epochs, snapshots=1, record=lambda progress: None):
    state = latest_state(TRAINER, folder, FIRST)
    kept = {"epochs": epochs, "batch_size": 5, "snapshots": snapshots}
    return train_run(TRAINER, state, IMAGES, folder=folder, record=record, **kept)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of four epochs with two snapshots, its state, and the snapshots."""
    folder = tmp_path_factory.mktemp("finished")
    state = go(folder, 4, snapshots=2)
    snapshots = {
        step: checkpoint.load(folder / "snapshots", step, state.variables) for step in (8, 16)
    }
    return folder, state, snapshots


@pytest.mark.parametrize(
    ("epochs", "count", "expected"),
    [(10, 1, (10,)), (10, 3, (3, 7, 10)), (4, 4, (1, 2, 3, 4)), (7, 2, (4, 7)), (1, 1, (1,))],
)
def test_snapshots_are_evenly_spaced_and_the_last_is_of_the_end(epochs, count, expected):
    assert snapshot_epochs(epochs, count) == expected


@pytest.mark.parametrize("count", [0, 5])
def test_no_snapshots_and_more_than_epochs_are_refused(count):
    with pytest.raises(ValueError, match=f"expected 1 to 4 snapshots of 4 epochs, got {count}"):
        snapshot_epochs(4, count)


def test_a_run_in_its_folder_is_that_without_one(finished):
    folder, state, _ = finished
    alone = train(TRAINER, TRAINER.init(KEY), IMAGES, epochs=4, batch_size=5)
    assert_same(state, alone)
    assert checkpoint.steps(folder / "snapshots") == [8, 16]
    assert checkpoint.steps(folder / "resume") == [8, 16]
    assert latest_step(folder) == 16
    assert_same(latest_state(TRAINER, folder, FIRST), alone)


@pytest.mark.parametrize("generator", ["rbg", "unsafe_rbg"])
def test_a_run_is_found_again_whatever_generator_is_the_default(generator, finished):
    folder, state, _ = finished
    with jax.default_prng_impl(generator):
        assert_same(latest_state(TRAINER, folder, FIRST), state)


def test_a_run_that_broke_off_goes_on_from_its_last_state(tmp_path, finished):
    def break_off(progress):
        if progress.step > 10:
            raise StopError

    with pytest.raises(StopError):
        go(tmp_path, 4, snapshots=2, record=break_off)
    assert latest_step(tmp_path) == 8
    assert_same(go(tmp_path, 4, snapshots=2), finished[1])


def test_an_interrupted_run_goes_on_from_where_it_was(tmp_path, finished):
    def interrupt(progress):
        if progress.step > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, 4, record=interrupt)
    assert 0 < latest_step(tmp_path) < 16
    assert checkpoint.steps(tmp_path / "snapshots") == []
    # It is the same with another number of snapshots.
    assert_same(go(tmp_path, 4), finished[1])


def test_a_finished_run_is_not_written_again(finished):
    folder, _, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    go(folder, 4, snapshots=2)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_state_saved_at_the_very_end_still_leaves_its_snapshot(tmp_path):
    # The five minutes were over at the last step, and the run was killed there.
    state = train(TRAINER, TRAINER.init(KEY), IMAGES, epochs=2, batch_size=5)
    checkpoint.save(tmp_path / "resume", 8, state)
    go(tmp_path, 2)
    assert checkpoint.steps(tmp_path / "snapshots") == [8]


def flip_a_bit(place):
    """Another bit in the largest file of a snapshot."""
    flip(max(place.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else -1))


def unseal(place):
    (place / "manifest.json").unlink()


LAST_SNAPSHOT = ["snapshots/step-0000000016"]
LAST_STATE = ["resume/step-0000000016"]
ALL_BUT_THE_LAST = [*LAST_STATE, "resume/step-0000000008", "snapshots/step-0000000008"]


# Every harm and every place but one, then all others.
@parametrize(
    ("damaged", "harm"),
    [
        (ALL_BUT_THE_LAST, flip_a_bit),
        (LAST_STATE, unseal),
        (LAST_SNAPSHOT, shutil.rmtree),
        (ALL_BUT_THE_LAST, unseal),
        (ALL_BUT_THE_LAST, shutil.rmtree),
        (LAST_STATE, flip_a_bit),
        (LAST_STATE, shutil.rmtree),
        (LAST_SNAPSHOT, flip_a_bit),
        (LAST_SNAPSHOT, unseal),
        *((["snapshots/step-0000000008"], harm) for harm in (flip_a_bit, unseal, shutil.rmtree)),
    ],
    quick=3,
    ids=lambda value: " ".join(value) if isinstance(value, list) else value.__name__,
)
def test_what_is_damaged_is_made_again_with_the_same_numbers(
    tmp_path, finished, damaged, harm, caplog
):
    folder, whole, snapshots = finished
    folder = shutil.copytree(folder, tmp_path / "run")
    for place in damaged:
        harm(folder / place)
    state = latest_state(TRAINER, folder, FIRST, wanted=(8, 16))
    again = min((int(place[-2:]) for place in damaged if place.startswith("snap")), default=16)
    for place in damaged:
        part, step = place.split("/step-")
        if part == "resume" and int(step) > again:
            continue  # of no use: it is not read
        if harm is not shutil.rmtree:
            assert f"{part}/step-{step}" in caplog.text
        elif part == "snapshots":
            assert f"the snapshot of step {int(step)} is absent" in caplog.text
    kept = {"epochs": 4, "batch_size": 5, "snapshots": 2}
    assert_same(train_run(TRAINER, state, IMAGES, folder=folder, **kept), whole)
    for step, variables in snapshots.items():
        assert_same(checkpoint.load(folder / "snapshots", step, variables), variables)
    assert checkpoint.damaged_steps(folder / "snapshots") == {}
    assert_same(latest_state(TRAINER, folder, FIRST, wanted=(8, 16)), whole)


def test_a_run_that_is_told_more_epochs_goes_on_without_snapshots_it_was_never_to_have(tmp_path):
    go(tmp_path, 3, snapshots=2)
    assert checkpoint.steps(tmp_path / "snapshots") == [8, 12]
    state = latest_state(TRAINER, tmp_path, FIRST, wanted=(4, 8, 12, 16, 20))
    assert int(state.step) == 0
    state = latest_state(TRAINER, tmp_path, FIRST, wanted=(4, 8, 16))
    assert int(state.step) == 12
