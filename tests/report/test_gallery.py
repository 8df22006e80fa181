"""The gallery of a model from arrays made by hand."""

import matplotlib.image
import numpy as np
import pytest

from jaxvae.analysis.regeneration import Regenerations
from jaxvae.analysis.traversal import Traversals
from jaxvae.report.gallery import draw_gallery
from tests.tiers import parametrize

RANDOM = np.random.default_rng(0)


def pictures(*shape):
    return RANDOM.integers(0, 256, shape, np.uint8)


def make_traversals(latents=3, steps=5, shape=(8, 8, 1), *, available=None):
    return Traversals(
        images=pictures(latents, steps, *shape) / np.float32(255),
        latents=np.arange(latents)[::-1],
        kl=np.geomspace(20, 0.01, latents),
        means=np.linspace(-1, 5, latents),
        values=np.linspace(-2, 2, steps, dtype=np.float32),
        available=available or latents,
    )


def draw(folder, *, shape=(8, 8, 1), examples=5, drawn=10, **given):
    arrays = {
        "images": pictures(examples, *shape),
        "reconstructions": pictures(examples, *shape) / np.float32(255),
        "samples": pictures(drawn, *shape) / np.float32(255),
        "latents": make_traversals(shape=shape),
    } | given
    return arrays, draw_gallery(folder, **arrays)


def pixels_of(path):
    return np.rint(255 * matplotlib.image.imread(path)[..., :3]).astype(np.uint8)


def place(picture, pixels):
    """Top and left corner of an image in a figure, where every pixel is a square of pixels."""
    scale = max(1, round(96 / max(picture.shape[:2])))
    wanted = np.broadcast_to(picture, (*picture.shape[:2], 3))
    wanted = wanted.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = wanted.shape[:2]
    corners = np.indices(np.subtract(pixels.shape[:2], (height - 1, width - 1))).reshape(2, -1)
    # A few pixels of the image leave few places where it may be.
    for row, column in np.random.default_rng(0).integers(0, (height, width), (20, 2)):
        seen = pixels[corners[0] + row, corners[1] + column]
        corners = corners[:, (seen == wanted[row, column]).all(axis=1)]
    for top, left in corners.T:
        if np.array_equal(pixels[top : top + height, left : left + width], wanted):
            return int(top), int(left)
    raise AssertionError("the image is not there, pixel for pixel")


@parametrize("shape", [(20, 40, 1), (32, 32, 3), (28, 28, 1), (64, 64, 3)], quick=2)
def test_every_pixel_of_an_image_is_a_square_of_pixels_of_the_figure(tmp_path, shape):
    arrays, paths = draw(tmp_path, shape=shape, examples=2, drawn=2)
    shown = [*arrays["images"], *np.rint(255 * arrays["reconstructions"]).astype(np.uint8)]
    for picture in shown:
        place(picture, pixels_of(paths[0]))
    place(np.rint(255 * arrays["samples"][1]).astype(np.uint8), pixels_of(paths[1]))


@pytest.mark.slow
def test_a_reconstruction_is_below_its_image(tmp_path):
    arrays, paths = draw(tmp_path / "new", examples=14)
    pixels = pixels_of(paths[0])
    tops, lefts = zip(*(place(image, pixels) for image in arrays["images"]), strict=True)
    below = np.rint(255 * arrays["reconstructions"]).astype(np.uint8)
    assert len(set(tops)) == 2  # twelve fit beside each other
    assert len(set(lefts)) == 7
    for image, top, left in zip(below, tops, lefts, strict=True):
        found = place(image, pixels)
        assert found[1] == left
        assert 96 < found[0] - top < 110


def test_traversals_have_a_row_for_every_latent_and_a_column_for_every_value(tmp_path):
    arrays, paths = draw(tmp_path)
    assert [path.name for path in paths] == ["reconstructions.png", "samples.png", "traversals.png"]
    pixels = pixels_of(paths[2])
    images = np.rint(255 * arrays["latents"].images).astype(np.uint8)
    corners = np.array([[place(image, pixels) for image in row] for row in images])
    assert np.ptp(corners[..., 0], axis=1).tolist() == [0] * 3
    assert np.ptp(corners[..., 1], axis=0).tolist() == [0] * 5
    assert (np.diff(corners[:, 0, 0]) > 96).all()
    assert (np.diff(corners[0, :, 1]) > 96).all()


@pytest.mark.slow
def test_the_value_nearest_to_the_mean_is_framed(tmp_path):
    arrays, paths = draw(tmp_path)
    pixels = pixels_of(paths[2])
    orange = (abs(pixels.astype(int) - [255, 127, 14]) < 3).all(axis=-1)
    images = np.rint(255 * arrays["latents"].images).astype(np.uint8)
    framed = []
    for row in images:
        beside = [orange[place(image, pixels)[0] + 40] for image in row]
        lefts = [place(image, pixels)[1] for image in row]
        framed.append([line[left - 6 : left].any() and line[left + 96 : left + 102].any()
                       for line, left in zip(beside, lefts, strict=True)])  # fmt: skip
    assert np.argmax(framed, axis=1).tolist() == [1, 4, 4]  # means -1, 2 and 5
    assert np.sum(framed) == 3


@parametrize(
    ("latents", "steps", "examples", "drawn"), [(12, 9, 24, 64), (1, 2, 1, 1), (64, 11, 100, 300)]
)
def test_figures_of_any_number_of_latents_are_drawn_and_not_too_large(
    tmp_path, latents, steps, examples, drawn
):
    traversals = make_traversals(latents, steps)
    _, paths = draw(tmp_path, examples=examples, drawn=drawn, latents=traversals, title="A")
    for path in paths:
        pixels = pixels_of(path)
        assert max(pixels.shape) < 2200, path.name
        assert 0.005 < np.mean(np.any(pixels < 230, axis=-1)) < 0.98, path.name


LONG = "dsprites, compact network, K = 64"


@parametrize(
    ("title", "steps"),
    [(LONG, 2), ("", 9), ("", 2), (LONG, 9)],
    quick=2,
)
def test_no_text_is_cut_off(tmp_path, steps, title):
    traversals = make_traversals(12, steps, available=64)._replace(latents=np.arange(100, 112))
    _, paths = draw(tmp_path, examples=1, drawn=1, latents=traversals, title=title)
    for path in paths:
        pixels = pixels_of(path)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 255).all(), path.name


def test_what_is_outside_of_the_range_is_clipped(tmp_path):
    samples = np.stack([np.full((8, 8, 1), 7.0), np.full((8, 8, 1), -7.0)])
    _, paths = draw(tmp_path, samples=samples)
    place(np.zeros((8, 8, 1), np.uint8), pixels_of(paths[1]))
    place(np.full((8, 8, 1), 255, np.uint8), pixels_of(paths[1]))


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("reconstructions", pictures(4, 8, 8, 1), "expected a reconstruction of every image, got"),
        ("samples", pictures(4, 8, 8), r"expected images \[n, h, w, 1 or 3\], got shape \(4, 8, 8"),
        ("samples", pictures(4, 8, 8, 2), r"expected images \[n, h, w, 1 or 3\]"),
        ("samples", pictures(0, 8, 8, 1), r"expected images \[n, h, w, 1 or 3\]"),
        ("samples", np.zeros((4, 8, 8, 1), np.int64), "expected uint8 or real images, got int64"),
        ("samples", np.full((4, 8, 8, 1), np.nan), "expected finite images, got NaN or infinity"),
    ],
)
def test_what_is_no_image_is_refused_and_nothing_is_drawn(tmp_path, name, array, message):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "new", **{name: array})
    assert list(tmp_path.iterdir()) == []


def test_of_a_hierarchy_there_is_a_row_for_every_number_of_kept_layers(tmp_path):
    made = Regenerations(pictures(3, 4, 8, 8, 1) / np.float32(255), (0, 1, 2), 2)
    arrays, paths = draw(tmp_path, latents=made)
    assert [path.name for path in paths] == ["reconstructions.png", "samples.png", "layers.png"]
    pixels = pixels_of(paths[2])
    rows = [arrays["images"][:4], *np.rint(255 * made.images).astype(np.uint8)]
    corners = np.array([[place(image, pixels) for image in row] for row in rows])
    tops, lefts = corners[..., 0], corners[..., 1]
    assert np.all(np.ptp(tops, axis=1) == 0)
    assert np.all(np.ptp(lefts, axis=0) == 0)
    assert np.all(np.diff(tops[:, 0]) > 0)
    assert np.all(np.diff(lefts[0]) > 0)
