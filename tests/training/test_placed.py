"""Where images are kept: the same batches from everywhere, and what is refused."""

import threading
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from jaxvae.training import (
    Ensemble,
    Trainer,
    TrainState,
    batches,
    epochs,
    place_images,
    train,
    train_ensemble,
)
from jaxvae.training.epochs import refuse_uneven
from jaxvae.training.mesh import chosen_devices

COUNT, BATCH, EPOCHS = 23, 5, 3
STEPS = EPOCHS * (COUNT // BATCH)
# Every image is its own number.
NUMBERS = np.arange(100, 100 + COUNT, dtype=np.uint8).reshape(COUNT, 1, 1, 1)
ONE = Mesh(np.array(jax.devices("cpu")[:1]), "any")


class Nothing(NamedTuple):
    pass


def init(key):
    return TrainState(jnp.zeros((STEPS, BATCH), jnp.uint8), (), None, {}, None, key, jnp.int32(0))


def step(state, images):
    seen = state.variables.at[state.step].set(images.reshape(-1))
    return state._replace(variables=seen, step=state.step + 1), jnp.float32(0), Nothing()


# Its state is the list of the images that each step saw.
LOGGING = Trainer(init, step)
KEYS = jax.random.split(jax.random.key(0), 3)


def visits(images, key=KEYS[0], first=0, **rest):
    state = init(key)._replace(step=jnp.int32(first))
    state = train(LOGGING, state, images, epochs=EPOCHS, batch_size=BATCH, **rest)
    return np.asarray(state.variables)


@pytest.fixture
def small_pieces(monkeypatch):
    """Two batches are laid out at a time, so that an epoch of four has two pieces."""
    monkeypatch.setattr(batches, "_PIECE_BYTES", 2 * BATCH)


STORED = [("host", None), ("everywhere", ONE), ("split", ONE), ("host", ONE)]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(("storage", "mesh"), STORED)
@pytest.mark.parametrize("first", [0, 5])
def test_steps_take_the_same_images_wherever_these_are_kept(storage, mesh, first):
    placed = place_images(NUMBERS, mesh=mesh, storage=storage)
    expected = visits(NUMBERS, first=first)
    assert len(np.unique(expected[first:])) > BATCH
    np.testing.assert_array_equal(visits(placed, first=first, mesh=mesh), expected)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(("storage", "mesh"), STORED)
def test_members_take_the_same_images_wherever_these_are_kept(storage, mesh):
    start = Ensemble(jax.vmap(init)(KEYS), jnp.full(3, -1, jnp.int32))
    ensemble = train_ensemble(
        LOGGING,
        start,
        place_images(NUMBERS, mesh=mesh, storage=storage),
        epochs=EPOCHS,
        batch_size=BATCH,
        mesh=mesh,
    )
    expected = [visits(NUMBERS, key) for key in KEYS]
    np.testing.assert_array_equal(ensemble.states.variables, expected)


def test_images_on_disk_are_read_as_they_are_needed(tmp_path):
    np.save(tmp_path / "images.npy", NUMBERS)
    on_disk = np.load(tmp_path / "images.npy", mmap_mode="r")
    placed = place_images(on_disk, storage="host")
    assert np.shares_memory(placed.kept, on_disk)
    np.testing.assert_array_equal(visits(placed), visits(NUMBERS))


@pytest.mark.parametrize("mesh", [None, ONE])
def test_images_stay_on_the_host_where_no_device_has_room_for_them(mesh):
    # 16 TiB that were never allocated.
    endless = np.lib.stride_tricks.as_strided(np.full(1, 7, np.uint8), (2**40, 4, 4, 1), (0,) * 4)
    placed = place_images(endless, mesh=mesh)
    assert (placed.storage, placed.n) == ("host", 2**40)
    assert place_images(NUMBERS, mesh=mesh).storage == "everywhere"


@pytest.mark.usefixtures("small_pieces")
def test_what_fails_while_batches_are_read_ahead_is_raised(tmp_path):
    class Broken(np.ndarray):
        def __getitem__(self, index):
            if isinstance(index, np.ndarray):
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    placed = place_images(NUMBERS, storage="host")
    with pytest.raises(OSError, match="the disk is gone"):
        visits(placed._replace(kept=NUMBERS.view(Broken)))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(("storage", "mesh"), STORED)
def test_the_order_follows_the_settings_of_jax_wherever_images_are_kept(storage, mesh):
    with jax.threefry_partitionable(False):
        expected = visits(NUMBERS)
        seen = visits(place_images(NUMBERS, mesh=mesh, storage=storage), mesh=mesh)
    np.testing.assert_array_equal(seen, expected)
    assert not np.array_equal(expected, visits(NUMBERS))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("mesh", [None, ONE])
def test_images_of_the_host_are_read_by_a_thread_that_begins_no_program(mesh, monkeypatch):
    reading, drawing = set(), set()

    class Watched(np.ndarray):
        def __getitem__(self, index):
            reading.add(threading.current_thread())
            return super().__getitem__(index)

    draw = epochs._order

    def drawn(*given, **named):
        drawing.add(threading.current_thread())
        return draw(*given, **named)

    monkeypatch.setattr(epochs, "_order", drawn)
    placed = place_images(NUMBERS, mesh=mesh, storage="host")
    visits(placed._replace(kept=NUMBERS.view(Watched)), mesh=mesh)
    assert drawing == {threading.main_thread()}
    assert threading.main_thread() not in reading


def test_another_storage_is_refused():
    with pytest.raises(ValueError, match="among everywhere, split, host, got disk"):
        place_images(NUMBERS, mesh=ONE, storage="disk")


def test_images_cannot_be_split_over_no_devices():
    with pytest.raises(ValueError, match="among everywhere, host, got split"):
        place_images(NUMBERS, storage="split")


def test_images_that_were_placed_for_other_devices_are_refused():
    with pytest.raises(ValueError, match="placed for the mesh of the training"):
        visits(place_images(NUMBERS), mesh=ONE)


def test_placed_images_of_another_shape_are_refused():
    placed = place_images(np.zeros((4, 16, 16, 1), np.uint8))
    with pytest.raises(
        ValueError, match=r"images \(8, 8, 1\) for this model, got .* \(16, 16, 1\)"
    ):
        place_images(placed, (8, 8, 1))


def test_images_that_were_placed_are_taken_as_they_are():
    placed = place_images(NUMBERS, mesh=ONE)
    assert place_images(placed, mesh=Mesh(np.array([ONE.devices]), ("a", "b"))) is placed


def test_a_batch_that_devices_cannot_share_evenly_is_refused():
    refuse_uneven(64, 4)
    with pytest.raises(ValueError, match="4 devices share evenly, such as 64, got 63"):
        refuse_uneven(63, 4)


def test_more_devices_than_there_are_are_refused():
    there = len(jax.devices())
    with pytest.raises(ValueError, match=f"at most {there} devices, .*, got {there + 1}"):
        chosen_devices(there + 1)
