import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.data.sprites import (
    FACTOR_SIZES,
    GRID_SIZE,
    SHAPE_NAMES,
    factors_of,
    load_sprites,
    render,
)

CENTERED = {"scale": 5, "orientation": 0, "x_position": 16, "y_position": 16}


# Every number of images is compiled anew.
COUNT = 200


def sample():
    return np.asarray(factors_of(np.random.default_rng(0).integers(0, GRID_SIZE, COUNT)))


def picture(*, image_size=64, **classes):
    factors = np.array([[classes[name] for name in FACTOR_SIZES]])
    return np.asarray(render(factors, image_size=image_size))[0, :, :, 0] > 0


def published():
    """The published images of a part of the grid, and their places in the whole grid."""
    folder = Path(os.environ.get("TFDS_DATA_DIR", "")).parent / "dsprites"
    path = folder / "dsprites_downsampled.npz"
    if "TFDS_DATA_DIR" not in os.environ or not path.exists():
        pytest.skip("no published dSprites images: they lie beside the folder TFDS_DATA_DIR names")
    with np.load(path) as file:
        return file["imgs"] > 0, file["original_dataset_indices"], file["latents_classes"]


def test_the_factor_sizes_multiply_to_the_published_number_of_images():
    assert int(np.prod(list(FACTOR_SIZES.values()))) == GRID_SIZE == 737_280


def test_images_are_black_and_white():
    images = render(sample())
    assert images.dtype == jnp.uint8
    assert images.shape == (COUNT, 64, 64, 1)
    np.testing.assert_array_equal(np.unique(images), [0, 255])


def test_the_first_grid_index_is_the_first_class_of_every_factor_and_the_last_the_last():
    last = [size - 1 for size in FACTOR_SIZES.values()]
    np.testing.assert_array_equal(factors_of(np.array([0, GRID_SIZE - 1])), [[0] * 5, last])


def test_the_grid_varies_y_position_fastest_and_shape_slowest():
    places = np.arange(0, GRID_SIZE, 997)
    expected = np.stack(np.unravel_index(places, tuple(FACTOR_SIZES.values())), axis=-1)
    np.testing.assert_array_equal(factors_of(places), expected)


def test_rendering_in_a_batch_equals_rendering_one_by_one():
    factors = sample()
    one_by_one = np.concatenate([render(row[None]) for row in factors[::20]])
    np.testing.assert_array_equal(np.asarray(render(factors))[::20], one_by_one)


def test_rendering_under_jit_and_vmap_equals_rendering_directly():
    factors = sample()
    lifted = jax.jit(jax.vmap(lambda row: render(row[None])[0]))
    np.testing.assert_array_equal(lifted(factors), render(factors))


def test_grid_indices_become_images_inside_jit():
    places = jnp.arange(0, GRID_SIZE, 50_000)
    lifted = jax.jit(lambda index: render(factors_of(index), image_size=16))
    np.testing.assert_array_equal(lifted(places), render(factors_of(places), image_size=16))


def test_rendering_does_not_depend_on_the_integer_type():
    factors = sample()
    expected = render(factors)
    for dtype in (np.uint8, np.int32, np.int64):
        np.testing.assert_array_equal(render(factors.astype(dtype)), expected)


def test_no_factors_give_no_images():
    assert render(np.zeros((0, 5), dtype=np.int32)).shape == (0, 64, 64, 1)


@pytest.mark.parametrize("scale", range(6))
def test_a_square_has_a_side_of_three_tenths_of_the_image_at_scale_one(scale):
    side = 0.3 * (0.5 + 0.1 * scale)
    image = picture(shape=0, image_size=512, **CENTERED | {"scale": scale, "orientation": 7})
    assert image.mean() == pytest.approx(side**2, rel=0.01)


def test_an_upright_square_is_a_full_rectangle():
    rows, columns = np.nonzero(picture(shape=0, **CENTERED))
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert np.ptp(rows) == np.ptp(columns)


def test_an_upright_ellipse_is_wider_than_high():
    rows, columns = np.nonzero(picture(shape=1, image_size=512, **CENTERED))
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(1.33**2, rel=0.02)


def test_an_upright_heart_is_symmetric_and_points_down():
    image = picture(shape=2, image_size=512, **CENTERED)
    rows, columns = np.nonzero(image)
    cut = image[:, columns.min() : columns.max() + 1]
    assert (cut != cut[:, ::-1]).sum() < 0.01 * cut.sum()
    top, bottom = cut[rows.min() + 30], cut[rows.max() - 30]
    assert top.sum() > 3 * bottom.sum()


def test_a_shape_turns_counterclockwise():
    # A seventh of a turn takes the right end of the ellipse up, toward the first row.
    rows, columns = np.nonzero(picture(shape=1, **CENTERED | {"orientation": 5}))
    assert np.corrcoef(rows, columns)[0, 1] < -0.3


@pytest.mark.parametrize("shape", range(3), ids=SHAPE_NAMES)
def test_a_full_turn_gives_the_same_image(shape):
    start = picture(shape=shape, **CENTERED)
    np.testing.assert_array_equal(picture(shape=shape, **CENTERED | {"orientation": 39}), start)


@pytest.mark.parametrize("shape", range(3), ids=SHAPE_NAMES)
def test_a_position_step_moves_the_shape_by_one_sixty_second_of_the_image(shape):
    # With 62 * 4 pixels a step is exactly 4 pixels.
    start = picture(shape=shape, image_size=248, **CENTERED | {"orientation": 5})
    for axis, name in ((0, "y_position"), (1, "x_position")):
        moved = picture(shape=shape, image_size=248, **CENTERED | {"orientation": 5, name: 21})
        # Rounding may flip a pixel whose center lies on the outline.
        assert (moved != np.roll(start, 20, axis=axis)).sum() <= 4


def test_the_centers_span_the_middle_half_of_the_image():
    for place, center in ((0, 0.25), (31, 0.75)):
        rows, columns = np.nonzero(
            picture(shape=0, **CENTERED | {"x_position": place, "y_position": place})
        )
        assert (rows.mean() + 0.5) / 64 == pytest.approx(center, abs=0.001)
        assert (columns.mean() + 0.5) / 64 == pytest.approx(center, abs=0.001)


def test_no_sprite_touches_the_border():
    ends = {"scale": [5], "x_position": [0, 31], "y_position": [0, 31]}
    classes = [ends.get(name, range(size)) for name, size in FACTOR_SIZES.items()]
    factors = np.stack(np.meshgrid(*classes, indexing="ij"), axis=-1).reshape(-1, 5)
    border = np.ones((64, 64), dtype=bool)
    border[1:-1, 1:-1] = False
    assert not np.asarray(render(factors))[:, border].any()


@pytest.mark.parametrize("image_size", [16, 32, 128])
def test_another_resolution_shows_the_same_scene(image_size):
    factors = sample()
    areas = (np.asarray(render(factors, image_size=image_size)) > 0).mean(axis=(1, 2, 3))
    expected = (np.asarray(render(factors)) > 0).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(areas, expected, atol=0.02)


@pytest.mark.parametrize("shape", range(3), ids=SHAPE_NAMES)
@pytest.mark.slow
def test_the_images_are_the_published_ones(shape):
    images, places, _ = published()
    factors = np.asarray(factors_of(places))
    chosen = factors[:, 0] == shape
    ours, theirs = np.asarray(render(factors[chosen]))[..., 0] > 0, images[chosen]
    overlap = (ours & theirs).sum(axis=(1, 2)) / (ours | theirs).sum(axis=(1, 2))
    assert overlap.mean() > 0.999
    assert overlap.min() > 0.9


@pytest.mark.slow
def test_the_grid_order_is_the_published_one():
    _, places, classes = published()
    # The published part holds every 4th orientation and every 2nd position.
    np.testing.assert_array_equal(factors_of(places), classes * [1, 1, 4, 2, 2])


def test_a_loaded_set_is_its_factors_rendered():
    loaded = load_sprites(train_size=70, test_size=30, image_size=32)
    for split, size in ((loaded.train, 70), (loaded.test, 30)):
        factors = np.stack([split.factors[name] for name in FACTOR_SIZES], axis=-1)
        assert split.images.shape == (size, 32, 32, 1)
        np.testing.assert_array_equal(split.images, render(factors, image_size=32))


def test_a_loaded_set_is_labelled_by_shape():
    loaded = load_sprites(train_size=10, test_size=50, image_size=8)
    assert loaded.label_names == SHAPE_NAMES
    assert loaded.train.labels is not None
    assert loaded.train.labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.train.labels, loaded.train.factors["shape"])


def places_of(split):
    classes = tuple(split.factors[name] for name in FACTOR_SIZES)
    return np.ravel_multi_index(classes, tuple(FACTOR_SIZES.values()))


def test_train_and_test_partition_the_grid_when_they_fill_it():
    loaded = load_sprites(train_size=GRID_SIZE - 80_000, test_size=80_000, image_size=1)
    places = np.concatenate([places_of(loaded.train), places_of(loaded.test)])
    np.testing.assert_array_equal(np.sort(places), np.arange(GRID_SIZE))


def test_the_test_set_does_not_change_with_the_train_size():
    small = load_sprites(train_size=10, test_size=50, image_size=8)
    large = load_sprites(train_size=500, test_size=50, image_size=8)
    np.testing.assert_array_equal(places_of(small.test), places_of(large.test))


def test_a_smaller_split_is_the_beginning_of_a_larger_one():
    small = load_sprites(train_size=10, test_size=20, image_size=8)
    large = load_sprites(train_size=500, test_size=50, image_size=8)
    np.testing.assert_array_equal(places_of(small.train), places_of(large.train)[:10])
    np.testing.assert_array_equal(places_of(small.test), places_of(large.test)[:20])


def test_the_splits_are_the_same_on_every_machine():
    loaded = load_sprites(train_size=10, test_size=50, image_size=8)
    np.testing.assert_array_equal(places_of(loaded.test)[:3], [639145, 428868, 172807])
    np.testing.assert_array_equal(places_of(loaded.train)[:3], [622880, 165900, 647854])


def test_a_split_holds_every_class_about_equally_often():
    split = load_sprites(train_size=20_000, test_size=0, image_size=1).train
    for name, size in FACTOR_SIZES.items():
        counts = np.bincount(split.factors[name], minlength=size)
        np.testing.assert_allclose(counts, 20_000 / size, rtol=0.2)


def test_more_images_than_the_grid_holds_are_refused():
    with pytest.raises(ValueError, match="at most 737280, got 737281"):
        load_sprites(train_size=GRID_SIZE, test_size=1)


def test_a_negative_split_size_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        load_sprites(train_size=-1)


@pytest.mark.parametrize("name", FACTOR_SIZES)
@pytest.mark.parametrize("beyond", [-1, 0])
def test_a_class_outside_its_factor_is_refused_by_name(name, beyond):
    wrong = beyond if beyond < 0 else FACTOR_SIZES[name]
    factors = np.array([[wrong if other == name else 0 for other in FACTOR_SIZES]])
    with pytest.raises(ValueError, match=f"expected {name} from 0"):
        render(factors)


def test_factors_that_are_not_five_columns_are_refused():
    with pytest.raises(ValueError, match=r"shape \[n, 5\], got \[5\]"):
        render(np.zeros(5, dtype=np.int32))


def test_factors_that_are_not_integers_are_refused():
    with pytest.raises(ValueError, match="expected integer factors, got float32"):
        render(np.zeros((1, 5), dtype=np.float32))


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="positive image_size"):
        render(np.zeros((1, 5), dtype=np.int32), image_size=0)


@pytest.mark.parametrize("index", [-1, GRID_SIZE, 2**32])
def test_an_index_outside_the_grid_is_refused(index):
    with pytest.raises(ValueError, match="expected index from 0 to 737279"):
        factors_of(np.array([index]))
