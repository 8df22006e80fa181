"""Files of arrays: which are read, under which names, and what is refused."""

import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxvae.data.arrays import read_array, read_arrays
from jaxvae.data.taps import Space, write_taps

X = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("pixels.npy", X)
    np.savez("layers.npz", **{"mean": X, "hidden/1": X + 1})
    (tmp_path / "other").mkdir()
    np.save("other/pixels.npy", X + 2)
    np.savez("other/layers.npz", mean=X + 3)
    layers = {"mean": X + 4, "decoder/1": X + 5, "output": X + 6}
    for name in ("taps", "taps.zarr"):
        spaces = {layer: Space(array.shape, array.dtype) for layer, array in layers.items()}
        with write_taps(name, spaces) as append:
            append(layers)
    return tmp_path


def test_a_file_is_named_by_its_stem_and_an_archive_by_its_keys_in_order(folder):
    found = read_arrays(["pixels.npy", "layers.npz"])
    assert list(found) == ["pixels", "mean", "hidden/1"]
    assert [source.origin for source in found.values()] == [
        "pixels.npy", "layers.npz:mean", "layers.npz:hidden/1",
    ]  # fmt: skip
    np.testing.assert_array_equal(found["hidden/1"].array, X + 1)


def test_a_file_is_mapped_and_not_read(folder):
    assert isinstance(read_arrays(["pixels.npy"])["pixels"].array, np.memmap)


@pytest.mark.parametrize(
    ("selected", "names"),
    [("hidden/1", ["hidden/1"]), ("hidden/1,mean", ["hidden/1", "mean"])],
)
def test_keys_of_an_archive_are_chosen_in_the_order_given(folder, selected, names):
    assert list(read_arrays([f"layers.npz:{selected}"])) == names


def test_equal_names_become_files_and_equal_files_get_numbers(folder):
    files = ["pixels.npy", "other/pixels.npy", "layers.npz:mean", "other/layers.npz", "layers.npz"]
    assert list(read_arrays(files)) == [
        "pixels.npy", "other/pixels.npy", "layers.npz:mean", "other/layers.npz:mean",
        "layers.npz:mean (2)", "hidden/1",
    ]  # fmt: skip


def test_one_array_is_read_alone(folder):
    np.testing.assert_array_equal(read_array("layers.npz:mean"), X)
    with pytest.raises(ValueError, match="expected one array, got mean, hidden/1; choose one"):
        read_array("layers.npz")


def test_a_file_with_a_colon_in_its_name_is_that_file(folder):
    np.save("a.npz:b.npy", X)
    assert list(read_arrays(["a.npz:b.npy"])) == ["a.npz:b"]


@pytest.mark.parametrize("capture", ["taps", "taps.zarr"])
def test_a_capture_is_its_layers_in_depth_order(folder, capture):
    found = read_arrays([capture])
    assert list(found) == ["mean", "decoder/1", "output"]
    assert found["decoder/1"].origin == f"{capture}:decoder/1"
    assert all(isinstance(source.array, np.ndarray) for source in found.values())
    np.testing.assert_array_equal(found["decoder/1"].array, X + 5)


def test_the_layers_of_a_folder_are_mapped_and_not_read(folder):
    assert isinstance(read_arrays(["taps"])["output"].array, np.memmap)


@pytest.mark.parametrize("capture", ["taps", "taps.zarr", "./taps/"])
def test_layers_of_a_capture_are_chosen_in_the_order_given(folder, capture):
    assert list(read_arrays([f"{capture}:output,decoder/1"])) == ["output", "decoder/1"]
    np.testing.assert_array_equal(read_array(f"{capture}:decoder/1"), X + 5)


def test_a_capture_with_a_colon_in_its_name_is_that_capture(folder):
    (folder / "taps").rename("a:b")
    assert list(read_arrays(["a:b"])) == ["mean", "decoder/1", "output"]
    assert list(read_arrays(["a:b:mean"])) == ["mean"]


# --- refusals -------------------------------------------------------------------------


def refused(file, message):
    with pytest.raises((ValueError, OSError), match=message):
        read_arrays([str(file)])


@pytest.mark.parametrize("file", ["absent.npy", "absent.npz", "absent.npz:key"])
def test_a_file_that_is_not_there_is_refused(folder, file):
    refused(file, r"absent\.np[yz]: expected a \.npy or \.npz file, found none")


def test_another_kind_of_file_is_refused(folder):
    (folder / "text.npy").write_text("1 2 3")
    refused("text.npy", r"text\.npy: expected a \.npy or \.npz file, got something else")
    refused("other", r"other: expected captured layers in other, a folder with taps\.json or")


def test_a_key_that_is_not_there_is_refused_with_those_that_are(folder):
    refused("layers.npz:mena", "layers.npz:mena: expected keys among mean, hidden/1; got mena")
    refused("layers.npz:", "expected keys among mean, hidden/1; got ")


@pytest.mark.parametrize("capture", ["taps", "taps.zarr"])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(folder, capture):
    refused(f"{capture}:men", f"{capture}:men: expected keys among mean, decoder/1, output; got m")
    refused(f"{capture}:", "expected keys among mean, decoder/1, output; got ")


def test_a_zarr_group_without_zarr_is_refused_with_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    refused("taps.zarr", r"taps\.zarr: expected zarr 3 for a \.zarr group, found none: pip install")


def test_an_archive_without_arrays_is_refused(folder):
    np.savez("empty.npz")
    refused("empty.npz", "empty.npz: expected arrays, found none")
    with zipfile.ZipFile("texts.npz", "w") as archive:
        archive.writestr("readme.txt", "words")
    refused("texts.npz", "texts.npz: expected arrays, got a file readme.txt")


def test_pickled_objects_are_refused(folder):
    objects = np.array([[1], ["a"]], object)
    np.save("objects.npy", objects)
    np.savez("objects.npz", objects=objects)
    for file in ("objects.npy", "objects.npz"):
        refused(file, f"{file}: expected real numbers, got pickled Python objects")


def test_a_torn_file_is_refused_by_name(folder):
    whole = (folder / "pixels.npy").read_bytes()
    (folder / "torn.npy").write_bytes(whole[:-20])
    refused("torn.npy", "torn.npy: ")
    whole = (folder / "layers.npz").read_bytes()
    (folder / "torn.npz").write_bytes(whole[: len(whole) // 2])
    refused("torn.npz", r"torn\.npz: ")


# --- zarr stores of others --------------------------------------------------------------


@pytest.fixture(params=[2, 3])
def store(request, folder):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("others.zarr", mode="w", zarr_format=request.param)
    for name, array in {"b": X, "a": X + 1, "inner/c": X + 2}.items():
        group.create_array(name, shape=X.shape, dtype=X.dtype, chunks=(4, 2))[:] = array
    alone = zarr.open_array(
        "alone.zarr", mode="w", shape=X.shape, dtype=X.dtype, zarr_format=request.param
    )
    alone[:] = X + 3
    return folder


def test_a_zarr_group_of_others_is_its_arrays(store):
    found = read_arrays(["others.zarr"])
    assert list(found) == ["a", "b", "inner/c"]
    assert found["inner/c"].origin == "others.zarr:inner/c"
    np.testing.assert_array_equal(found["inner/c"].array, X + 2)


def test_members_of_a_zarr_group_are_chosen(store):
    assert list(read_arrays(["others.zarr:b,inner/c"])) == ["b", "inner/c"]
    np.testing.assert_array_equal(read_array("others.zarr/inner:c"), X + 2)
    refused("others.zarr:d", "expected keys among a, b, inner/c; got d")


def test_a_zarr_array_is_read_alone(store):
    assert list(read_arrays(["alone.zarr"])) == ["alone"]
    np.testing.assert_array_equal(read_array("alone.zarr"), X + 3)


def test_a_zarr_array_that_is_packed_by_pickle_is_refused(store):
    for file in (store / "alone.zarr").glob("*zarr*"):
        described = file.read_text()
        for key in ('"filters": ', '"codecs": '):
            described = described.replace(key, f'{key}[{{"id": "\\u0070ickle"}}], "before": ')
        file.write_text(described)
    refused("alone.zarr", r"alone\.zarr: expected numbers, got an array packed by pickle")


# --- what NumPy's files lose ------------------------------------------------------------


def test_the_objects_of_an_archive_are_named_and_how_to_choose_the_others(folder):
    np.savez("mixed.npz", mean=X, meta=np.array({"a": 1}, object), sample=X)
    message = r"Python objects in meta; choose the others with mixed\.npz:mean,sample"
    refused("mixed.npz", f"mixed\\.npz: expected real numbers, got pickled {message}")
    assert list(read_arrays(["mixed.npz:mean,sample"])) == ["mean", "sample"]


def test_a_file_of_float8_is_named(folder):
    np.save("float8.npy", X.astype(ml_dtypes.float8_e5m2))
    refused("float8.npy", r"float8\.npy: expected real numbers, got .*float8; save it as float32")


def test_the_home_folder_has_a_name(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "other"))
    np.testing.assert_array_equal(read_array("~/pixels.npy"), X + 2)
    np.testing.assert_array_equal(read_array("~/layers.npz:mean"), X + 3)
    refused("~nobody-of-this-name/pixels.npy", "found none")
