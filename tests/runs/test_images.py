"""The images of a run: black and white where asked for, and known again by what they are."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from jaxvae.data import load
from jaxvae.data.dataset import Split
from jaxvae.runs.config import IMAGES
from jaxvae.runs.images import _binarized, have_changed, known_images


def test_images_are_made_black_and_white_in_twice_their_memory():
    images = np.random.default_rng(0).integers(0, 256, (100, 100, 100, 1), dtype=np.uint8)
    tracemalloc.start()
    found = _binarized(Split(images, None, {})).images
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found == 255, images > 127.5)
    assert np.unique(found).tolist() == [0, 255]
    # Which pixels are white, and the images themselves.
    assert most < 2.5 * images.nbytes


# --- whether images are still the same ------------------------------------------------


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of pictures, which have another fingerprint at every size."""
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "pictures").mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def at_sizes(pictures, *sizes):
    return [load(str(pictures), image_size=size) for size in sizes]


def test_sizes_of_the_same_images_are_known_apart_and_more_may_be_added(pictures):
    data = at_sizes(pictures, 4, 8)
    known = known_images(pictures / "config.json", {}, data)
    assert [*known] == [f"{pictures} (image_size=4)", f"{pictures} (image_size=8)"]
    assert known_images(pictures / "config.json", {IMAGES: known}, data) == known
    assert not any(have_changed({IMAGES: known}, each) for each in data)
    more = known_images(pictures / "config.json", {IMAGES: known}, at_sizes(pictures, 4, 12))
    assert [*more] == [*known, f"{pictures} (image_size=12)"]


@pytest.mark.parametrize("earlier", [False, True], ids=["now", "earlier version"])
def test_images_that_changed_are_noticed(pictures, earlier):
    (data,) = at_sizes(pictures, 8)
    (known,) = known_images(pictures / "config.json", {}, [data]).values()
    stored = {IMAGES: {str(pictures) if earlier else f"{pictures} (image_size=8)": known}}
    assert not have_changed(stored, data)
    known_images(pictures / "config.json", stored, [data])
    (pictures / "0.png").unlink()
    (data,) = at_sizes(pictures, 8)
    assert have_changed(stored, data)
    with pytest.raises(ValueError, match=r"changed since \(18 \+ 2 images .* then, 18 \+ 1 now"):
        known_images(pictures / "config.json", stored, [data])
