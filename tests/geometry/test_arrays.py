"""What users bring: taken as the numbers that it holds, or refused by name."""

from decimal import Decimal

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxvae.files.refusals import as_count
from jaxvae.geometry import nearest_neighbors, squared_distances
from jaxvae.geometry.arrays import as_array, as_classes, as_point_array, as_row_array
from jaxvae.metrics import active_units, debiased_cka, gaussian_null, two_nn
from tests.clouds import gaussian

CLOUD = gaussian(40, 3)
WHOLE = np.random.default_rng(0).integers(0, 100, (40, 3))


class Converts:
    """What has `__array__` alone."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asanyarray(self.values)


class Exports:
    """What has DLPack alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Recorded:
    """A tensor that gives its numbers only without its gradient, as PyTorch's do."""

    def __init__(self, values, layout="torch.strided"):
        self.values = values
        self.layout = layout

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call detach first")

    def detach(self):
        return Converts(self.values)

    def to_dense(self):
        return self

    def to_sparse(self):
        return Recorded(self.values, "torch.sparse_coo")


class Wrapped:
    """A variable of a library of JAX."""

    def __init__(self, values):
        self.values = values

    def __jax_array__(self):
        return jnp.asarray(self.values)


@pytest.mark.parametrize(
    "wrap",
    [
        Converts,
        Exports,
        Recorded,
        Wrapped,
        lambda x: Exports(jnp.asarray(x)),
        np.asfortranarray,
        lambda x: x.astype(">f4"),
        lambda x: x[::-1][::-1],
    ],
)
def test_what_holds_the_same_numbers_has_the_same_neighbors(wrap):
    given, expected = wrap(CLOUD), nearest_neighbors(CLOUD, k=3)
    found = nearest_neighbors(given, k=3)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_short_types_are_taken_as_the_numbers_they_are(name):
    short = CLOUD.astype(getattr(ml_dtypes, name))
    expected = short.astype(np.float32)
    for given in (short, jnp.asarray(short), Exports(jnp.asarray(expected, jnp.bfloat16))):
        np.testing.assert_array_equal(squared_distances(given, given)[0, 0], 0)
        np.testing.assert_array_equal(np.asarray(as_array(given), np.float32), expected)


def test_tables_of_pandas_are_taken_and_missing_values_refused():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(CLOUD.astype(np.float64))
    expected = two_nn(CLOUD.astype(np.float64)).value
    for given in (table, table.astype("Float64"), table.astype({0: "Float64"})):
        assert two_nn(given).value == expected
    lacking = table.astype("Float64")
    lacking.iloc[7, 1] = pandas.NA
    with pytest.raises(ValueError, match="NaN or infinity in row 7"):
        two_nn(lacking)
    with pytest.raises(ValueError, match="expected real numbers, got object; give the columns"):
        two_nn(table.assign(name="a"))


def test_tensors_of_pytorch_are_taken():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(CLOUD)
    for given in (tensor, tensor.clone().requires_grad_()):
        assert two_nn(given).value == two_nn(CLOUD).value
    with pytest.raises(ValueError, match="sparse"):
        two_nn(tensor.to_sparse())


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr"])
def test_sparse_matrices_are_refused_by_name(kind):
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=rf"got a sparse one, .*{kind}.*write x.toarray\(\)"):
        debiased_cka(CLOUD, getattr(sparse, f"{kind}_array")(CLOUD))


def test_sparse_tensors_are_refused_by_name():
    with pytest.raises(ValueError, match=r"got a sparse one, .*Recorded; write x.to_dense\(\)"):
        as_point_array(Recorded(CLOUD).to_sparse())


FIELDS = np.zeros(4, dtype=[("energy", "f4"), ("charge", "i4")])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ma.masked_invalid(CLOUD), r"got a masked array; fill it \(x.filled\(value\)\)"),
        (Converts(np.ma.masked_less(CLOUD, 0)), "got a masked array"),
        (FIELDS, "a structured array of energy, charge; np.stack"),
        (FIELDS.view(np.recarray), "a structured array of energy, charge"),
        (np.zeros((4, 2), object), "expected real numbers, got object"),
        (np.zeros((4, 2), complex), r"got complex128; stack x\.real and x\.imag"),
        (np.zeros((4, 2), "M8[s]"), "got datetime64"),
        (np.zeros((4, 2), "m8[s]"), "got timedelta64"),
        (np.full((4, 2), "1.5"), "expected real numbers, got <U3"),
        (np.zeros((4, 2), "V2"), "probably bfloat16, .* save it as float32"),
        (np.zeros((4, 2), "V1"), "probably float8"),
        (jax.random.split(jax.random.key(0), (4, 2)), "expected real numbers, got key"),
        (CLOUD.tolist(), r"got list; write np\.asarray\(x\)"),
        ({"a": CLOUD}, "got dict; what has __array__ or __dlpack__ is taken"),
        ("cloud.npy", "got str"),
        (None, "got NoneType"),
        (np.float32(3), r"got shape \(\)"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        as_point_array(given)


def test_an_array_of_numpy_or_jax_passes_as_it_is():
    on_device = jnp.asarray(CLOUD)
    assert as_point_array(on_device) is on_device
    assert np.shares_memory(as_point_array(CLOUD), CLOUD)
    assert jax.eval_shape(as_point_array, CLOUD).shape == CLOUD.shape


@pytest.mark.parametrize(
    ("kind", "offset"),
    [
        (np.int64, 1_700_000_000_000_000_001),
        (np.int64, -(2**63)),
        (np.int64, 2**63 - 100),
        (np.uint64, 2**64 - 100),
    ],
)
def test_wide_integers_are_those_of_the_shifted_cloud(kind, offset):
    shifted = (WHOLE.astype(object) + offset).astype(kind)
    key = jax.random.key(0)
    for metric in (
        lambda x: nearest_neighbors(x, k=3).distances,
        lambda x: squared_distances(x, x[:5]),
        lambda x: debiased_cka(x, CLOUD),
        active_units,
        lambda x: gaussian_null(key, lambda y: two_nn(y).value, x, draws=2).values,
    ):
        np.testing.assert_allclose(metric(shifted), metric(WHOLE), rtol=1e-6)


def test_signed_and_unsigned_integers_share_their_center():
    shifted = WHOLE + 2**60
    found = squared_distances(shifted, shifted.astype(np.uint64))
    np.testing.assert_array_equal(found, squared_distances(WHOLE, WHOLE))


def test_integers_over_the_whole_range_keep_their_distances():
    ends = np.array([[-(2**63)], [0], [2**63 - 1]])
    found = nearest_neighbors(ends, k=2).distances
    np.testing.assert_allclose(found, 2.0**63 * np.array([[1, 2], [1, 1], [1, 2]]), rtol=1e-6)


# --- labels ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"]),
        np.array([b"b", b"a", b"b"]),
        [("b", 1), ("a", 1), ("b", 1)],
        np.array([2.5, 1.5, 2.5]),
        np.array([2**60 + 1, 2**60, 2**60 + 1]),
        np.array([True, False, True]),
        np.array(["2001", "2000", "2001"], "M8[Y]"),
        np.array([("b", 1), ("a", 1), ("b", 1)], dtype=[("x", "U1"), ("y", int)]),
        np.array(["b", 1, "b"], object),
        jnp.array([7, 3, 7]),
        Converts(np.array(["b", "a", "b"], object)),
    ],
)
def test_labels_of_any_hashable_type_are_classes(labels):
    first, other, last = as_classes(labels, 3)
    assert first == last != other


def test_columns_of_tables_are_labels():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(["b", "a", "b"])
    codes = pandas.Series([2, 1, 2])
    kinds = [column.astype(kind) for kind in ("object", "category", "string")]
    for labels in (*kinds, codes, codes.astype("Int8")):
        first, other, last = as_classes(labels, 3)
        assert first == last != other
    for lacking in (pandas.array([1, None], "Int64"), pandas.Categorical(["a", None])):
        with pytest.raises(ValueError, match=r"without missing values, got .* in row 1"):
            as_classes(lacking, 2)


@pytest.mark.parametrize(
    "lacking", [("a", np.nan), (1, (2, None)), Decimal("sNaN"), Decimal("NaN")], ids=str
)
def test_labels_that_lack_a_part_are_refused_with_their_row(lacking):
    with pytest.raises(ValueError, match=r"labels without missing values, got .* in row 1"):
        as_classes([("a", 1.0), lacking], 2)


def test_structured_labels_that_lack_a_part_are_refused_with_their_row():
    labels = np.array([(1, 2.0), (1, np.nan)], [("a", int), ("b", float)])
    with pytest.raises(ValueError, match=r"labels without missing values, got .* in row 1"):
        as_classes(labels, 2)


def test_keys_of_random_numbers_are_no_labels():
    with pytest.raises(ValueError, match=r"expected labels \[n = 2\], got keys of random numbers"):
        as_classes(jax.random.split(jax.random.key(0), 2), 2)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", None],
        [1.0, float("nan")],
        np.array([1.0, np.nan]),
        np.array(["a", np.nan], object),
        np.array(["2000-01-01", "NaT"], "M8[ns]"),
    ],
)
def test_missing_labels_are_refused_with_their_row(labels):
    with pytest.raises(ValueError, match=r"labels without missing values, got .* in row 1"):
        as_classes(labels, 2)


def test_labels_that_have_no_hash_are_refused():
    with pytest.raises(ValueError, match="labels that can be hashed, got list in row 0"):
        as_classes([[1], [2]], 2)
    with pytest.raises(ValueError, match="masked"):
        as_classes(np.ma.masked_equal([1, 2], 2), 2)
    with pytest.raises(ValueError, match="got str"):
        as_classes("ab", 2)


def test_rows_of_tuples_stay_labels():
    assert as_row_array([(1, 2), (3, 4), (5, 6)]).shape == (3,)


# --- counts ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [5, np.int8(5), np.uint64(5), np.array(5), jnp.int32(5)])
def test_whole_numbers_of_any_type_are_counts(value):
    count = as_count(value, "no", least=1, most=5)
    assert (type(count), count) == (int, 5)


@pytest.mark.parametrize("value", [True, np.True_, 5.0, np.float32(5), "5", None, 0, 6, [5]])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match="expected 1 to 5"):
        as_count(value, f"expected 1 to 5, got {value}", least=1, most=5)
