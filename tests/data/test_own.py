import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxvae.data import load
from jaxvae.data.cache import cache_directory
from jaxvae.data.layouts import layout_of
from jaxvae.data.resize import resize_images
from tests.tiers import parametrize

pytestmark = pytest.mark.usefixtures("own_cache")

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (30, 6, 8), dtype=np.uint8)
COLOR = RANDOM.integers(0, 256, (30, 6, 8, 3), dtype=np.uint8)
ORDER = np.random.RandomState(0).permutation(30)


@pytest.fixture
def folder(tmp_path):
    """Where `write` puts images."""
    place = tmp_path / "photos"
    place.mkdir()
    return place


def write(images, folder: Path, name="{:03d}.png", **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place, image in enumerate(images):
        Image.fromarray(image).save(folder / name.format(place), **options)
    return folder


def saved(tmp_path, array, name="images.npy") -> Path:
    np.save(tmp_path / name, array)
    return tmp_path / name


def all_images(data) -> np.ndarray:
    """Held-out images first, as in the shuffle that they are taken from."""
    return np.concatenate([data.test.images, data.train.images])


# --- folders --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "PNG", "tif", "webp"])
def test_pixels_of_a_lossless_file_are_those_that_were_written(folder, suffix):
    write(COLOR, folder, f"{{:03d}}.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(all_images(load(folder)), COLOR[ORDER])


def test_subfolders_are_labels_also_of_unicode_and_capital_suffixes(folder):
    write(GRAY[:10], folder / "äpfel", "{:03d}.PNG")
    write(GRAY[10:], folder / "birnen" / "2020" / "mai")
    data = load(folder)
    labels = np.concatenate([data.test.labels, data.train.labels])
    assert data.label_names == ("birnen", "äpfel")
    np.testing.assert_array_equal(all_images(data)[labels == 1].sum(), GRAY[:10].sum())
    assert np.bincount(labels).tolist() == [20, 10]


def test_folders_train_and_test_are_splits_with_labels_below(folder):
    for label, images in (("a", GRAY[:5]), ("b", GRAY[5:9])):
        write(images, folder / "outer" / "Train" / label)
        write(images[:1], folder / "outer" / "val" / label)
    data = load(folder)
    assert (len(data.train.images), len(data.test.images)) == (9, 2)
    assert sorted(data.test.labels.tolist()) == [0, 1]
    assert sorted(data.train.images.sum((1, 2, 3))) == sorted(GRAY[:9].sum((1, 2)))


def test_other_splits_are_those_that_were_asked_for(folder):
    for name, images in (("one", GRAY[:7]), ("two", GRAY[7:12]), ("three", GRAY[12:])):
        write(images, folder / name)
    data = load(folder, split="three/two")
    assert (len(data.train.images), len(data.test.images)) == (18, 5)
    assert "7 files left out, in neither three nor two" in data.said
    with pytest.raises(ValueError, match="among one, three, two; got split four"):
        load(folder, split="four")
    with pytest.raises(ValueError, match=r"expected two different splits of .*, got split one/one"):
        load(folder, split="one/one")


def test_a_lone_folder_within_a_split_is_passed_over(folder):
    write(GRAY[:20], folder / "train" / "train_images")
    write(GRAY[20:], folder / "test" / "test_images")
    data = load(folder)
    assert (len(data.train.images), len(data.test.images)) == (20, 10)
    assert data.train.labels is None
    for split, images in (("train", GRAY[:20]), ("test", GRAY[20:])):
        for place, label in enumerate("ab"):
            write(images[place::2], folder.parent / "deep" / split / "images" / label)
    labeled = load(folder.parent / "deep")
    assert labeled.label_names == ("a", "b")
    assert np.bincount(labeled.train.labels).tolist() == [10, 10]


def test_a_lone_folder_is_a_label_where_the_other_split_has_it_beside_others(folder):
    write(GRAY[:20], folder / "train" / "images" / "a")
    for place, label in enumerate("ab"):
        write(GRAY[20 + 5 * place :][:5], folder / "test" / label)
    data = load(folder)
    assert data.label_names == ("a", "b")
    assert np.bincount(data.train.labels).tolist() == [20]
    assert np.bincount(data.test.labels).tolist() == [5, 5]


def test_splits_that_are_asked_for_may_lie_in_a_lone_folder(folder):
    for name in ("one", "two"):
        write(GRAY, folder / "outer" / name)
    assert "its own split; no labels" in load(folder, split="one/two").said
    write(GRAY, folder.parent / "b" / "only" / "c")
    assert "3 held out, a tenth" in load(folder.parent / "b", split="only").said


def test_images_beside_subfolders_have_no_labels_and_that_is_said(folder):
    for label in "ab":
        write(GRAY, folder / label)
    write(GRAY[:1], folder, "cover.png")
    said = load(folder).said
    assert "no labels; subfolders are no labels, since some images are in none (cover.png)" in said


def test_splits_within_labels_are_said_to_be_none(folder):
    for label in "ab":
        for split in ("train", "test"):
            write(GRAY[:10], folder / label / split)
    said = load(folder).said
    assert "4 held out, a tenth; labels of 2 classes (a, b)" in said
    assert "a/train and a/test are no splits, since a is not alone" in said


def test_train_with_labels_beside_a_folder_that_is_not_for_testing_is_asked_about(folder):
    for name in ("train/a", "train/b", "extra"):
        write(GRAY, folder / name)
    with pytest.raises(
        ValueError, match=r"train is a split or a label .* extra beside it: say split=train"
    ):
        load(folder)
    data = load(folder, split="train")
    assert (len(all_images(data)), data.label_names) == (60, ("a", "b"))
    assert "30 files left out, not in train (" in data.said


def test_a_class_called_train_is_no_split_without_one_for_testing(folder):
    for name in ("car", "train"):
        write(GRAY[:10], folder / name)
    assert load(folder).label_names == ("car", "train")


@pytest.mark.parametrize(
    ("fit", "test"),
    [("seg_train", "seg_test"), ("x_train", "x_val"), ("Training set", "Test set")],
)
def test_names_that_hold_the_words_of_splits_are_asked_about(folder, fit, test):
    for name in (fit, test):
        for place, label in enumerate("ab"):
            write(GRAY[10 * place :][:10], folder / name / label)
    with pytest.raises(ValueError, match=f"{fit} and {test} are .*: say split={fit}/{test}, or "):
        load(folder)
    data = load(folder, split=f"{fit}/{test}")
    assert (len(data.train.images), len(data.test.images)) == (20, 20)
    assert data.label_names == ("a", "b")


def test_what_is_no_image_is_counted_and_left_out(folder):
    write(GRAY, folder)
    for name in (".DS_Store", "Thumbs.db", "notes.txt", ".hidden.png"):
        (folder / name).write_text("no image")
    said = load(folder).said
    assert said.startswith("30 images, 6 x 8, gray, bytes; 3 held out, a tenth; no labels")
    assert "2 files left out, no images (Thumbs.db, notes.txt)" in said


@pytest.mark.parametrize("above", ["", "data/"])
def test_an_empty_folder_for_testing_is_said(folder, capsys, above):
    write(GRAY, folder / above / "train")
    assert "3 held out, a tenth" in load(folder).said
    assert "holds no images" not in capsys.readouterr().err
    (folder / above / "val").mkdir()
    load(folder)
    assert capsys.readouterr().err.endswith(f"{folder}: {above}val holds no images\n")


def test_labels_that_differ_only_in_capital_letters_are_said(folder):
    for name, images in (("Cat", GRAY[:10]), ("dog", GRAY[10:20]), ("cat", GRAY[20:])):
        write(images, folder / name)
    data = load(folder)
    assert data.label_names == ("Cat", "cat", "dog")
    assert "3 classes (Cat, cat, dog), of which Cat and cat differ only in cap" in data.said


def test_files_that_are_cut_off_are_named_and_counted(folder):
    write(COLOR, folder)
    for place in (3, 20):
        file = folder / f"{place:03d}.png"
        file.write_bytes(file.read_bytes()[:-120])
    with pytest.raises(ValueError, match=r"could not read 2 of them; repair .*:\n003.png: .*\n020"):
        load(folder)
    # One is broken in its head already: the other, which is not, is counted with it.
    (folder / "020.png").write_text("no image")
    with pytest.raises(ValueError, match=r"\n003.png: .*\n020.png: its content is that"):
        load(folder)
    assert not list((cache_directory() / "datasets").glob("[!.]*"))


@pytest.mark.slow
def test_so_many_files_are_named_that_they_can_be_moved_at_once(folder):
    write(np.concatenate([GRAY] * 10), folder)
    for file in folder.iterdir():
        file.write_text("no image")
    count = len(list(folder.iterdir()))
    with pytest.raises(ValueError, match=f"and {count - 200} more$") as refused:
        load(folder)
    assert str(refused.value).count(".png: its content") == 200


def test_a_folder_without_images_is_refused(folder):
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"expected images .* none among 1 files \(notes.txt\)"):
        load(folder)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_too_few_images_to_hold_any_out_are_refused(folder, count):
    write(GRAY[:count], folder)
    with pytest.raises(ValueError, match=f"at least 10 images in .*; got {count}"):
        load(folder)


def test_links_are_followed_and_those_in_circles_once(folder, tmp_path):
    elsewhere = write(GRAY, tmp_path / "elsewhere")
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    assert len(load(folder).train.images) == 27
    (folder / "lost.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"lost.png: expected a file, got a link that leads nowhe"):
        load(folder)


def test_images_of_several_sizes_need_an_image_size_and_are_stretched(folder):
    images = [RANDOM.integers(0, 256, (9, 6 + i % 3), dtype=np.uint8) for i in range(30)]
    write(images, folder)
    with pytest.raises(ValueError, match=r"expected image_size .* 3 sizes, 9 x 6 to 9 x 8 pixels"):
        load(folder)
    data = load(folder, image_size=5)
    first = images[ORDER[0]]
    expected = resize_images(first[None, ..., None], size=5)
    np.testing.assert_array_equal(data.test.images[:1], expected)
    assert "resized from sizes of 9 x 6 to 9 x 8 pixels, stretched to squares" in data.said


@parametrize(
    ("most", "value_range"),
    [(1, None), (3, (0, 3)), (200, None), (3, None), (1, (0, 3)), (200, (0, 3))],
    quick=3,
)
def test_resized_images_of_few_levels_are_the_same_from_files_and_arrays(
    folder, tmp_path, most, value_range
):
    masks = (RANDOM.random((30, 64, 64)) < 0.3).astype(np.uint8) * np.uint8(most)
    options = {"image_size": 16, "value_range": value_range}
    of_files = load(write(masks, folder), **options)
    of_array = load(saved(tmp_path, masks), **options)
    np.testing.assert_array_equal(all_images(of_files), all_images(of_array))
    white = 3 if value_range else {1: 1, 3: 255, 200: 255}[most]
    if most <= white:
        mean = all_images(of_files).mean()
        assert abs(mean - masks.mean() / white * 255) < 1


def test_gray_among_color_becomes_color(folder):
    write(COLOR[:20], folder)
    write(GRAY[20:], folder, "gray_{:03d}.png")
    data = load(folder)
    assert data.train.images.shape == (27, 6, 8, 3)
    assert "10 gray made color" in data.said


def test_transparency_lies_on_white_and_palettes_are_looked_up(folder):
    clear = np.zeros((6, 8, 4), np.uint8)
    clear[:, :4, 3] = 255
    write([clear] * 10, folder)
    images = load(folder).train.images
    assert (images[..., :4, :] == 0).all()
    assert (images[..., 4:, :] == 255).all()
    write([np.full((6, 8, 4), 255, np.uint8)] * 20, folder, "opaque_{:03d}.png")
    assert "; 10 transparent, put on white" in load(folder).said
    palette = folder.parent / "palette"
    palette.mkdir()
    for place in range(10):
        Image.fromarray(COLOR[place]).quantize(4).save(palette / f"{place}.png")
    expected = np.asarray(Image.fromarray(COLOR[2]).quantize(4).convert("RGB"))
    assert any((one == expected).all() for one in all_images(load(palette)))


def test_cmyk_becomes_red_green_and_blue(folder):
    cyan = Image.new("CMYK", (8, 6), (255, 0, 0, 0))
    for place in range(10):
        cyan.save(folder / f"{place}.tif")
    data = load(folder)
    assert (data.train.images == [0, 255, 255]).all()
    assert "10 CMYK made red, green and blue" in data.said


def test_photographs_are_turned_as_their_camera_says(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    for place in range(10):
        Image.fromarray(GRAY[place]).save(folder / f"{place}.jpg", exif=exif, quality=100)
    data = load(folder)
    assert data.train.images.shape[1:] == (8, 6, 1)
    upright = np.rot90(GRAY[:10], -1, axes=(1, 2))[np.random.RandomState(0).permutation(10)]
    assert np.abs(all_images(data)[..., 0] - upright.astype(float)).max() <= 4


def seen(stored, orientation):
    """Images as EXIF defines it: what is seen on top and at the left is row and column 0."""
    top, left = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    # Row 0 is the side `top` of what is seen, column 0 the side `left`.
    if top in {"left", "right"}:
        stored = stored.swapaxes(1, 2)
        top, left = left, top
    stored = stored[:, ::-1] if top == "bottom" else stored
    return stored[:, :, ::-1] if left == "right" else stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "deep"])
def test_images_of_any_kind_are_turned_as_their_camera_says(folder, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for place, image in enumerate(COLOR[:10]):
        if kind == "deep":
            tag = (0x0112, 3, 1, orientation, True)
            wide = image.astype(np.uint16) * 257
            tifffile.imwrite(folder / f"{place}.tif", wide, photometric="rgb", extratags=[tag])
        else:
            Image.fromarray(image).save(folder / f"{place}.{kind}", exif=exif)
    expected = seen(COLOR[:10], orientation)[np.random.RandomState(0).permutation(10)]
    np.testing.assert_array_equal(all_images(load(folder)), expected)


def test_of_an_animation_the_first_picture_is_read(folder):
    for place in range(10):
        first, *others = map(Image.fromarray, COLOR[place : place + 3])
        first.save(
            folder / f"{place}.webp", save_all=True, append_images=others, lossless=True, duration=9
        )
    data = load(folder)
    np.testing.assert_array_equal(
        all_images(data), COLOR[:10][np.random.RandomState(0).permutation(10)]
    )
    assert "10 animated" in data.said


@pytest.mark.parametrize("channels", [(), (3,)])
def test_tiffs_of_twelve_bits_are_scaled_by_them(folder, channels):
    images = RANDOM.integers(0, 4096, (30, 6, 8, *channels), dtype=np.uint16)
    for place, image in enumerate(images):
        tifffile.imwrite(folder / f"{place:03d}.tif", image)
    data = load(folder)
    expected = np.rint(images[ORDER] / 4095 * 255).reshape(30, 6, 8, -1)
    np.testing.assert_array_equal(all_images(data), expected)
    assert "uint16 of 12 bits, [0, 4095] -> bytes" in data.said


def test_pages_of_a_tiff_are_images(folder):
    images = RANDOM.integers(0, 65536, (3, 10, 6, 8), dtype=np.uint16)
    for place, stack in enumerate(images):
        tifffile.imwrite(folder / f"{place}.tif", stack, photometric="minisblack")
    data = load(folder)
    expected = np.rint(images.reshape(30, 6, 8, 1)[ORDER] / 65535 * 255)
    np.testing.assert_array_equal(all_images(data), expected)
    assert "3 files of several pages, 30 images" in data.said


def test_pages_of_one_tiff_are_a_data_set(tmp_path):
    images = RANDOM.integers(0, 65536, (30, 6, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "cells.tif", images, photometric="minisblack")
    data = load(tmp_path / "cells.tif")
    expected = np.rint(images[ORDER, ..., None] / 65535 * 255)
    np.testing.assert_array_equal(all_images(data), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["shaped", "ImageJ"])
def test_images_of_a_tiff_may_share_one_directory(folder, dtype, kind):
    options = {"imagej": True, "metadata": {"axes": "ZYX"}} if kind == "ImageJ" else {}
    for place in range(3):
        stack = GRAY[10 * place :][:10].astype(dtype) * dtype(np.iinfo(dtype).max // 255)
        file = folder / f"{place}.tif"
        tifffile.imwrite(file, stack, photometric="minisblack", truncate=True, **options)
    data = load(folder)
    np.testing.assert_array_equal(all_images(data)[..., 0], GRAY[ORDER])


def test_pages_of_other_sizes_are_left_out_and_that_is_said(folder):
    for place, image in enumerate(GRAY):
        with tifffile.TiffWriter(folder / f"{place:03d}.tif") as file:
            file.write(image)
            file.write(image[:3, :3])
    data = load(folder)
    np.testing.assert_array_equal(all_images(data)[..., 0], GRAY[ORDER])
    assert "30 with pages of other sizes or types, which are left out" in data.said


@pytest.mark.parametrize("options", [{}, {"compression": "group4"}], ids=["plain", "fax"])
def test_pages_of_one_bit_are_images(folder, options):
    images = GRAY > 99
    first, *others = map(Image.fromarray, [*images, images[0, :3]])
    first.save(folder / "a.tif", save_all=True, append_images=others, **options)
    data = load(folder)
    np.testing.assert_array_equal(all_images(data)[..., 0], 255 * images[ORDER])
    assert "1 with pages of other sizes or types, which are left out" in data.said


def test_files_that_refer_to_each_other_are_images_of_their_own(folder):
    """As microscopes write a stack: every file describes all of them."""
    uuids = [f"urn:uuid:{place:08d}-0000-0000-0000-000000000000" for place in range(12)]
    planes = "".join(
        f'<TiffData FirstZ="{place}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{place:02d}.ome.tif">{uuid}</UUID></TiffData>'
        for place, uuid in enumerate(uuids)
    )
    images = GRAY[:12].astype(np.uint16) * 257
    for place, uuid in enumerate(uuids):
        said = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="8" SizeY="6" SizeC="1" SizeZ="12" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        file = folder / f"{place:02d}.ome.tif"
        tifffile.imwrite(file, images[place], description=said, metadata=None)
    expected = GRAY[:12][np.random.RandomState(0).permutation(12)]
    np.testing.assert_array_equal(all_images(load(folder))[..., 0], expected)


def test_the_range_is_that_of_the_images_before_they_are_resized(folder):
    image = np.zeros((6, 8), np.uint16)
    image[2, 3] = 4095
    for place in range(10):
        tifffile.imwrite(folder / f"{place}.tif", image)
    data = load(folder, image_size=2)
    # Resized, no pixel has more than 10 bits.
    assert "uint16 of 12 bits" in data.said
    assert 0 < data.train.images.max() < 64


def test_files_with_nan_are_named(folder):
    for place in range(10):
        tifffile.imwrite(folder / f"{place}.tif", np.full((6, 8), [1.0, np.nan][place == 7]))
    with pytest.raises(ValueError, match=r"could not read 1 of them; .*:\n7.tif: its pixels hold"):
        load(folder)


def test_images_of_few_pixels_have_no_doubtful_layout(folder):
    write(COLOR[:, :1], folder)
    np.testing.assert_array_equal(all_images(load(folder)), COLOR[ORDER, :1])


def test_colors_of_16_bits_in_a_png_are_said_to_be_read_at_8(folder):
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    for place, image in enumerate(COLOR):
        rows = np.pad(
            (image.astype(np.uint16) * 257).reshape(6, 24).astype(">u2").view(">u1"),
            ((0, 0), (1, 0)),
        )
        parts = (
            chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(rows.tobytes())),
            chunk(b"IEND", b""),
        )
        (folder / f"{place:03d}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    data = load(folder)
    np.testing.assert_array_equal(all_images(data), COLOR[ORDER])
    assert "30 of 16 bits, of which 8 are read" in data.said


def test_a_tiff_of_five_channels_is_refused_with_what_to_do(folder):
    tifffile.imwrite(folder / "a.tif", GRAY[:5], imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(ValueError, match=r"a.tif: expected 1 or 3 channels, got 5; save those"):
        load(folder)


def test_files_of_several_depths_are_refused(folder):
    write(GRAY, folder)
    tifffile.imwrite(folder / "deep.tif", GRAY[0].astype(np.uint16))
    with pytest.raises(ValueError, match=r"one type .* uint8 as 000.png, uint16 as deep.tif"):
        load(folder)


# --- arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "expected", "words"),
    [
        (GRAY, GRAY, "bytes"),
        (GRAY > 99, 255 * (GRAY > 99), "bool -> bytes 0 and 255"),
        ((GRAY > 99).astype(np.uint8), 255 * (GRAY > 99), "uint8 of 0 and 1"),
        (GRAY.astype(np.int64), GRAY, "int64 in [0, 255]"),
        (GRAY / 255, GRAY, "float64 in [0, 1]"),
        ((GRAY / 127.5 - 1).astype(np.float32), GRAY, "float32 in [-1, 1]"),
        (GRAY.astype(np.float32), GRAY, "float32 in [0, 255]"),
        (GRAY.astype(np.uint16) * 257, GRAY, "uint16 of 16 bits"),
    ],
)
def test_every_type_becomes_bytes_by_its_rule(tmp_path, array, expected, words):
    data = load(saved(tmp_path, array))
    np.testing.assert_array_equal(all_images(data)[..., 0], np.asarray(expected)[ORDER])
    assert words in data.said


@pytest.mark.parametrize(
    "array",
    [
        GRAY / 128 - 1,
        (GRAY - GRAY.mean()) / GRAY.std(),
        GRAY // 16 / 1.0,
        GRAY.astype(np.int64) - 1,
        GRAY.astype(np.float64) * 1000,
    ],
)
def test_a_range_that_may_be_several_is_asked_for(tmp_path, array):
    array = array * 0.9 if array.min() == -1 else array
    with pytest.raises(ValueError, match=r"are black and white: give them, such as value_range="):
        load(saved(tmp_path, array))
    low, high = float(array.min()), float(array.max())
    data = load(tmp_path / "images.npy", value_range=(low, high))
    assert (all_images(data).min(), all_images(data).max()) == (0, 255)


def test_nan_is_refused_with_its_image(tmp_path):
    array = GRAY / 255
    array[17, 2, 3] = np.nan
    with pytest.raises(ValueError, match="got NaN or infinity in image 17"):
        load(saved(tmp_path, array))


def test_constant_and_dark_images_are_said(tmp_path):
    assert "every pixel of every image is 7" in load(saved(tmp_path, GRAY * 0 + 7)).said
    said = load(saved(tmp_path, GRAY // 16, "b.npy")).said
    assert (
        "dark: the largest value is 15, 15 of 255; --value-range=0:15 would make that white" in said
    )


def test_images_that_one_bright_pixel_makes_dark_are_said(tmp_path):
    images = 90 + GRAY.astype(np.uint16)
    assert "dark" not in load(saved(tmp_path, images)).said
    images[3, 2, 2] = 65535
    data = load(saved(tmp_path, images, "hot.npy"))
    assert (np.sort(all_images(data).max((1, 2, 3)))[[-2, -1]] == [1, 255]).all()
    assert "dark: 29 of 30 images stay below a quarter of 0 to 65535" in data.said
    low, high = map(float, re.search(r"--value-range=(\S+):(\S+) makes", data.said).groups())
    assert low == images.min() < np.sort(images.max((1, 2)))[-2] <= high < 512
    again = load(tmp_path / "hot.npy", value_range=(low, high))
    assert "dark" not in again.said


def test_a_split_of_another_range_than_the_other_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", train=GRAY / 255, test=GRAY.astype(float))
    assert "dark: the largest value of train is 1, 1 of 255" in load(tmp_path / "a.npz").said
    np.savez(tmp_path / "b.npz", train=GRAY / 255, test=GRAY / 255)
    assert "dark" not in load(tmp_path / "b.npz").said


@pytest.mark.parametrize(
    ("array", "axes"), [(COLOR, (0, 1, 2, 3)), (np.moveaxis(COLOR, 3, 1), (0, 2, 3, 1))]
)
def test_channels_may_be_last_or_first(tmp_path, array, axes):
    np.testing.assert_array_equal(
        all_images(load(saved(tmp_path, array))), np.transpose(array, axes)[ORDER]
    )


def test_images_along_the_last_axis_are_said_to_be_elongated(tmp_path):
    images = RANDOM.integers(0, 256, (560, 28, 20), dtype=np.uint8)
    said = load(saved(tmp_path, np.moveaxis(images, 0, 2))).said
    assert "read as 28 images of 20 x 560" in said
    assert "save numpy.moveaxis(images, 2, 0)" in said
    assert "read as" not in load(saved(tmp_path, images, "first.npy")).said
    assert "read as" not in load(saved(tmp_path, GRAY, "gray.npy")).said


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((30, 784), r"reshape\(-1, 28, 28\)"),
        ((30, 20, 3), "one image"),
        ((30, 3, 5, 3), "are not told from channels: save images of at least 5 pixels"),
        ((30, 4, 9, 3), "are not told from channels: save images of at least 5 pixels"),
        ((30, 3, 9, 4), "are not told from channels: save images of at least 5 pixels"),
        ((30, 8, 8, 5), r"\[..., :3\]"),
        ((30,), "got an array"),
        ((), "got an array"),
        ((30, 8, 8, 2), r"\[..., :1\]"),
        ((30, 2, 8, 8, 3), r"images.reshape\(-1, 8, 8, 3\)"),
        ((30, 2, 8, 8, 8), r"images.reshape\(-1, height, width\)"),
    ],
)
def test_other_shapes_are_refused_with_what_to_do(tmp_path, shape, said):
    with pytest.raises(ValueError, match=said):
        load(saved(tmp_path, np.zeros(shape, np.uint8)))


@pytest.mark.parametrize(
    ("shape", "understood"),
    [
        # As MATLAB has them: gray, color, with a mask; and with channels before height and width.
        ((8, 9, 1, 30), (30, 8, 9, 1)),
        ((8, 9, 3, 30), (30, 8, 9, 3)),
        ((8, 9, 4, 30), (30, 8, 9, 3)),
        ((3, 8, 9, 30), (30, 8, 9, 3)),
        ((30, 8, 9, 4), (30, 8, 9, 3)),
        ((30, 8, 9, 200), (30, 8, 9, 3)),
        ((30, 4, 8, 9), (30, 8, 9, 3)),
        ((30, 2, 8, 9), (30, 8, 9, 1)),
        ((5, 6, 8, 9, 3), (30, 8, 9, 3)),
        ((30, 64), (30, 8, 8, 1)),
    ],
)
def test_advice_on_an_array_of_another_shape_leads_to_its_images(shape, understood):
    """Whoever does what is said, once or twice, has images that are read as they are."""
    images = np.empty(shape, np.uint8)
    for _ in range(2):
        try:
            layout_of(images.shape, "a.npy")
        except ValueError as error:
            advice = re.search(
                r"(numpy\.moveaxis|images\.reshape)\(.*?\)|images\[.*?\]", str(error)
            )
            images = eval(advice[0], {"numpy": np, "images": images})
    assert layout_of(images.shape, "a.npy").arranged_shape(images.shape) == understood


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "y_train", "X_val", "y_val"),
    ],
)
def test_an_archive_of_splits_is_known_by_its_names(tmp_path, names):
    words = np.array(["no", "yes"])[np.arange(30) % 2]
    arrays = (COLOR[:20], words[:20], COLOR[20:], words[20:])
    np.savez(tmp_path / "set.npz", **dict(zip(names, arrays, strict=True)))
    data = load(tmp_path / "set.npz")
    assert (len(data.train.images), len(data.test.images)) == (20, 10)
    assert data.label_names == ("no", "yes")
    for split, start in ((data.train, 0), (data.test, 20)):
        images = COLOR[start:].reshape(30 - start, -1)
        for image, label in zip(split.images, split.labels, strict=True):
            (row,) = np.flatnonzero((images == image.ravel()).all(axis=1))
            assert (row + start) % 2 == label


def test_labels_of_one_column_and_of_ones_are_classes(tmp_path):
    labels = np.arange(30) % 3
    for name, given in (("a", labels[:, None]), ("b", np.eye(3)[labels])):
        np.savez(tmp_path / f"{name}.npz", images=GRAY, labels=given)
        data = load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(data.test.labels, labels[ORDER[:3]])


def test_settings_may_be_numbers_of_numpy_and_jax(tmp_path):
    file = saved(tmp_path, GRAY)
    expected = load(file, image_size=4, train_size=5, value_range=(0, 128))
    numbers = {"image_size": np.int64(4), "train_size": jnp.int32(5)}
    data = load(file, **numbers, value_range=(np.float32(0), jnp.float32(128)))
    np.testing.assert_array_equal(data.train.images, expected.train.images)


def test_a_label_less_or_more_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=GRAY, labels=np.arange(29))
    with pytest.raises(ValueError, match=r"each of 30 images of .*a.npz, got 29; if the array"):
        load(tmp_path / "a.npz")


def test_a_single_number_is_no_label(tmp_path):
    np.savez(tmp_path / "a.npz", images=GRAY, labels=3)
    data = load(tmp_path / "a.npz")
    assert data.train.labels is None
    assert "left out: labels" in data.said


def test_held_out_images_that_are_also_trained_on_are_counted(folder, tmp_path):
    for split in ("train", "test"):
        write(GRAY[:12], folder / split)
    assert load(folder).said.endswith("12 of 12 held-out images are also among the training images")
    twice = np.concatenate([GRAY[:10], GRAY[:10]])
    assert "2 of 2 held-out images" in load(saved(tmp_path, twice)).said
    write(GRAY[20:21], folder / "test", "more.png")
    assert "12 of 13 held-out images" in load(folder).said
    assert "among" not in load(saved(tmp_path, GRAY, "other.npy")).said


def test_splits_of_two_sizes_need_an_image_size(tmp_path):
    file = tmp_path / "two.npz"
    np.savez(file, train_images=COLOR, test_images=COLOR[:7, :5])
    with pytest.raises(
        ValueError, match=r"expected image_size for .*two.npz, whose splits are uint8 \[30, 6, 8"
    ):
        load(file)
    data = load(file, image_size=5)
    order = np.random.RandomState(0).permutation(7)
    np.testing.assert_array_equal(data.test.images, resize_images(COLOR[:7, :5][order], size=5))
    assert "resized from sizes of 5 x 8 to 6 x 8 pixels, stretched to squares" in data.said


@pytest.mark.parametrize(
    ("name", "said"), [("images.npy", "got an empty file"), ("images.zarr", "found none")]
)
def test_a_file_or_a_store_in_which_nothing_is_is_refused(tmp_path, name, said):
    place = tmp_path / name
    if name.endswith(".zarr"):
        pytest.importorskip("zarr").open_group(place, mode="w")
    else:
        place.touch()
    with pytest.raises(ValueError, match=rf"{name}.*{said}"):
        load(place)


@pytest.mark.parametrize("empty", ["train", "test"])
def test_an_empty_split_is_refused(tmp_path, empty):
    arrays = {"train": GRAY, "test": GRAY, empty: GRAY[:0]}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"images in every split .* uint8 \[0, 6, 8\]"):
        load(tmp_path / "a.npz")
    assert not (cache_directory() / "datasets").exists()
    other = {"train": "test", "test": "train"}[empty]
    assert len(load(tmp_path / "a.npz", split=other).train.images) == 27


def test_of_several_arrays_the_one_asked_for_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", left=GRAY, right=GRAY // 2)
    with pytest.raises(ValueError, match=r"left \[30, 6, 8\], right .* with image_key="):
        load(tmp_path / "a.npz")
    data = load(tmp_path / "a.npz", image_key="right")
    np.testing.assert_array_equal(all_images(data)[..., 0], GRAY[ORDER] // 2)


def test_a_zarr_is_read(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for split, images in (("train", GRAY[:20]), ("test", GRAY[20:])):
        group.create_array(f"{split}/images", data=images, chunks=(7, 6, 8))
    data = load(tmp_path / "a.zarr")
    assert data.test.images.sum() == GRAY[20:].sum()


def test_changed_metadata_of_a_zarr_of_format_2_are_seen(tmp_path):
    zarr = pytest.importorskip("zarr")
    place = tmp_path / "a.zarr"
    zarr.create_array(place, data=GRAY.astype("<u2"), zarr_format=2, compressors=None)
    before = all_images(load(place)).copy()
    said = (place / ".zarray").read_text()
    (place / ".zarray").write_text(said.replace("<u2", ">u2"))
    assert not np.array_equal(all_images(load(place)), before)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_of_a_zarr_that_are_not_there_and_texts_are_said(tmp_path, zarr_format):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("images", data=GRAY, chunks=(10, 6, 8))
    assert "left out" not in load(tmp_path / "a.zarr").said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group.create_array("labels", data=np.array(["no", "yes"] * 15))
    (chunk,) = (tmp_path / "a.zarr" / "images").glob("1.0.0" if zarr_format == 2 else "c/1/0/0")
    chunk.unlink()
    said = load(tmp_path / "a.zarr").said
    assert "1 of 3 chunks of images are not there and read as 0" in said
    assert "left out, no plain arrays: labels" in said


def test_what_is_pickled_beside_images_is_left_out_and_never_read(tmp_path):
    objects = np.array([{"made": "by me"}], dtype=object)
    np.savez(tmp_path / "a.npz", images=GRAY, metadata=objects)
    data = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(all_images(data)[..., 0], GRAY[ORDER])
    assert "left out, no plain arrays: metadata" in data.said
    np.savez(tmp_path / "b.npz", images=objects, labels=np.arange(30))
    with pytest.raises(ValueError, match=r"labels \[30\], images, which is no plain array"):
        load(tmp_path / "b.npz")


def test_a_folder_of_images_may_have_the_name_of_a_file(tmp_path):
    assert len(load(write(GRAY, tmp_path / "a.npy")).train.images) == 27


# --- the cache ------------------------------------------------------------------------


def test_changed_added_and_removed_files_are_seen(folder):
    write(GRAY, folder)
    first = load(folder)
    Image.fromarray(GRAY[0].T.reshape(6, 8)).save(folder / "005.png")
    changed = load(folder)
    write(GRAY[:1], folder, "more.png")
    added = load(folder)
    (folder / "more.png").unlink()
    (folder / "007.png").unlink()
    removed = load(folder)
    counts = [len(all_images(data)) for data in (first, changed, added, removed)]
    assert counts == [30, 30, 31, 29]
    assert len({data.fingerprint for data in (first, changed, added, removed)}) == 4


def test_a_copy_elsewhere_has_the_same_fingerprint(folder, tmp_path):
    first = load(write(GRAY, folder))
    assert load(write(GRAY, tmp_path / "copy")).fingerprint == first.fingerprint


def test_an_entry_that_is_cut_off_is_made_again(tmp_path, caplog):
    file = saved(tmp_path, GRAY)
    before = all_images(load(file)).copy()
    (entry,) = (cache_directory() / "datasets").glob("own-*")
    images = entry / "train_images.npy"
    images.write_bytes(images.read_bytes()[:-9])
    np.testing.assert_array_equal(all_images(load(file)), before)
    assert "it is built again" in caplog.text


def test_two_at_once_read_the_same(folder):
    write(GRAY, folder)
    found = []
    threads = [threading.Thread(target=lambda: found.append(load(folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len({data.train.images.tobytes() for data in found}) == 1


def test_reading_a_folder_needs_neither_jax_nor_tfds(folder):
    write(GRAY, folder)
    code = (
        f"import sys; from jaxvae.data import load; load({str(folder)!r});"
        "print({'jax', 'tensorflow_datasets'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"
    assert run.stderr == (
        f"{folder}: 30 images, 6 x 8, gray, bytes; 3 held out, a tenth; no labels\n"
    )


# --- names and paths ------------------------------------------------------------------


def test_a_wrong_path_says_what_is_close(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    for wrong in ("./photo", str(tmp_path / "photoss"), "fotos/"):
        with pytest.raises(ValueError, match=r"found nothing there: .* Close to it: photos"):
            load(wrong)
    with pytest.raises(ValueError, match=r"or the path of images, got 'photso'.* photos"):
        load("photso", data_dir=tmp_path)


def test_a_folder_with_the_name_of_a_set_is_said_to_be_passed_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(GRAY, tmp_path / "sprites")
    with pytest.raises(ValueError, match="no image_key and no split for sprites"):
        load("sprites", split="train")
    assert "for the file or folder here, ./sprites" in capsys.readouterr().err
    assert len(load("./sprites").train.images) == 27


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path, GRAY)
    assert len(load("~/images.npy").train.images) == 27


def test_a_file_that_is_no_set_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match="got a file: give a folder"):
        load(tmp_path / "a.csv")
