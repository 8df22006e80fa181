"""Snapshots: bitwise round trips, and nothing that is not whole."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp

from jaxvae.models import convolutional_vae
from jaxvae.objectives import beta_vae
from jaxvae.training import checkpoint, vae_trainer

VAE = convolutional_vae(image_shape=(4, 4, 1), latents=2, widths=(3,))
TRAINER = vae_trainer(VAE, beta_vae, optax.adam(1e-3))


@pytest.fixture(scope="module")
def state():
    """A state after one step, so that nothing in it is zero only because it is new."""
    images = jax.random.bits(jax.random.key(1), (6, 4, 4, 1), jnp.uint8)
    return jax.jit(TRAINER.step)(jax.jit(TRAINER.init)(jax.random.key(0)), images)[0]


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


def test_only_the_latest_snapshot_is_kept(folder, state):
    checkpoint.save(folder, 4, state.step)
    checkpoint.keep_latest(folder)
    assert [path.name for path in folder.iterdir()] == ["step-0000000004"]


def test_keeping_the_latest_of_none_removes_nothing(tmp_path):
    (tmp_path / "step-0000000001").mkdir()
    checkpoint.keep_latest(tmp_path)
    assert (tmp_path / "step-0000000001").exists()


# --- what is not whole ----------------------------------------------------------------


def interrupted_save(folder):
    (folder / "step-0000000003").rename(folder / "step-0000000003.orbax-checkpoint-tmp")


def interrupted_removal(folder):
    (folder / "step-0000000003" / "commit_success.txt").unlink()


def empty_folder(folder):
    shutil.rmtree(folder / "step-0000000003")
    (folder / "step-0000000003").mkdir()


INCOMPLETE = pytest.mark.parametrize(
    "interrupt", [interrupted_save, interrupted_removal, empty_folder]
)


@INCOMPLETE
def test_what_an_interruption_left_is_not_listed(folder, interrupt):
    interrupt(folder)
    assert checkpoint.steps(folder) == []


@INCOMPLETE
def test_what_an_interruption_left_is_not_loaded(folder, state, interrupt):
    interrupt(folder)
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
    checkpoint.save(folder, 4, state.step)
    checkpoint.keep_latest(folder)
    assert [path.name for path in folder.iterdir()] == ["step-0000000004"]


def test_a_step_that_was_not_saved_is_refused(folder, state):
    with pytest.raises(ValueError, match=r"expected a snapshot among \[3\] .* got 5"):
        checkpoint.load(folder, 5, state)


def test_a_snapshot_of_another_model_is_refused(folder, state):
    with pytest.raises(ValueError, match="expected a whole snapshot of the same tree"):
        checkpoint.load(folder, 3, state.variables)


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_orbax_alone_reads_the_variables_of_a_snapshot_as_dictionaries(state, tmp_path):
    checkpoint.save(tmp_path, 3, state.variables)
    read = ocp.load(tmp_path / "step-0000000003")
    assert set(read) == {"params", "statistics"}
    named, expected = (
        {jax.tree_util.keystr(path, simple=True): leaf for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (read, state.variables._asdict()))
    )
    assert named.keys() == expected.keys()
    for name, leaf in named.items():
        np.testing.assert_array_equal(leaf, expected[name])
