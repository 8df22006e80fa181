from functools import partial

import jax
import numpy as np
import pytest

from jaxvae.geometry.selection import (
    GROUP,
    LANE,
    filled_length,
    lane_columns,
    lane_counts,
    least_of_groups,
    smallest,
    smallest_on_host,
)

lane_counts = jax.jit(lane_counts)


@partial(jax.jit, static_argnums=1)
def in_program(values, k):
    return smallest(values, least_of_groups(values), k)


def on_host(values, k):
    found, columns = smallest_on_host(values, np.asarray(least_of_groups(values)), k)
    assert (np.diff(columns, axis=1) > 0).all()
    order = np.argsort(found, axis=1, kind="stable")
    return [np.take_along_axis(each, order, axis=1) for each in (found, columns)]


WAYS = pytest.mark.parametrize("smallest", [in_program, on_host])


def rows(kind, n):
    generator = np.random.default_rng(0)
    if kind.endswith("ties"):
        levels = 5 if kind == "many ties" else n
        return generator.integers(0, levels, (40, n)).astype(np.float32)
    values = generator.standard_normal((40, n)).astype(np.float32)
    if kind == "infinite":
        values[generator.random((40, n)) < 0.9] = np.inf
    return values


@WAYS
@pytest.mark.parametrize("kind", ["distinct", "some ties", "many ties", "infinite"])
@pytest.mark.parametrize(
    ("n", "k"),
    [(16, 1), (16, 16), (160, 2), (160, 3), (320, 5), (336, 5), (4 * GROUP * 8, 8), (640, 640)],
)
def test_the_smallest_are_found_in_order_with_ties_by_lowest_column(smallest, kind, n, k):
    values = rows(kind, n)
    expected = np.argsort(values, axis=1, kind="stable")[:, :k]
    found, columns = smallest(values, k)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(found, np.take_along_axis(values, expected, axis=1))


@WAYS
def test_a_constant_row_gives_its_first_columns(smallest):
    _, columns = smallest(np.zeros((2, 64 * GROUP), np.float32), 7)
    np.testing.assert_array_equal(columns, [np.arange(7)] * 2)


@WAYS
def test_all_the_smallest_may_lie_in_one_group(smallest):
    values = np.arange(64 * GROUP, dtype=np.float32)[None, ::-1]
    _, columns = smallest(values, 9)
    np.testing.assert_array_equal(columns[0], 64 * GROUP - 1 - np.arange(9))


def test_lanes_count_the_entries_that_are_set():
    mask = np.random.default_rng(0).random((5, 7 * LANE)) < 0.7
    expected = mask.reshape(5, LANE, 7).sum(axis=1)
    np.testing.assert_array_equal(lane_counts(mask), expected)


@pytest.mark.parametrize("lane", [0, 3, 6])
def test_the_columns_of_a_lane_are_those_that_it_counts(lane):
    mask = np.zeros((1, 7 * LANE), bool)
    mask[0, np.asarray(lane_columns(np.array([lane], np.int32), 7))[0]] = True
    counted = np.asarray(lane_counts(mask))
    np.testing.assert_array_equal(counted[0], LANE * (np.arange(7) == lane))


@pytest.mark.parametrize("n", [1, 64, 65, 1000, 1025, 2048, 2049, 5000, 10_000, 100_000])
def test_a_filled_length_holds_all_points_and_little_more(n):
    length = filled_length(n)
    assert length >= n
    assert length % LANE == 0
    assert length - n <= max(LANE, n if n <= 2048 else n / 16)


def test_few_lengths_serve_all_clouds_of_up_to_ten_thousand_points():
    assert len({filled_length(n) for n in range(1, 2049)}) == 6
    assert len({filled_length(n) for n in range(2049, 10_001)}) < 70
