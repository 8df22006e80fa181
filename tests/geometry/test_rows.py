import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry.rows import over_rows, redo_rows


def twice(values, rows, *, factor=2):
    return {"rows": rows, "values": factor * values[rows]}


@pytest.mark.parametrize("block", [None, 1, 7, 100, 1000])
def test_blocks_cover_every_row_once(block):
    result = over_rows(twice, jnp.arange(100.0), 100, columns=100, block=block)
    np.testing.assert_array_equal(result["rows"], np.arange(100))
    np.testing.assert_array_equal(result["values"], 2 * np.arange(100))


def test_a_traced_loop_and_a_batch_of_them_give_the_same():
    values = jnp.arange(300.0).reshape(3, 100)

    def triple(values):
        return over_rows(twice, values, 100, columns=100, block=7, factor=3)["values"]

    np.testing.assert_array_equal(jax.jit(triple)(values[0]), 3 * values[0])
    np.testing.assert_array_equal(jax.vmap(triple)(values), 3 * values)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(triple))(values[None]), 3 * values[None])


def test_progress_counts_the_rows_to_the_end():
    seen = []
    over_rows(
        twice, jnp.arange(100.0), 100, columns=2**25, block=4, progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (100, 100)
    assert seen == sorted(seen)
    assert len(seen) >= 10


def test_an_interruption_of_the_progress_ends_the_loop():
    seen = []

    def interrupt(done, total):
        seen.append(done)
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        over_rows(twice, jnp.arange(100.0), 100, columns=2**25, block=1, progress=interrupt)
    assert len(seen) < 5


@pytest.mark.parametrize("block", [0, -3, 2.0, "all"])
def test_a_block_without_rows_is_refused(block):
    with pytest.raises(ValueError, match="expected block >= 1"):
        over_rows(twice, jnp.arange(10.0), 10, columns=10, block=block)


def test_redone_rows_are_those_in_doubt_also_under_vmap():
    doubtful = jnp.asarray(np.random.default_rng(0).random((4, 50)) < [[0.0], [0.1], [0.5], [1.0]])
    old = -jnp.ones((4, 50))

    def redo(doubtful, old):
        return redo_rows(doubtful, lambda row: row.astype(float), old)

    expected = np.where(doubtful, np.arange(50.0), -1)
    np.testing.assert_array_equal(jax.vmap(redo)(doubtful, old), expected)
