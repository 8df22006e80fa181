"""Cars3D as a TensorFlow Datasets set, from the published archive, without TensorFlow.

17,568 renderings (Reed, Zhang, Zhang and Lee 2015, "Deep Visual Analogy-Making"): 183 cars,
each seen from 24 azimuths and 4 elevations, every combination once. TFDS has no such set.
Here is its builder, and what prepares it in TFDS's own format, for `jaxvae data cars3d --prepare`.

The archive holds a Matlab file `data/cars/car_XXX_mesh.mat` for every car, whose array `im`
is uint8 `[128, 128, 3, 24, 4]`: height, width, channel, azimuth, elevation. As is usual for
this set since Locatello et al. (2019), images are shrunk to 64 by 64 by Pillow's Lanczos
filter, which is antialiased.
"""

import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from fnmatch import fnmatch
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from jaxvae.data.prepared import CARS3D_URL, data_directory, find_prepared, manual_directory
from jaxvae.data.reading import reading
from jaxvae.data.tfds import quiet_library

FACTOR_SIZES: dict[str, int] = {"elevation": 4, "azimuth": 24, "object": 183}
"""Number of levels of every factor."""

IMAGE_SIZE = 64
"""Side of the prepared images in pixels."""

ARCHIVE = Path(CARS3D_URL).name
"""The name of the published archive."""

_MD5 = "4e866a7919c1beedf53964e6f7a23686"  # as two public loaders state it
_FOLDER = PurePosixPath("data/cars")
_SHAPE = (128, 128, 3, 24, 4)
_DAMAGED = (tarfile.ReadError, BadGzipFile, zlib.error, EOFError)
_CITATION = """@inproceedings{reed2015deep,
  title={Deep Visual Analogy-Making},
  author={Reed, Scott and Zhang, Yi and Zhang, Yuting and Lee, Honglak},
  booktitle={Advances in Neural Information Processing Systems},
  pages={1252--1260},
  year={2015}
}"""

# The base class is needed at once; only what prepares the set imports this module.
with quiet_library() as tfds:
    pass


class Cars3d(tfds.core.GeneratorBasedBuilder):  # type: ignore[name-defined]
    """The TFDS builder of `cars3d`: one split, `train`, of PNG images and three factors.

    `label_object` numbers the cars by the name of their file; `label_azimuth` and
    `label_elevation` are places along the axes of `im`.

    Args:
        report: called after every car with how many more are done, which is 1.
        **options: as for every TFDS builder: `data_dir`, `file_format`.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Put {CARS3D_URL} as it is into the manual directory."
    # Nothing is downloaded. Looking for checksums would import `importlib_resources`.
    url_infos = None

    def __init__(self, *, report: Callable[[int], None] | None = None, **options: Any):
        super().__init__(**options)
        self._report = report or (lambda more: None)

    def _info(self) -> Any:
        levels = {
            f"label_{name}": tfds.features.ClassLabel(num_classes=size)
            for name, size in FACTOR_SIZES.items()
        }
        image = tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description="Renderings of 183 cars from 24 azimuths and 4 elevations.",
            features=tfds.features.FeaturesDict({"image": image, **levels}),
            homepage=CARS3D_URL,
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(Path(dl_manager.manual_dir) / ARCHIVE)}

    def _generate_examples(self, archive: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        with _open_archive(archive) as tar:
            cars = _cars(tar, archive)
            numbers = {name: number for number, name in enumerate(sorted(cars))}
            # In the order of the archive: a compressed file is slow to read backwards.
            for name, member in cars.items():
                views = _views(_content(tar, member), name)
                for azimuth, elevation in np.ndindex(views.shape[:2]):
                    yield (
                        f"{name}-{azimuth}-{elevation}",
                        {
                            "image": _small_png(views[azimuth, elevation]),
                            "label_elevation": elevation,
                            "label_azimuth": azimuth,
                            "label_object": numbers[name],
                        },
                    )
                self._report(1)


def prepare_cars3d(
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Prepare `cars3d` from the published archive, once; about a minute.

    The set is written beside its place and renamed when it is whole. One that is there
    already is left as it is. On a terminal a bar shows how far it is.

    Args:
        manual_dir: where `nips2015-analogy-data.tar.gz` lies; None for
            `data_dir/downloads/manual`, as in TFDS.
        data_dir: where to prepare the set; None for `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        The directory of the prepared set.

    Raises:
        ValueError: if the archive is not there, is damaged, or is not the published one:
            if it holds no cars, other cars than it lists, or one of another shape.
        OSError: if the set cannot be written.
    """
    directory = data_directory(data_dir)
    manual = Path(manual_dir).expanduser() if manual_dir else manual_directory(directory)
    prepared = find_prepared(f"cars3d:{Cars3d.VERSION}", directory)
    if prepared is not None:
        return prepared.directory
    if not (manual / ARCHIVE).is_file():
        raise ValueError(
            f"expected the archive {manual / ARCHIVE}, got none; download it from\n"
            f"  {CARS3D_URL}\nand put it there as it is (MD5 {_MD5})"
        )
    count = FACTOR_SIZES["object"]
    with quiet_library(), reading("cars3d", count, what="preparing") as report, _no_bars():
        builder = Cars3d(data_dir=directory, file_format="array_record", report=report)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual)
        )
    return Path(builder.data_dir)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without what TFDS prints."""
    tfds.disable_progress_bar()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


@contextmanager
def _open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:gz") as tar:
            yield tar
    except _DAMAGED as error:
        raise ValueError(
            f"expected the published archive {path} (MD5 {_MD5}), got a damaged file: "
            f"{error}; download it again from {CARS3D_URL}"
        ) from error


def _cars(tar: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    """The Matlab file of every car by its name, checked against the list beside them."""
    cars, listed = {}, None
    for member in tar:
        member_path = PurePosixPath(member.name)
        if member_path == _FOLDER / "list.txt":
            listed = set(_content(tar, member).decode().split())
        elif member_path.parent == _FOLDER and fnmatch(member_path.name, "car_*.mat"):
            cars[member_path.stem] = member
    if not cars:
        raise ValueError(f"expected {_FOLDER}/car_001_mesh.mat and others in {path}, got none")
    if listed is not None and listed != set(cars):
        raise ValueError(
            f"expected in {path} the {len(listed)} cars of its {_FOLDER}/list.txt, "
            f"got {len(cars)}; missing or not listed: {', '.join(sorted(listed ^ set(cars)))}"
        )
    return cars


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"expected a file {member.name}, got a folder or a device")
    return file.read()


def _views(content: bytes, name: str) -> np.ndarray:
    """The images of one car by azimuth and elevation, uint8 `[24, 4, 128, 128, 3]`."""
    from scipy.io import loadmat  # noqa: PLC0415

    try:
        images = loadmat(io.BytesIO(content), variable_names=["im"]).get("im", np.empty(0))
    except Exception as error:  # on damaged files SciPy raises a dozen kinds
        raise ValueError(f"expected a Matlab 5 file {name}.mat, got {error}") from error
    if images.shape != _SHAPE or images.dtype != np.uint8:
        raise ValueError(
            f"expected an array im of uint8 {list(_SHAPE)} in {name}.mat, "
            f"got {images.dtype} {list(images.shape)}"
        )
    return images.transpose(3, 4, 0, 1, 2)


def _small_png(pixels: np.ndarray) -> io.BytesIO:
    """A PNG file of 64 by 64 pixels; to encode an array, TFDS would need TensorFlow."""
    size = (IMAGE_SIZE, IMAGE_SIZE)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS).save(file, "png")
    file.seek(0)
    return file
