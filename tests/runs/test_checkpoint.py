"""Snapshots: bitwise round trips, and nothing that is not whole."""

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp

from jaxvae.files.sealed import MANIFEST, DamageError
from jaxvae.models import convolutional_vae
from jaxvae.objectives import beta_vae
from jaxvae.runs import checkpoint
from jaxvae.training import vae_trainer
from tests.files.damage import flip
from tests.files.unreadable import MESSAGE, make_unreadable
from tests.tiers import parametrize

VAE = convolutional_vae(image_shape=(4, 4, 1), latents=2, widths=(3,))
TRAINER = vae_trainer(VAE, beta_vae, optax.adam(1e-3))


@pytest.fixture(scope="module")
def state():
    """Numbers at random, so that nothing in it is zero only because it is new."""
    random = np.random.default_rng(1)

    def drawn(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return jnp.asarray(100 * random.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(drawn, TRAINER.init(jax.random.key(0)))


@pytest.fixture(scope="module")
def snapshot(state, tmp_path_factory):
    """A folder with one whole snapshot, of step 3; not to be written to."""
    folder = tmp_path_factory.mktemp("snapshots")
    checkpoint.save(folder, 3, state)
    return folder


@pytest.fixture
def folder(snapshot, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(snapshot, tmp_path / "snapshots")


def bits(leaf):
    data = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return np.asarray(data).tobytes()


def test_a_training_state_comes_back_bitwise(state, snapshot):
    shapes = jax.eval_shape(TRAINER.init, jax.random.key(0))
    loaded = checkpoint.load(snapshot, 3, shapes)
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    for one, other in zip(jax.tree.leaves(loaded), jax.tree.leaves(state), strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert bits(one) == bits(other)


def test_arrays_serve_as_the_structure_as_well(state, snapshot):
    loaded = checkpoint.load(snapshot, 3, state)
    assert list(map(bits, jax.tree.leaves(loaded))) == list(map(bits, jax.tree.leaves(state)))


@pytest.mark.parametrize("abstract", [True, False])
def test_a_state_that_comes_back_runs_what_was_compiled_before(state, snapshot, abstract):
    like = jax.eval_shape(TRAINER.init, jax.random.key(0)) if abstract else state
    seen = jax.jit(lambda state: jax.random.normal(state.key, (3,)) + state.step)
    expected = seen(state)
    found = seen(checkpoint.load(snapshot, 3, like))
    np.testing.assert_array_equal(found, expected)
    assert seen._cache_size() == 1


def test_the_key_that_comes_back_draws_the_same_numbers(state, snapshot):
    loaded = checkpoint.load(snapshot, 3, state)
    np.testing.assert_array_equal(
        jax.random.normal(loaded.key, (4,)), jax.random.normal(state.key, (4,))
    )


def test_snapshots_are_listed_in_the_order_of_their_steps(folder, state):
    for step in (10, 2):
        checkpoint.save(folder, step, state.step)
    assert checkpoint.steps(folder) == [2, 3, 10]


def test_a_folder_that_does_not_exist_has_no_snapshots(tmp_path):
    assert checkpoint.steps(tmp_path / "nowhere") == []


def test_a_snapshot_of_the_same_step_is_replaced(folder, state):
    other = jax.tree.map(lambda leaf: leaf, state)._replace(step=jnp.int32(41))
    checkpoint.save(folder, 3, other)
    assert checkpoint.steps(folder) == [3]
    assert int(checkpoint.load(folder, 3, state).step) == 41


def test_of_states_to_go_on_from_the_last_two_are_kept_and_none_that_is_beyond(folder, state):
    for step, kept in ((4, [3, 4]), (9, [4, 9]), (5, [4, 5]), (2, [2])):
        checkpoint.save_latest(folder, step, state.step)
        assert checkpoint.steps(folder) == kept
        assert len(list(folder.iterdir())) == len(kept)


@parametrize("name", ["br[1] a*b? [ ä%20#\n", "br[1]", "a*b?", "[", "ä b%20#", "new\nline"])
def test_a_path_may_hold_what_others_take_for_a_pattern(tmp_path, state, name):
    checkpoint.save(tmp_path / name, 3, state)
    loaded = checkpoint.load(tmp_path / name, 3, state)
    assert list(map(bits, jax.tree.leaves(loaded))) == list(map(bits, jax.tree.leaves(state)))


# --- what is not whole ----------------------------------------------------------------


def interrupted_removal(folder):
    (folder / "step-0000000003" / "manifest.json").unlink()


def empty_folder(folder):
    shutil.rmtree(folder / "step-0000000003")
    (folder / "step-0000000003").mkdir()


INCOMPLETE = pytest.mark.parametrize("interrupt", [interrupted_removal, empty_folder])


@INCOMPLETE
def test_what_an_interruption_left_is_not_listed(folder, interrupt):
    interrupt(folder)
    assert checkpoint.steps(folder) == []


@INCOMPLETE
def test_what_an_interruption_left_is_not_loaded(folder, state, interrupt, caplog):
    interrupt(folder)
    assert checkpoint.load_latest(folder, state) is None
    assert "step-0000000003 has no manifest.json: it is not read" in caplog.text
    with pytest.raises(ValueError, match=r"expected a snapshot among \[\] .* got 3"):
        checkpoint.load(folder, 3, state)


@INCOMPLETE
def test_what_an_interruption_left_is_saved_over(folder, state, interrupt):
    interrupt(folder)
    checkpoint.save(folder, 3, state)
    loaded = checkpoint.load(folder, 3, state)
    assert list(map(bits, jax.tree.leaves(loaded))) == list(map(bits, jax.tree.leaves(state)))


@INCOMPLETE
def test_what_an_interruption_left_is_swept_away_by_the_next_snapshot(folder, state, interrupt):
    interrupt(folder)
    checkpoint.save_latest(folder, 4, state.step)
    assert [path.name for path in folder.iterdir()] == ["step-0000000004"]


def test_a_step_that_was_not_saved_is_refused(folder, state):
    with pytest.raises(ValueError, match=r"expected a snapshot among \[3\] .* got 5"):
        checkpoint.load(folder, 5, state)


def test_a_snapshot_of_another_model_is_refused(folder, state):
    with pytest.raises(ValueError, match="expected a snapshot of the same tree"):
        checkpoint.load(folder, 3, state.variables)


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_orbax_alone_reads_the_variables_of_a_snapshot_as_dictionaries(state, tmp_path):
    checkpoint.save(tmp_path, 3, state.variables)
    read = ocp.load(tmp_path / "step-0000000003" / "tree")
    assert set(read) == {"params", "statistics"}
    named, expected = (
        {jax.tree_util.keystr(path, simple=True): leaf for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (read, state.variables._asdict()))
    )
    assert named.keys() == expected.keys()
    for name, leaf in named.items():
        np.testing.assert_array_equal(leaf, expected[name])


# --- what is damaged ------------------------------------------------------------------


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_one_flipped_bit_of_any_file_is_found_and_the_file_is_named(folder, state):
    for path in files_of(folder):
        content = path.read_bytes()
        for bit in (0, 4 * len(content), 8 * len(content) - 1) if content else ():
            flip(path, bit)
            with pytest.raises(DamageError, match=path.name):
                checkpoint.load(folder, 3, state)
            path.write_bytes(content)
    checkpoint.load(folder, 3, state)


@pytest.mark.parametrize("replace", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), None])
def test_a_file_that_is_lost_or_has_no_end_is_found(folder, state, replace):
    path = max(files_of(folder), key=lambda path: path.stat().st_size)
    path.unlink()
    if replace is not None:
        replace(path)
    with pytest.raises(DamageError, match=f"{path.name} is absent or no regular file"):
        checkpoint.load(folder, 3, state)


def test_a_state_that_cannot_be_read_is_refused_and_no_earlier_one_is_taken(state, folder):
    checkpoint.save_latest(folder, 4, state)
    make_unreadable(folder / "step-0000000004" / MANIFEST)
    for read in (checkpoint.load_latest, lambda folder, _: checkpoint.damaged_steps(folder)):
        with pytest.raises(OSError, match=MESSAGE.format(MANIFEST)):
            read(folder, jax.eval_shape(TRAINER.init, jax.random.key(0)))


def test_where_the_latest_is_damaged_the_one_before_is_taken_and_that_is_said(
    folder, state, caplog
):
    checkpoint.save_latest(folder, 4, state._replace(step=jnp.int32(4)))
    damaged = files_of(folder / "step-0000000004" / "tree")[0]
    flip(damaged)
    assert list(checkpoint.damaged_steps(folder)) == [4]
    assert int(checkpoint.load_latest(folder, state).step) == int(state.step)
    assert caplog.text.count(f"{damaged} does not match its checksum") == 1
    flip(files_of(folder / "step-0000000003" / "tree")[0])
    assert checkpoint.load_latest(folder, state) is None


# In a process of its own: Orbax leaves coroutines behind that complain whenever they are freed.
NO_LARGE_FILES = """
import pathlib, resource, sys
import jax
import numpy as np
from jaxvae.runs import checkpoint

numbers = jax.device_put(np.random.default_rng(0).normal(size=1000))
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
try:
    checkpoint.save(pathlib.Path(sys.argv[1]), 3, {"numbers": numbers})
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_snapshot_that_cannot_be_written_leaves_the_earlier_one_and_names_the_place(
    folder, state
):
    command = [sys.executable, "-c", NO_LARGE_FILES, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"expected to write .*step-0000000003, got: File too large", done.stdout)
    assert [path.name for path in folder.iterdir()] == ["step-0000000003"]
    checkpoint.load(folder, 3, state)


class WritingThread(threading.Thread):
    """One that writes the other arrays while the first has failed already."""

    __module__ = "orbax.checkpoint"


def test_no_snapshot_is_removed_while_orbax_writes_to_it(tmp_path, monkeypatch):
    late = []

    def write(path):
        time.sleep(0.1)
        late.append(path.parent.is_dir())

    def save(path, tree):
        WritingThread(target=write, args=(path,)).start()
        raise ValueError(os.strerror(errno.EFBIG))

    monkeypatch.setattr(ocp, "save", save)
    with pytest.raises(OSError, match="File too large"):
        checkpoint.save(tmp_path, 3, {"numbers": np.zeros(3)})
    assert late == [True]


def test_a_snapshot_larger_than_the_disk_is_not_begun(tmp_path):
    # Never allocated: only its size is looked at.
    endless = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**50,), (0,))
    with pytest.raises(OSError, match=r"expected to write .*step-0000000003, got: No space left"):
        checkpoint.save(tmp_path, 3, {"endless": endless})
    assert list(tmp_path.iterdir()) == []
