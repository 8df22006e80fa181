import io
import itertools
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from scipy.io import savemat

from jaxvae.cli import main
from jaxvae.data import dataset_names, load
from jaxvae.data.cars3d import ARCHIVE, Cars3d, prepare_cars3d
from jaxvae.data.prepared import CARS3D_URL

# With a gap, as in the published archive, and not in the order of their names.
NAMES = ("car_007_mesh", "car_001_mesh", "car_199_mesh")
AZIMUTHS, ELEVATIONS = np.arange(24)[:, None], np.arange(4)


@pytest.fixture(scope="module")
def cars() -> dict[str, np.ndarray]:
    """Cars whose right upper quarter holds their factors and whose left upper one is noise."""
    noise = np.random.default_rng(0)
    cars = {}
    for number, name in enumerate(sorted(NAMES)):
        views = np.zeros((128, 128, 3, 24, 4), np.uint8)
        views[:64, 64:, 0] = 10 * number
        views[:64, 64:, 1] = 10 * AZIMUTHS
        views[:64, 64:, 2] = 10 * ELEVATIONS
        views[:64, :64] = noise.integers(0, 256, (64, 64, 3, 24, 4))
        cars[name] = views
    return cars


@pytest.fixture(scope="module")
def manual_dir(cars, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("manual")
    files = {f"data/cars/{name}.mat": matlab(im=cars[name]) for name in NAMES}
    others = {"data/sprites/one.mat": b"", "data/cars/list.txt": "\n".join(NAMES).encode()}
    write_archive(directory, others | files)
    return directory


@pytest.fixture(scope="module")
def data_dir(manual_dir, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    prepare_cars3d(manual_dir=manual_dir, data_dir=directory)
    return directory


@pytest.fixture(scope="module")
def data(data_dir, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXVAE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return load("cars3d", data_dir=data_dir)


def matlab(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    savemat(file, arrays, do_compression=True)
    return file.getvalue()


def write_archive(directory: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(directory / ARCHIVE, "w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def joined(data, values) -> np.ndarray:
    return np.concatenate([values(data.test), values(data.train)])


def factor(data, name: str) -> np.ndarray:
    return joined(data, lambda split: split.factors[name])


# --- what is read ---------------------------------------------------------------------


def test_every_combination_of_the_factors_is_there_once(data):
    levels = [factor(data, name) for name in ("object", "azimuth", "elevation")]
    cells = np.ravel_multi_index(levels, (3, 24, 4))
    np.testing.assert_array_equal(np.sort(cells), np.arange(3 * 24 * 4))


def test_images_are_small_bytes_and_have_factors_but_no_labels(data):
    images = joined(data, lambda split: split.images)
    assert (images.shape, images.dtype) == ((3 * 24 * 4, 64, 64, 3), np.uint8)
    assert data.train.labels is None
    assert set(data.train.factors) == {"object", "azimuth", "elevation"}


@pytest.mark.parametrize(("channel", "name"), [(0, "object"), (1, "azimuth"), (2, "elevation")])
def test_an_image_shows_the_level_of_its_factor(data, channel, name):
    shown = joined(data, lambda split: split.images[:, 16, 48, channel])
    np.testing.assert_array_equal(shown, 10 * factor(data, name))


def test_an_image_is_the_thumbnail_that_others_make_of_its_view(data, cars):
    names = sorted(cars)
    for split in (data.test, data.train):
        for i, image in enumerate(split.images):
            number, azimuth, elevation = (
                split.factors[name][i] for name in ("object", "azimuth", "elevation")
            )
            view = Image.fromarray(cars[names[number]][..., azimuth, elevation])
            view.thumbnail((64, 64), Image.Resampling.LANCZOS)
            np.testing.assert_array_equal(image, np.asarray(view))


def test_tfds_reads_the_set_by_its_name(data_dir):
    source = tfds.data_source("cars3d", data_dir=data_dir, split="train")
    assert len(source) == 3 * 24 * 4
    assert set(source[0]) == {"image", "label_object", "label_azimuth", "label_elevation"}


def test_the_set_is_among_the_names_once_prepared(data_dir):
    assert dataset_names(data_dir) == ("sprites", "cars3d")


def test_a_prepared_set_is_left_as_it_is(data_dir, tmp_path):
    info = data_dir / "cars3d" / "1.0.0" / "dataset_info.json"
    before = info.stat()
    assert prepare_cars3d(manual_dir=tmp_path, data_dir=data_dir) == info.parent
    assert info.stat() == before


# --- the command ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prepares_the_set_quietly(manual_dir, tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "manual").symlink_to(manual_dir)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "jaxvae", "data", "cars3d", "--prepare"],
        env=os.environ | {"TFDS_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "cars3d is prepared; `jaxvae data cars3d` describes it\n"
    assert run.stderr == ""
    assert dataset_names(tmp_path) == ("sprites", "cars3d")


@pytest.mark.slow
def test_preparing_and_reading_import_no_tensorflow(manual_dir, tmp_path):
    code = f"""
import sys
from jaxvae.data import load
from jaxvae.data.cars3d import prepare_cars3d
prepare_cars3d(manual_dir={str(manual_dir)!r}, data_dir={str(tmp_path)!r})
load("cars3d", data_dir={str(tmp_path)!r})
assert "tensorflow" not in sys.modules
"""
    environment = os.environ | {"JAXVAE_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)


def test_the_command_refuses_in_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert main(["data", "cars3d", "--prepare"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: expected the archive")
    assert main(["data", "cars3d:9.9.9", "--prepare"]) == 2
    assert "expected cars3d, of which one version is prepared here" in capsys.readouterr().err


def test_the_archive_is_looked_for_where_tfds_would(manual_dir, tmp_path):
    place = tmp_path / "downloads" / "manual"
    place.mkdir(parents=True)
    (place / ARCHIVE).symlink_to(manual_dir / ARCHIVE)
    assert prepare_cars3d(data_dir=tmp_path) == tmp_path / "cars3d" / "1.0.0"


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cars3d", "cars3d:1.0.0"])
def test_loading_it_unprepared_says_what_to_type(tmp_path, name):
    directory = tmp_path / "it's here"
    with pytest.raises(ValueError, match="prepare it once") as refusal:
        load(name, data_dir=directory)
    download, prepare = (shlex.split(line) for line in str(refusal.value).splitlines()[1:3])
    archive = directory / "downloads" / "manual" / ARCHIVE
    assert download == ["curl", "-L", "--create-dirs", "-o", str(archive), CARS3D_URL]
    assert prepare == [f"TFDS_DATA_DIR={directory}", "jaxvae", "data", "cars3d", "--prepare"]


@pytest.mark.parametrize("name", ["Cars3D", "cars_3d", "3dcars"])
def test_a_name_like_it_is_answered_with_its_name(tmp_path, name):
    with pytest.raises(ValueError, match="Close to it: cars3d"):
        load(name, data_dir=tmp_path)


def test_an_absent_archive_is_refused_with_its_address_and_its_place(tmp_path):
    with pytest.raises(ValueError, match="expected the archive") as refusal:
        prepare_cars3d(manual_dir=tmp_path / "manual", data_dir=tmp_path)
    assert str(tmp_path / "manual" / ARCHIVE) in str(refusal.value)
    assert CARS3D_URL in str(refusal.value)


def test_an_archive_without_cars_is_refused(tmp_path):
    write_archive(tmp_path, {"data/sprites/car_001_mesh.mat": b"", "data/cars/list.txt": b""})
    with pytest.raises(ValueError, match=r"expected data/cars/car_001_mesh.mat and others"):
        prepare_cars3d(manual_dir=tmp_path, data_dir=tmp_path)


def test_an_archive_that_lacks_a_listed_car_is_refused(tmp_path):
    files = {"data/cars/list.txt": b"car_001_mesh\r\ncar_002_mesh\r\n"}
    write_archive(tmp_path, files | {"data/cars/car_001_mesh.mat": b""})
    with pytest.raises(ValueError, match=r"the 2 cars of .* got 1; .*: car_002_mesh"):
        prepare_cars3d(manual_dir=tmp_path, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (matlab(im=np.zeros((128, 128, 3, 4, 24), np.uint8)), r"got uint8 \[128, 128, 3, 4, 24\]"),
        (matlab(im=np.zeros((128, 128, 3, 24, 4))), "got float64"),
        (matlab(mask=np.zeros(3, np.uint8)), r"expected an array im of uint8 .*, got .* \[0\]"),
        (b"not Matlab", "expected a Matlab 5 file car_001_mesh.mat"),
    ],
)
def test_a_car_of_another_form_is_refused(tmp_path, content, reason):
    write_archive(tmp_path, {"data/cars/car_001_mesh.mat": content})
    with pytest.raises(ValueError, match=reason):
        prepare_cars3d(manual_dir=tmp_path, data_dir=tmp_path)
    assert_nothing_is_prepared(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused_and_leaves_nothing(manual_dir, tmp_path, share):
    content = (manual_dir / ARCHIVE).read_bytes()
    (tmp_path / ARCHIVE).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="got a damaged file"):
        prepare_cars3d(manual_dir=tmp_path, data_dir=tmp_path)
    assert_nothing_is_prepared(tmp_path)


# --- interruption ---------------------------------------------------------------------


def test_an_interrupted_preparation_leaves_nothing_and_can_be_repeated(manual_dir, tmp_path):
    cars = itertools.count(1)

    def interrupt(_: int) -> None:
        if next(cars) == 2:
            raise KeyboardInterrupt

    builder = Cars3d(data_dir=tmp_path, file_format="array_record", report=interrupt)
    with pytest.raises(KeyboardInterrupt):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    assert_nothing_is_prepared(tmp_path)
    prepare_cars3d(manual_dir=manual_dir, data_dir=tmp_path)
    assert dataset_names(tmp_path) == ("sprites", "cars3d")


def assert_nothing_is_prepared(data_dir: Path) -> None:
    assert dataset_names(data_dir) == ("sprites",)
    assert [*(data_dir / "cars3d").glob("*")] == []
