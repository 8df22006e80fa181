"""Layers on disk are those written, whole, and nothing else is touched."""

import json
import subprocess
import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from jaxvae.data.taps import ArraySpec, open_taps, write_taps

RANDOM = np.random.default_rng(0)
LAYERS = {
    "input": RANDOM.integers(0, 256, (23, 4, 4, 1), np.uint8),
    "encoder/1": RANDOM.standard_normal((23, 7)).astype(np.float32),
    "encoder/10": RANDOM.standard_normal((23, 2, 2)),
    "decoder/1": RANDOM.standard_normal((23, 1)).astype(np.float16),
}
KINDS = pytest.mark.parametrize("name", ["taps", "taps.zarr"])


def spaces(layers):
    return {name: ArraySpec(array.shape, array.dtype) for name, array in layers.items()}


def write(path, layers, rows=10):
    with write_taps(path, spaces(layers)) as append:
        for start in range(0, 23, rows):
            append({name: array[start : start + rows] for name, array in layers.items()})


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@KINDS
@pytest.mark.parametrize("rows", [1, 10, 23, 100])
def test_layers_come_back_in_order_bit_for_bit(tmp_path, name, rows):
    write(tmp_path / "new" / "deep" / name, LAYERS, rows)
    taps = open_taps(str(tmp_path / "new" / "deep" / name))
    assert list(taps) == list(LAYERS)
    for layer, array in LAYERS.items():
        assert (taps[layer].shape, taps[layer].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(taps[layer][:], array)
    assert names(tmp_path / "new" / "deep")[0] == name  # and nothing hidden beside it


def test_a_folder_holds_plain_arrays_that_are_mapped(tmp_path):
    write(tmp_path / "taps", LAYERS)
    assert names(tmp_path / "taps") == [
        "decoder", "decoder/1.npy", "encoder", "encoder/1.npy", "encoder/10.npy", "input.npy",
        "taps.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "taps" / "taps.json").read_text()) == {"layers": list(LAYERS)}
    assert isinstance(open_taps(tmp_path / "taps")["encoder/1"], np.memmap)
    np.testing.assert_array_equal(
        np.load(tmp_path / "taps" / "encoder" / "1.npy"), LAYERS["encoder/1"]
    )


def test_chunks_are_whole_rows_and_a_power_of_two_of_them(tmp_path):
    layers = {
        "narrow": np.zeros((3000, 10), np.float32),
        "wide": np.zeros((3000, 28, 28, 1), np.float32),
        "enormous": np.zeros((3, 1 << 21), np.float32),
    }
    chunks = {}
    for name, array in layers.items():
        place = tmp_path / f"{name}.zarr"
        with write_taps(place, {name: ArraySpec(array.shape, array.dtype)}) as append:
            append({name: array})
        chunks[name] = open_taps(place)[name].chunks
    assert chunks == {
        "narrow": (3000, 10),
        "wide": (1024, 28, 28, 1),
        "enormous": (1, 1 << 21),
    }


@KINDS
def test_rows_that_fill_chunks_in_parts_arrive(tmp_path, name):
    array = np.arange(3000 * 784, dtype=np.float32).reshape(3000, 784)
    with write_taps(tmp_path / name, {"x": ArraySpec(array.shape, array.dtype)}) as append:
        for start in range(0, 3000, 700):
            append({"x": array[start : start + 700]})
    np.testing.assert_array_equal(open_taps(tmp_path / name)["x"][:], array)


@KINDS
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path, name):
    rows = np.ones((500, 5000), np.float32)  # 10 MB; 200 MB in all
    write(tmp_path / name, LAYERS)  # what is imported on first use does not count
    tracemalloc.start()
    with write_taps(
        tmp_path / "large" / name, {"x": ArraySpec((10_000, 5000), rows.dtype)}
    ) as append:
        for _ in range(20):
            append({"x": rows})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e7


@KINDS
def test_bfloat16_is_kept_as_float32(tmp_path, name):
    array = np.arange(6, dtype=ml_dtypes.bfloat16).reshape(3, 2) / 3
    with write_taps(tmp_path / name, spaces({"x": array})) as append:
        append({"x": array})
    stored = open_taps(tmp_path / name)["x"][:]
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, array.astype(np.float32))


# --- whole or absent ------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_capture_leaves_nothing(tmp_path, name, error):
    def interrupted():
        with write_taps(tmp_path / "new" / name, spaces(LAYERS)) as append:
            append({layer: array[:5] for layer, array in LAYERS.items()})
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


@KINDS
def test_an_earlier_capture_stays_until_the_new_one_is_whole(tmp_path, name):
    write(tmp_path / name, LAYERS)
    other = {"mean": np.ones((23, 3), np.float32)}
    with pytest.raises(KeyboardInterrupt), write_taps(tmp_path / name, spaces(other)):
        raise KeyboardInterrupt
    assert list(open_taps(tmp_path / name)) == list(LAYERS)
    write(tmp_path / name, other)
    assert list(open_taps(tmp_path / name)) == ["mean"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@KINDS
@pytest.mark.parametrize("count", [5, 24])
def test_rows_other_than_announced_are_no_capture(tmp_path, name, count):
    array = np.ones((24, 2), np.float32)
    with (
        pytest.raises(ValueError, match=f"x: expected 23 rows in all, got {count}"),
        write_taps(tmp_path / name, {"x": ArraySpec((23, 2), array.dtype)}) as append,
    ):
        append({"x": array[:count]})
    assert names(tmp_path) == []


@KINDS
@pytest.mark.parametrize("kind", ["file", "folder", "other json", "labels beside layers"])
def test_what_is_no_capture_is_not_replaced(tmp_path, name, kind):
    place = tmp_path / name
    if kind == "file":
        place.write_text("mine")
    elif kind == "labels beside layers":
        write(place, LAYERS)
        np.save(place / "labels.npy", np.arange(23))
    else:
        place.mkdir()
        (place / ("taps.json" if kind == "other json" else "notes.txt")).write_text("{}")
    before = names(tmp_path)
    with pytest.raises(FileExistsError, match="expected"):
        write(place, LAYERS)
    assert names(tmp_path) == before


@KINDS
def test_an_empty_folder_is_filled(tmp_path, name):
    (tmp_path / name).mkdir()
    write(tmp_path / name, LAYERS)
    assert list(open_taps(tmp_path / name)) == list(LAYERS)


def test_other_users_may_read_a_capture(tmp_path):
    (tmp_path / "plain").mkdir()
    write(tmp_path / "taps", LAYERS)
    assert (tmp_path / "taps").stat().st_mode == (tmp_path / "plain").stat().st_mode


# --- refusals -------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("layer", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "zarr.json"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name, layer):
    with pytest.raises(ValueError, match="expected layers named like encoder/1, got "):
        write(tmp_path / name, {layer: LAYERS["input"]})
    assert names(tmp_path) == []


def test_what_holds_no_layers_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected captured layers in .*found nothing"):
        open_taps(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"expected captured layers in .*taps\.json or a zarr"):
        open_taps(tmp_path)
    for name, text in {"taps.json": '["input"', "zarr.json": '{"node_type": "group"}'}.items():
        place = tmp_path / name.partition(".")[0]
        place.mkdir()
        (place / name).write_text(text)
        with pytest.raises(ValueError, match=f"{name}: expected a list of layers, found none"):
            open_taps(place)


def test_a_torn_layer_is_refused_by_its_file(tmp_path):
    write(tmp_path / "taps", LAYERS)
    file = tmp_path / "taps" / "encoder" / "1.npy"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"encoder/1\.npy: expected a whole array, got damage"):
        open_taps(tmp_path / "taps")


def test_without_zarr_the_folder_works_and_the_group_says_what_to_install(tmp_path):
    code = f"""
import sys
sys.modules["zarr"] = None
import numpy as np
from jaxvae.data.taps import ArraySpec, open_taps, write_taps
for name in ("taps", "taps.zarr"):
    place = {str(tmp_path)!r} + "/" + name
    with write_taps(place, {{"x": ArraySpec((2, 1), np.dtype("f4"))}}) as append:
        append({{"x": np.ones((2, 1), "f4")}})
    print(open_taps(place)["x"].sum())
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert run.stdout == "2.0\n"
    assert "ModuleNotFoundError: expected zarr 3 for a .zarr group, found none" in run.stderr
    assert names(tmp_path) == ["taps", "taps/taps.json", "taps/x.npy"]
