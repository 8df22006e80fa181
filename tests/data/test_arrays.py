"""Files of arrays: which are read, under which names, and what is refused."""

import contextlib
import io
import json
import os
import shutil
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxvae.data.arrays import read_array, read_arrays
from jaxvae.data.taps import ArraySpec, write_taps
from tests.files.damage import flip

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
        spaces = {layer: ArraySpec(array.shape, array.dtype) for layer, array in layers.items()}
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
        refused(file, f"{file}: expected numbers or texts, got pickled Python objects")


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
    refused("alone.zarr", r"alone\.zarr.*: expected numbers, got an array packed by pickle")


@pytest.mark.filterwarnings("ignore")  # zarr: not in the specification yet
def test_a_zarr_array_packed_by_a_codec_of_numcodecs_is_read(folder):
    zarr = pytest.importorskip("zarr")
    codecs = pytest.importorskip("zarr.codecs.numcodecs")
    packed = zarr.create_array(
        "packed.zarr", shape=X.shape, dtype=X.dtype, compressors=[codecs.Zlib()]
    )
    packed[:] = X
    np.testing.assert_array_equal(read_array("packed.zarr"), X)


@pytest.mark.filterwarnings("ignore")  # zarr: not in the specification yet
def test_texts_beside_the_numbers_of_a_zarr_group_are_left_alone(store):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("others.zarr", mode="a")
    group.create_array("texts", shape=(2,), dtype="U3")[:] = ["a", "b"]
    assert list(read_arrays(["others.zarr"])) == ["a", "b", "inner/c"]


def test_a_zarr_group_of_others_may_list_layers_that_are_no_arrays(store):
    zarr = pytest.importorskip("zarr")
    for layers in (["dense", "output"], "ab", [1, 2], [["a"]]):
        zarr.open_group("others.zarr", mode="a").attrs["layers"] = layers
        assert list(read_arrays(["others.zarr"])) == ["a", "b", "inner/c"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("pipe", "inner/.zattrs"), ("pipe", "a/0.0"), ("device", "a/c/0/0"), ("link", "inner/again")],
)
def test_what_has_no_end_inside_of_a_zarr_store_is_refused(store, kind, name):
    place = store / "others.zarr" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else store / "others.zarr")
    refused("others.zarr", f"others.zarr/{name}: expected a regular file, got something else")


def test_a_zarr_store_that_is_itself_a_link_is_read(store):
    (store / "linked.zarr").symlink_to(store / "others.zarr")
    assert list(read_arrays(["linked.zarr"])) == ["a", "b", "inner/c"]


def test_a_zarr_array_of_too_many_chunks_is_refused(folder):
    zarr = pytest.importorskip("zarr")
    for number in (2, 3):
        zarr.open_array(
            f"fine{number}.zarr", mode="w", shape=(30_000, 10_000), chunks=(1, 1), dtype="u1",
            zarr_format=number,
        )  # fmt: skip
    zarr.create_array(
        "fine4.zarr", shape=(30_000, 10_000), shards=(30_000, 10_000), chunks=(1, 1), dtype="u1"
    )
    for number in (2, 3, 4):
        refused(f"fine{number}.zarr", "expected at most 1,000,000 chunks, got 300,000,000")


# --- what NumPy's files lose ------------------------------------------------------------


def test_the_objects_of_an_archive_are_named_and_how_to_choose_the_others(folder):
    np.savez("mixed.npz", mean=X, meta=np.array({"a": 1}, object), sample=X)
    message = r"Python objects in meta; choose the others with mixed\.npz:mean,sample"
    refused("mixed.npz", f"mixed\\.npz: expected numbers or texts, got pickled {message}")
    assert list(read_arrays(["mixed.npz:mean,sample"])) == ["mean", "sample"]


def test_a_file_of_float8_is_named(folder):
    np.save("float8.npy", X.astype(ml_dtypes.float8_e5m2))
    refused("float8.npy", r"float8\.npy: expected real numbers, got .*float8; save it as float32")


def test_the_home_folder_has_a_name(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "other"))
    np.testing.assert_array_equal(read_array("~/pixels.npy"), X + 2)
    np.testing.assert_array_equal(read_array("~/layers.npz:mean"), X + 3)
    refused("~nobody-of-this-name/pixels.npy", "found none")


# --- hostile files --------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda p: p.symlink_to("/dev/zero"), os.mkfifo], ids=["device", "pipe"]
)
@pytest.mark.parametrize(
    "place", ["x.npy", "x.npz", "taps/output.npy", "taps.zarr/output/zarr.json"]
)
def test_what_has_no_end_is_refused_wherever_it_lies(folder, make, place):
    (folder / place).unlink(missing_ok=True)
    make(folder / place)
    refused(place.partition("/")[0], "expected a regular file, got something else")


def test_devices_themselves_are_refused():
    refused("/dev/zero", "/dev/zero: expected a regular file, got something else")


def header(shape, descr="'<f8'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def in_archive(content, size=None):
    """An archive whose member x has this content and claims this size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
        archive.filelist[0].file_size = size or len(content)
    return file.getvalue()


def encrypted(content):
    packed = bytearray(in_archive(content))
    for name, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(name) + offset] |= 1
    return bytes(packed)


def garbage(packed):
    at = packed.index(b"x.npy") + 15
    return packed[:at] + b"\xff" * 9 + packed[at + 9 :]


HOSTILE = {
    "negative": header("(-5, 2)") + bytes(80),
    "endless": header("(1000000, 1000000)"),
    "beyond": header("(10000000000000000000000, 5)"),
    "nested": header("(" * 5000 + ")" * 5000),
    "no shape": header("'x'"),
    "code": header("__import__('os')"),
    "objects": header("(2,)", "'|O'") + bytes(16),
    "fields": header("(2,)", "[('a', '|O')]") + bytes(16),
    "cut": header("(5, 2)")[:12],
    "version": b"\x93NUMPY\x09\x09" + bytes(50),
    "packed endless": in_archive(header("(1000000, 1000000)")),
    "packed and cut": in_archive(header("(5, 2)") + bytes(80))[:90],
    "packed garbage": garbage(in_archive(header("(5, 2)") + bytes(80))),
    "claims": in_archive(header("(500000000, 1)"), size=2**32 - 2),
    "encrypted": encrypted(header("(5, 2)") + bytes(80)),
    "method": in_archive(header("(5, 2)")).replace(b"\x08\x00", b"\x63\x00"),
    "empty archive": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_that_names_it(folder, kind):
    (folder / "hostile").write_bytes(HOSTILE[kind])
    with pytest.raises(ValueError, match=r"^hostile") as caught:
        read_arrays(["hostile"])
    assert "\n" not in str(caught.value)


class RefusalError(Exception):
    pass


@contextlib.contextmanager
def named_refusals(name):
    try:
        yield
    except ValueError as error:
        raise RefusalError if str(error).startswith(name) else error from error


def test_mutants_are_read_or_refused_by_name(folder):
    random = np.random.default_rng(0)
    np.savez_compressed("packed.npz", mean=X, other=X)
    for name in ("pixels.npy", "layers.npz", "packed.npz"):
        whole = (folder / name).read_bytes()
        for _ in range(150):
            mutant = bytearray(whole)
            for at in random.integers(len(mutant), size=random.integers(1, 4)):
                mutant[at] = random.integers(256)
            (folder / "mutant").write_bytes(mutant[: random.integers(1, 2 * len(mutant))])
            # Anything else that is raised fails the test.
            with contextlib.suppress(RefusalError), named_refusals("mutant"):
                read_arrays(["mutant"])


def test_an_archive_of_more_than_the_memory_is_refused_before_it_is_read(folder):
    start = header("(1000000000000, 4)", "'<f8'")
    (folder / "large.npz").write_bytes(in_archive(start, size=len(start) + 32 * 10**12))
    refused(
        "large.npz",
        r"expected at most .* GiB, which is the memory available, for what .* large.npz:x",
    )


def test_a_zarr_store_of_more_than_the_memory_is_refused_by_its_name(folder):
    zarr = pytest.importorskip("zarr")
    zarr.create_array("large.zarr", shape=(10**9, 10**6), chunks=(10**9, 10**6), dtype="f8")
    refused("large.zarr", r"expected at most .* GiB, .* to read large\.zarr:large, got 7,450,580")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (3, "expected real numbers, got an array with named fields"),
        (7, r"expected a \.npy file of version 1 to 3, got version 7\.0, or damage"),
    ],
)
def test_a_version_that_is_not_read_is_named(folder, version, message):
    (folder / "x.npy").write_bytes(b"\x93NUMPY" + bytes([version, 0]) + header((2,))[8:])
    refused("x.npy", f"x.npy: {message}")


@pytest.mark.parametrize("size", [6, 7, 9, 30])
def test_a_torn_header_is_called_damage(folder, size):
    (folder / "x.npy").write_bytes((folder / "pixels.npy").read_bytes()[:size])
    refused("x.npy", r"x\.npy: expected a whole array, got damage: its header is torn")


def test_arrays_of_other_points_are_refused_before_they_are_read(folder):
    np.save("short.npy", X[:3])
    with pytest.raises(ValueError, match="in every space, got pixels 6, short 3"):
        read_arrays(["pixels.npy", "short.npy"])


def change(file, **changed):
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"zarr_format": 2},
        {"node_type": "group"},
        {"codecs": [{"name": "numcodecs.pickle"}]},
        {"codecs": [{"name": "bytes"}, {"name": "my_package:codec"}]},
        {"data_type": "variable_length_utf8"},
        {"data_type": {"name": "struct"}},
        {"shape": [10**12, 2]},
        {"shape": [-6, 2]},
        {"shape": None},
        {"chunk_grid": {"name": "other", "configuration": {"chunk_shape": [6, 2]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 0]}}},
        {"storage_transformers": [{"name": "run"}]},
    ],
    ids=str,
)
def test_a_group_that_asks_for_more_than_packed_numbers_is_refused(folder, changed):
    change(folder / "taps.zarr" / "output" / "zarr.json", **changed)
    refused("taps.zarr", r"taps.zarr.*output/zarr\.json: expected ")


def test_an_array_of_another_format_inside_of_a_group_is_not_opened(folder):
    shutil.rmtree("taps.zarr/output")
    zarr = pytest.importorskip("zarr")
    zarr.open_array("taps.zarr/output", mode="w", shape=(6, 2), dtype="f8", zarr_format=2)[:] = 1
    group = folder / "taps.zarr" / "zarr.json"
    metadata = json.loads((folder / "taps.zarr/output/.zarray").read_text())
    inside = {"kind": "inline", "must_understand": False, "metadata": {"output": metadata}}
    change(group, consolidated_metadata=inside)
    refused("taps.zarr", r"output/zarr\.json: expected the metadata|expected a regular file")


def test_a_flipped_bit_and_a_lost_chunk_of_a_group_are_found(folder):
    chunk = next(path for path in (folder / "taps.zarr/output/c").rglob("*") if path.is_file())
    flip(chunk)
    refused("taps.zarr:output", "taps.zarr:output: .*checksum")
    chunk.unlink()
    refused("taps.zarr:output", "output/zarr.json: expected 1 whole chunks, found 0")


@pytest.mark.parametrize(
    "part", ["taps.zarr", "taps.zarr:output", "taps.zarr/output", "taps.zarr/decoder"]
)
def test_a_lost_chunk_is_found_however_a_capture_is_reached(folder, part):
    for layer in ("output", "decoder/1"):
        shutil.rmtree(folder / "taps.zarr" / layer / "c")
    refused(part, r"zarr\.json: expected 1 whole chunks, found 0")


def test_a_layer_of_a_capture_is_read_alone(folder):
    np.testing.assert_array_equal(read_array("taps.zarr/output"), X + 6)
    np.testing.assert_array_equal(read_array("taps.zarr/decoder"), X + 5)


def test_chunks_under_other_names_are_lost(folder):
    change(folder / "taps.zarr/output/zarr.json", chunk_key_encoding={"name": "v2"})
    refused("taps.zarr", r"output/zarr\.json: expected chunks named like c/0/0")
