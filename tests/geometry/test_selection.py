import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.geometry.selection import GROUP, LANE, lane_counts, smallest, visit


def rows(kind, n):
    generator = np.random.default_rng(0)
    if kind.endswith("ties"):
        levels = 5 if kind == "many ties" else n
        return generator.integers(0, levels, (40, n)).astype(np.float32)
    values = generator.standard_normal((40, n)).astype(np.float32)
    if kind == "infinite":
        values[generator.random((40, n)) < 0.9] = np.inf
    return values


@pytest.mark.parametrize("kind", ["distinct", "some ties", "many ties", "infinite"])
@pytest.mark.parametrize(
    ("n", "k"),
    [(5, 1), (5, 5), (160, 2), (160, 3), (320, 5), (321, 5), (4 * GROUP * 8, 8), (640, 640)],
)
def test_the_smallest_are_found_in_order_with_ties_by_lowest_column(kind, n, k):
    values = rows(kind, n)
    expected = np.argsort(values, axis=1, kind="stable")[:, :k]
    found, columns = smallest(jnp.asarray(values), k)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(found, np.take_along_axis(values, expected, axis=1))


def test_a_constant_row_gives_its_first_columns():
    _, columns = smallest(jnp.zeros((2, 64 * GROUP)), 7)
    np.testing.assert_array_equal(columns, [np.arange(7)] * 2)


def test_all_the_smallest_may_lie_in_one_group():
    values = jnp.arange(64.0 * GROUP)[None, ::-1]
    _, columns = smallest(values, 9)
    np.testing.assert_array_equal(columns[0], 64 * GROUP - 1 - np.arange(9))


def masks():
    generator = np.random.default_rng(0)
    for share in (0.0, 0.001, 0.1, 1.0):
        yield generator.random((30, 6 * LANE)) < share
    yield generator.random((2, 40 * LANE)) < 0.5


@pytest.mark.parametrize("mask", list(masks()), ids=lambda mask: f"{mask.mean():.3f}")
def test_a_visit_reaches_every_set_entry_once(mask):
    def count(state, rows, columns, found):
        return state.at[rows, columns].add(found.astype(int))

    @jax.jit
    def visits(mask):
        at = lambda rows, columns: mask[rows[:, None], columns]  # noqa: E731
        return visit(lane_counts(mask), at, count, jnp.zeros(mask.shape, int))

    np.testing.assert_array_equal(visits(jnp.asarray(mask)), mask)


def test_lanes_count_the_entries_that_are_set():
    mask = np.random.default_rng(0).random((5, 7 * LANE)) < 0.7
    expected = mask.reshape(5, LANE, 7).sum(axis=1)
    np.testing.assert_array_equal(lane_counts(jnp.asarray(mask)), expected)
