import io
import json
import shlex
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from jaxvae.data import dataset_names, load
from jaxvae.data.prepared import find_prepared, preparation
from jaxvae.data.resize import resize_images
from tests.data.prepared import DATA, needs

MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
CIFAR_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    """One cache for the whole run: every set is decoded once."""
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(shared_cache))
    return shared_cache


def png(image: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "png")
    file.seek(0)
    return file


def image_features(shape: tuple, **others):
    return tfds.features.FeaturesDict({"image": tfds.features.Image(shape=shape), **others})


def write_set(data_dir: Path, name: str, features, splits: dict, *, version="1.0.0") -> Path:
    """Write a set as TFDS prepares it; images as arrays."""
    directory = data_dir / name / version
    directory.mkdir(parents=True)
    features.save_config(directory)
    info: dict = {"name": name, "version": version, "fileFormat": "array_record", "splits": []}
    for split, examples in splits.items():
        file = directory / f"{name}-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(file), "group_size:1")
        for example in examples:
            encoded = {"image": png(example["image"])} if "image" in example else {}
            writer.write(features.serialize_example({**example, **encoded}))
        writer.close()
        info["splits"].append(
            {
                "name": split,
                "shardLengths": [str(len(examples))],
                "numBytes": str(file.stat().st_size),
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    (directory / "dataset_info.json").write_text(json.dumps(info))
    return directory


def gray_examples(count: int, *, first: int = 0) -> list[dict]:
    return [{"image": np.full((4, 4, 1), first + i, np.uint8)} for i in range(count)]


def edit_info(directory: Path, **changes) -> None:
    path = directory / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- prepared sets --------------------------------------------------------------------


@needs("mnist")
def test_mnist_has_the_documented_shapes_and_types():
    train, test = load("mnist")[:2]
    assert (train.images.shape, train.images.dtype) == ((60_000, 28, 28, 1), np.uint8)
    assert (test.images.shape, test.labels.dtype) == ((10_000, 28, 28, 1), np.int64)


@needs("mnist")
def test_mnist_has_the_published_number_of_examples_per_class():
    data = load("mnist")
    assert np.bincount(data.train.labels).tolist() == MNIST_TRAIN
    assert np.bincount(data.test.labels).tolist() == MNIST_TEST


@needs("mnist")
def test_the_order_is_that_of_the_tfds_data_source():
    source = tfds.data_source("mnist", split="test", data_dir=DATA, download=False)
    test = load("mnist").test
    for index in (0, 1, 4_321, 9_999):
        np.testing.assert_array_equal(test.images[index], source[index]["image"])
        assert test.labels[index] == source[index]["label"]


@needs("mnist")
def test_a_second_process_reads_the_same_without_tensorflow_datasets():
    first = load("mnist").test
    code = (
        "import sys, zlib; from jaxvae.data import load; test = load('mnist').test;"
        "print(zlib.crc32(test.images), zlib.crc32(test.labels),"
        "'tensorflow_datasets' in sys.modules, 'tensorflow' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    checksums = [str(zlib.crc32(first.images)), str(zlib.crc32(first.labels))]
    assert run.stdout.split() == [*checksums, "False", "False"]
    assert run.stderr == ""


@needs("mnist")
def test_mnist_resized_to_32_keeps_its_range_and_its_mean():
    small, large = load("mnist").test, load("mnist", image_size=32).test
    assert (large.images.shape, large.images.dtype) == ((10_000, 32, 32, 1), np.uint8)
    assert (large.images.min(), large.images.max()) == (0, 255)
    assert large.images.mean() == pytest.approx(small.images.mean(), rel=0.01)
    np.testing.assert_array_equal(large.labels, small.labels)


@needs("cifar10")
def test_cifar10_has_its_label_names():
    data = load("cifar10", train_size=100)
    assert data.label_names == tuple(CIFAR_NAMES.split())


@needs("cifar10")
def test_cifar10_has_a_thousand_test_images_per_class():
    assert np.bincount(load("cifar10").test.labels).tolist() == [1000] * 10


@needs("dsprites_grid")
def test_dsprites_grid_is_black_and_white():
    assert np.unique(load("dsprites_grid").train.images).tolist() == [0, 255]


@needs("dsprites_grid")
def test_dsprites_grid_has_every_combination_of_its_factors_once():
    data = load("dsprites_grid")
    factors = [
        np.concatenate([data.train.factors[name], data.test.factors[name]])
        for name in ("shape", "scale", "orientation", "x_position", "y_position")
    ]
    assert data.train.labels is None
    cells = np.ravel_multi_index(factors, (3, 6, 10, 16, 16))
    np.testing.assert_array_equal(np.sort(cells), np.arange(46_080))


@needs("dsprites_grid")
def test_dsprites_images_belong_to_their_factors():
    train = load("dsprites_grid").train
    x_position = train.factors["x_position"]
    columns = np.arange(64)
    centers = [
        (train.images[x_position == level][:50] @ np.ones(1)).sum(1) @ columns for level in (0, 15)
    ]
    mass = [train.images[x_position == level][:50].sum(axis=(1, 2, 3)) for level in (0, 15)]
    assert (centers[0] / mass[0]).max() < (centers[1] / mass[1]).min()


@needs("mnist")
def test_a_size_larger_than_the_split_is_refused():
    with pytest.raises(ValueError, match=r"train_size at most 60,000 for 'mnist', got 60,001"):
        load("mnist", train_size=60_001)


# --- any set --------------------------------------------------------------------------


def test_the_first_so_many_examples_are_kept(tmp_path):
    splits = {"train": gray_examples(30), "test": gray_examples(20, first=100)}
    write_set(tmp_path, "gray", image_features((4, 4, 1)), splits)
    data = load("gray", train_size=3, test_size=2, data_dir=tmp_path)
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert data.test.images[:, 0, 0, 0].tolist() == [100, 101]


def test_a_set_without_a_test_split_holds_out_a_tenth(tmp_path):
    write_set(tmp_path, "alone", image_features((4, 4, 1)), {"train": gray_examples(50)})
    data = load("alone", data_dir=tmp_path)
    pixels = [split.images[:, 0, 0, 0].tolist() for split in (data.test, data.train)]
    assert pixels[0] + pixels[1] == np.random.RandomState(0).permutation(50).tolist()
    assert len(pixels[0]) == 5


def test_validation_stands_in_for_a_missing_test_split(tmp_path):
    splits = {"train": gray_examples(30), "validation": gray_examples(20, first=100)}
    write_set(tmp_path, "validated", image_features((4, 4, 1)), splits)
    data = load("validated", data_dir=tmp_path)
    assert data.test.images[:, 0, 0, 0].tolist() == list(range(100, 120))


@pytest.mark.parametrize("name", ["val", "dev"])
def test_other_names_of_a_validation_split_are_known(tmp_path, name):
    splits = {"train": gray_examples(30), name: gray_examples(20, first=100)}
    write_set(tmp_path, f"validated_by_{name}", image_features((4, 4, 1)), splits)
    data = load(f"validated_by_{name}", data_dir=tmp_path)
    assert (len(data.train.images), len(data.test.images)) == (30, 20)


def test_a_set_too_small_to_hold_anything_out_is_refused(tmp_path):
    write_set(tmp_path, "tiny", image_features((4, 4, 1)), {"train": gray_examples(9)})
    with pytest.raises(ValueError, match=r"at least 10 images in 'tiny', .*; got 9"):
        load("tiny", data_dir=tmp_path)


def test_the_only_images_of_another_name_are_the_images(tmp_path):
    features = tfds.features.FeaturesDict(
        {"photo": tfds.features.Image(shape=(4, 4, 1)), "number": np.int64}
    )
    examples = [{"photo": png(one["image"]), "number": 1} for one in gray_examples(20)]
    write_set(tmp_path, "photos", features, {"train": examples[:18], "test": examples[18:]})
    assert load("photos", data_dir=tmp_path).train.images[7, 0, 0, 0] == 7


def test_several_images_of_other_names_are_named_and_one_can_be_chosen(tmp_path):
    kinds = {name: tfds.features.Image(shape=(4, 4, 1)) for name in ("left", "right")}
    examples = [{name: png(one["image"]) for name in kinds} for one in gray_examples(20)]
    write_set(tmp_path, "pairs", tfds.features.FeaturesDict(kinds), {"train": examples})
    with pytest.raises(ValueError, match=r"expected a feature 'image' of .* got left, right"):
        load("pairs", data_dir=tmp_path)
    chosen = load("pairs", image_key="right", data_dir=tmp_path)
    assert (len(chosen.train.images), len(chosen.test.images)) == (18, 2)


def test_labels_that_are_texts_are_numbered(tmp_path):
    features = image_features((4, 4, 1), label=tfds.features.Text())
    words = ["naïve", "art", "naïve", "pop"]
    examples = [one | {"label": words[place % 4]} for place, one in enumerate(gray_examples(8))]
    write_set(tmp_path, "worded", features, {"train": examples, "test": examples[2:]})
    data = load("worded", data_dir=tmp_path)
    for split, expected in ((data.train, words * 2), (data.test, (words * 2)[2:])):
        assert [data.label_names[label] for label in split.labels] == expected


def test_splits_without_train_are_refused(tmp_path):
    splits = {"left": gray_examples(3), "right": gray_examples(4)}
    write_set(tmp_path, "sides", image_features((4, 4, 1)), splits)
    with pytest.raises(ValueError, match="expected a split 'train' in 'sides'"):
        load("sides", data_dir=tmp_path)
    chosen = load("sides", split="right/left", data_dir=tmp_path)
    assert (len(chosen.train.images), len(chosen.test.images)) == (4, 3)


def test_a_set_that_only_starts_with_black_images_is_not_taken_for_binary(tmp_path):
    examples = [{"image": np.full((4, 4, 1), i // 500, np.uint8)} for i in range(1500)]
    splits = {"train": examples[:1400], "test": examples[1400:]}
    write_set(tmp_path, "dark", image_features((4, 4, 1)), splits)
    data = load("dark", data_dir=tmp_path)
    assert np.unique(data.train.images).tolist() == [0, 1, 2]


def test_binary_images_are_scaled_before_they_are_resized(tmp_path):
    image = np.zeros((4, 4, 1), np.uint8)
    image[:, 2:] = 1
    write_set(tmp_path, "binary", image_features((4, 4, 1)), {"train": [{"image": image}] * 10})
    resized = load("binary", image_size=8, data_dir=tmp_path).train.images[0, 0, :, 0]
    assert resized.tolist() == [0, 0, 0, 64, 191, 255, 255, 255]


@pytest.mark.parametrize("top", [1, 255], ids=["binary", "gray"])
def test_a_set_that_is_in_the_cache_is_resized_from_there(tmp_path, own_cache, monkeypatch, top):
    drawn = np.random.default_rng(0).integers(0, top, (30, 9, 7, 1), np.uint8, endpoint=True)
    features = image_features((9, 7, 1), label=tfds.features.ClassLabel(names=["no", "yes"]))
    examples = [{"image": image, "label": i % 2} for i, image in enumerate(drawn)]
    write_set(tmp_path, "kept", features, {"train": examples})
    decoded = load("kept", image_size=5, data_dir=tmp_path)
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "other"))
    load("kept", data_dir=tmp_path)

    def refuse(*given, **named):
        raise AssertionError("decoded again")

    monkeypatch.setitem(load.__globals__, "write_arrays", refuse)
    resized = load("kept", image_size=5, data_dir=tmp_path)
    for found, expected in zip(jax.tree.leaves(resized), jax.tree.leaves(decoded), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_labels_and_factors_follow_their_names(tmp_path):
    features = image_features(
        (4, 4, 1),
        label=tfds.features.ClassLabel(names=["no", "yes"]),
        label_size=tfds.features.ClassLabel(names=["small", "large"]),
        other=np.int64,
    )
    examples = [
        example | {"label": i % 2, "label_size": 1 - i % 2, "other": i}
        for i, example in enumerate(gray_examples(10))
    ]
    write_set(tmp_path, "named", features, {"train": examples, "test": examples})
    data = load("named", data_dir=tmp_path)
    assert data.label_names == ("no", "yes")
    assert data.train.labels.tolist() == [0, 1] * 5
    assert {name: level.tolist() for name, level in data.train.factors.items()} == {
        "size": [1, 0] * 5
    }


def test_images_of_varying_size_need_an_image_size(tmp_path):
    examples = [{"image": np.full((3 + i, 5, 3), 90 + i, np.uint8)} for i in range(10)]
    write_set(tmp_path, "varying", image_features((None, None, 3)), {"train": examples})
    with pytest.raises(ValueError, match="expected image_size for 'varying'"):
        load("varying", data_dir=tmp_path)
    images = load("varying", image_size=4, data_dir=tmp_path).train.images
    assert images.shape == (9, 4, 4, 3)
    assert np.ptp(images, axis=(1, 2, 3)).max() == 0


def test_a_set_without_images_is_refused(tmp_path):
    features = tfds.features.FeaturesDict({"number": np.int64})
    write_set(tmp_path, "numbers", features, {"train": [{"number": 1}] * 10})
    with pytest.raises(ValueError, match="expected a feature 'image' of uint8"):
        load("numbers", data_dir=tmp_path)


def test_the_newest_version_is_the_largest_number(tmp_path):
    for version, pixel in (("9.0.0", 9), ("10.0.0", 10)):
        splits = {"train": gray_examples(2, first=pixel), "test": gray_examples(2)}
        write_set(tmp_path, "aged", image_features((4, 4, 1)), splits, version=version)
    assert load("aged", data_dir=tmp_path).train.images[0, 0, 0, 0] == 10
    assert load("aged:9.0.0", data_dir=tmp_path).train.images[0, 0, 0, 0] == 9


def test_a_config_is_found_by_its_name(tmp_path):
    for config in ("blue", "red"):
        directory = tmp_path / "colors" / config / "1.0.0"
        directory.mkdir(parents=True)
        (directory / "features.json").write_text("{}")
        (directory / "dataset_info.json").write_text('{"fileFormat":"array_record","splits":[]}')
    prepared = find_prepared("colors/red", tmp_path)
    assert prepared is not None
    assert prepared.directory == tmp_path / "colors" / "red" / "1.0.0"
    with pytest.raises(ValueError, match="expected one of colors/blue, colors/red"):
        find_prepared("colors", tmp_path)


def test_a_set_that_is_prepared_anew_is_read_anew(tmp_path):
    splits = {"train": gray_examples(2), "test": gray_examples(2)}
    directory = write_set(tmp_path, "changing", image_features((4, 4, 1)), splits)
    before = find_prepared("changing", tmp_path)
    edit_info(directory, description="prepared again")
    assert find_prepared("changing", tmp_path) != before


@pytest.mark.slow
def test_decoding_is_quiet(tmp_path, own_cache):
    splits = {"train": gray_examples(2), "test": gray_examples(2)}
    write_set(tmp_path, "quiet", image_features((4, 4, 1)), splits)
    code = f"from jaxvae.data import load; load('quiet', data_dir={str(tmp_path)!r})"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")


# --- refusals -------------------------------------------------------------------------


def test_an_unknown_name_lists_the_choices_and_close_names(tmp_path):
    write_set(tmp_path, "present", image_features((4, 4, 1)), {"train": gray_examples(2)})
    with pytest.raises(ValueError, match=r"sprites, present .*got 'mnits'.*mnist"):
        load("mnits", data_dir=tmp_path)


def test_a_known_set_that_is_not_prepared_comes_with_the_commands(tmp_path):
    with pytest.raises(ValueError) as refusal:
        load("mnist", data_dir=tmp_path)
    assert preparation("mnist", tmp_path) in str(refusal.value)
    assert "pip install tensorflow" in str(refusal.value)


def test_the_command_that_prepares_a_set_is_one_of_jaxvae(tmp_path):
    place = tmp_path / 'it\'s a "folder"'
    words = shlex.split(preparation("mnist", place).splitlines()[1])
    assert words == [f"TFDS_DATA_DIR={place}", "jaxvae", "data", "mnist", "--prepare"]


def test_a_set_prepared_as_tfrecord_is_refused_with_the_reason(tmp_path):
    directory = write_set(
        tmp_path, "records", image_features((4, 4, 1)), {"train": gray_examples(2)}
    )
    edit_info(directory, fileFormat="tfrecord")
    with pytest.raises(ValueError, match="prepared as array_record, got tfrecord in"):
        load("records", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["mnist/..", "", "mnist/a/b", "m nist"])
def test_what_is_no_name_and_no_path_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected a name such as 'mnist'"):
        load(name, data_dir=tmp_path)


@pytest.mark.parametrize("argument", ["image_size", "train_size", "test_size"])
def test_a_size_that_is_not_positive_is_refused(argument):
    with pytest.raises(ValueError, match=f"expected a positive {argument}, a whole number, got 0"):
        load("sprites", **{argument: 0})


def test_names_are_sprites_and_what_is_prepared(tmp_path):
    write_set(tmp_path, "present", image_features((4, 4, 1)), {"train": gray_examples(2)})
    (tmp_path / "downloads").mkdir()
    assert dataset_names(tmp_path) == ("sprites", "present")


def test_sprites_need_no_preparation(tmp_path):
    data = load("sprites", train_size=20, test_size=10, data_dir=tmp_path)
    assert (len(data.train.images), len(data.test.images)) == (20, 10)
    assert data.train.images.dtype == np.uint8


# --- resizing -------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width", "size"), [(28, 28, 32), (64, 48, 32), (7, 40, 13)])
def test_resizing_equals_that_of_jax(height, width, size):
    images = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), dtype=np.uint8)
    expected = jax.image.resize(
        images.astype(jnp.float32), (5, size, size, 3), "linear", antialias=True
    )
    resized = resize_images(images, size=size)
    assert np.abs(resized - np.asarray(expected)).max() <= 0.5 + 1e-3
    assert resized.dtype == np.uint8


@pytest.mark.parametrize("size", [0, (32, 48), 2.5, "32", True])
def test_what_is_no_number_of_pixels_is_refused(size):
    with pytest.raises(ValueError, match="expected a positive image_size, a whole number, got"):
        load("sprites", image_size=size)
