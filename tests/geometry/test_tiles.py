import jax
import numpy as np
import pytest

from jaxvae.geometry import conditional_ranks, nearest_neighbors
from jaxvae.geometry.clouds import as_cloud
from jaxvae.geometry.tiles import Tiles, is_too_large
from jaxvae.metrics import gride, information_imbalance, label_overlap, neighborhood_overlap, two_nn
from tests.tiers import parametrize

N = 3072  # three blocks of rows, two tiles


def cloud():
    """Points with repetitions, one of them fifty times, and a tight cluster, over several tiles."""
    generator = np.random.default_rng(0)
    points = generator.standard_normal((N, 6)).astype(np.float32)
    points[2500:2600] = points[100:200]
    points[2700:2750] = points[600]
    points[:400] = 10 + 1e-3 * points[:400]
    return points


def other():
    return (cloud()[:, :3] ** 2).astype(np.float64)


@pytest.fixture
def small_device(monkeypatch):
    def shrink():
        monkeypatch.setenv("JAXVAE_DEVICE_BYTES", "1")
        assert isinstance(as_cloud(cloud()), Tiles)

    return shrink


def test_repeated_rows_of_longdouble_are_counted_once(monkeypatch):
    drawn = np.random.default_rng(0)
    few = drawn.standard_normal((20, 3)).astype(np.longdouble)[drawn.integers(0, 20, 40)]
    expected = two_nn(few)
    monkeypatch.setenv("JAXVAE_DEVICE_BYTES", "1")
    assert two_nn(few).points == expected.points == len(np.unique(few, axis=0))


MEASURES = {
    "ranks": lambda x, y: conditional_ranks(x, (np.arange(N)[:, None] + [1, 1500]) % N),
    "dimension": lambda x, y: two_nn(x),
    "neighbors": lambda x, y: nearest_neighbors(x, k=3),
    "imbalance": lambda x, y: information_imbalance(x, y, k=2),
    "neighborhood overlap": lambda x, y: neighborhood_overlap(x, y, k=5),
    "label overlap": lambda x, y: label_overlap(x, np.arange(N) % 3, k=5),
}


@parametrize("name", MEASURES, quick=2)
def test_a_cloud_in_tiles_has_the_numbers_of_the_whole(name, small_device):
    whole = MEASURES[name](cloud(), other())
    small_device()
    tiled = MEASURES[name](cloud(), other())
    jax.tree.map(lambda *both: np.testing.assert_allclose(*both, rtol=1e-6), tiled, whole)


@pytest.mark.parametrize("kind", ["npy", "zarr"])
def test_a_file_is_read_a_tile_at_a_time(kind, small_device, tmp_path):
    expected = nearest_neighbors(cloud(), k=2).indices
    small_device()
    if kind == "npy":
        np.save(tmp_path / "cloud.npy", cloud().reshape(N, 2, 3))
        stored = np.load(tmp_path / "cloud.npy", mmap_mode="r")
    else:
        zarr = pytest.importorskip("zarr")
        stored = zarr.create_array(tmp_path / "cloud.zarr", data=cloud())
    np.testing.assert_array_equal(nearest_neighbors(stored, k=2).indices, expected)


def test_distances_whose_squares_float64_does_not_hold_are_kept_in_tiles(small_device):
    small_device()
    found = two_nn(np.ldexp(other(), 600))
    np.testing.assert_array_equal(found.value, two_nn(other()).value)


def test_more_neighbors_than_the_last_tile_has_points_are_found(small_device):
    points = cloud()[:2100, :2]
    whole = nearest_neighbors(points, k=1200)
    small_device()
    tiled = nearest_neighbors(points, k=1200)
    jax.tree.map(lambda *both: np.testing.assert_allclose(*both, rtol=1e-6), tiled, whole)


def test_scales_beyond_the_last_tile_and_the_distinct_points_are_those_of_the_whole(small_device):
    points = cloud()[:, :2]
    points[100:] = points[np.arange(100, N) % 100]
    whole = gride(points, max_rank=2048)
    small_device()
    tiled = gride(points, max_rank=2048)
    jax.tree.map(lambda *both: np.testing.assert_allclose(*both, rtol=1e-5), tiled, whole)


@pytest.mark.parametrize("block", [0, -5, 2.0])
def test_a_block_without_rows_is_refused_for_tiles_too(block, small_device):
    small_device()
    with pytest.raises(ValueError, match="expected block >= 1"):
        nearest_neighbors(cloud(), k=1, block=block)
    with pytest.raises(ValueError, match="expected block >= 1"):
        conditional_ranks(cloud(), (np.arange(N)[:, None] + 1) % N, block=block)


def test_what_fits_is_not_tiled():
    assert not is_too_large(cloud())


def test_memory_that_is_no_number_is_refused_by_its_name(monkeypatch):
    monkeypatch.setenv("JAXVAE_DEVICE_BYTES", "8e9")
    with pytest.raises(ValueError, match="whole number of bytes as JAXVAE_DEVICE_BYTES, got 8e9"):
        two_nn(cloud())


def test_progress_of_tiles_reaches_the_end(small_device):
    small_device()
    seen = []
    nearest_neighbors(cloud(), k=1, progress=lambda *at: seen.append(at))
    assert seen[-1] == (N, N)
    assert seen == sorted(seen)


def test_nan_in_a_tile_is_refused_by_its_row(small_device):
    small_device()
    points = cloud()
    points[2900, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in row 2900"):
        two_nn(points)


@pytest.mark.parametrize(
    "measure",
    [
        lambda x: information_imbalance(x[:, None], other()),
        lambda x: neighborhood_overlap(x[:, None], other(), k=2),
        lambda x: label_overlap(other(), x > 0, k=2),
        lambda x: conditional_ranks(other(), (x[:, None] > 0).astype(np.int32)),
    ],
    ids=["imbalance", "neighborhood overlap", "label overlap", "ranks"],
)
def test_a_cloud_in_tiles_is_refused_beside_traced_values(measure, small_device):
    small_device()
    with pytest.raises(ValueError, match="that fit on the device beside an argument of a traced"):
        jax.eval_shape(measure, jax.ShapeDtypeStruct((N,), np.float32))
