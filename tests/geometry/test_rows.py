import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.rows import as_space, block_length, blocks, joined, traced_rows
from jaxvae.platforms import ACCELERATOR, CPU, compiled_for


@pytest.mark.parametrize("block", [None, 1, 7, 100, 1000])
@pytest.mark.parametrize("columns", [100, 128])
def test_blocks_of_one_length_cover_every_row(block, columns):
    parts = list(blocks(100, columns=columns, choices=CPU, block=block))
    assert len({len(part) for part in parts}) == 1
    np.testing.assert_array_equal(joined(parts, 100), np.arange(100))


@pytest.mark.parametrize("choices", [CPU, ACCELERATOR])
def test_the_length_of_a_block_follows_from_the_columns_and_the_platform(choices):
    lengths = {len(next(blocks(n, columns=9000, choices=choices))) for n in (7000, 9000)}
    assert lengths == {block_length(9000, choices, shared=False)}


def test_blocks_of_many_spaces_together_are_no_larger_than_those_of_some():
    points = as_cloud(np.arange(4096.0)[:, None]).points
    space = as_space(points, None)
    on_host = len(next(space.blocks(4096)))
    with compiled_for("cuda"):
        there = as_space(points, None)
    alone, beside_others = (len(next(there.blocks(4096, spaces=s))) for s in (1, 200))
    assert alone == 4096
    assert 2**30 < beside_others * 4096 * 200 <= 2**31
    # On the host blocks are so short that even many take little.
    assert len(next(space.blocks(4096, spaces=200))) == on_host


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_a_traced_loop_has_the_blocks_of_the_platform_that_it_is_compiled_for(platform):
    def picked(values):
        return traced_rows(lambda v, rows: v[rows], values, 9000, columns=9000)

    batch = jax.jit(jax.vmap(picked)).trace(np.zeros((2, 9000), np.float32))
    text = batch.lower(lowering_platforms=(platform,)).as_text()
    lengths = [block_length(9000, choices) for choices in (CPU, ACCELERATOR)]
    assert [f"x{length}xi32>" in text for length in lengths] == [
        platform == "cpu",
        platform != "cpu",
    ]


def test_a_traced_loop_and_a_batch_of_them_give_the_same():
    values = jnp.arange(300.0).reshape(3, 100)

    def triple(values):
        return traced_rows(lambda v, rows: 3 * v[rows], values, 100, columns=100, block=7)

    np.testing.assert_array_equal(jax.jit(triple)(values[0]), 3 * values[0])
    np.testing.assert_array_equal(jax.vmap(triple)(values), 3 * values)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(triple))(values[None]), 3 * values[None])


def test_progress_counts_the_rows_to_the_end():
    seen = []
    list(blocks(100, columns=2**25, choices=CPU, block=4, progress=lambda *at: seen.append(at)))
    assert seen[-1] == (100, 100)
    assert seen == sorted(seen)
    assert len(seen) >= 10


@pytest.mark.parametrize("block", [0, -3, 2.0, "all"])
def test_a_block_without_rows_is_refused(block):
    with pytest.raises(ValueError, match="expected block >= 1"):
        list(blocks(10, columns=10, choices=CPU, block=block))
