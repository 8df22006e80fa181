"""The one door: what users bring -> arrays of real numbers, points and classes.

Nothing is copied that need not be: an array of NumPy or JAX passes as it is, also while a
function of it is traced, and one on disk stays there (`refuse_other_points`).
"""

import numbers
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec, reshard
from jaxtyping import Float, Int

from jaxvae.typing import ArrayLike, EitherArray

# How the sparse matrices of SciPy and others, of JAX and of TensorFlow count their entries.
_SPARSE = ("nnz", "nse", "dense_shape")
_DENSE = ("toarray", "to_dense", "todense")
_REMEDIES = {
    "O": "; give the columns that hold numbers, or x.astype(float) if all of them do",
    "c": "; stack x.real and x.imag",
    "M": "; x.astype('int64') counts its units from 1970",
    "m": "; x.astype('int64') counts its units",
}


def as_array(given: Any) -> ArrayLike:
    """An array of real numbers of any shape, NumPy's or JAX's.

    Anything with `__array__`, `__dlpack__` or `__jax_array__` is taken, and Python's numbers
    and lists of them.

    Raises:
        ValueError: for masked, sparse, structured and object arrays, complex numbers, dates,
            texts, and what is no array at all.
    """
    is_python = isinstance(given, numbers.Real | list | tuple)
    array = _array_of(np.asarray(given) if is_python else given)
    if array.dtype == object and not isinstance(given, np.ndarray):
        array = _numbers_of(array)
    _refuse_other_numbers(array)
    if isinstance(array, jax.Array):
        return array
    # bfloat16 and its like, with which NumPy calculates only in part: float32 holds them all.
    of_a_package = array.dtype.isbuiltin == 2
    return np.asarray(array, np.float32 if of_a_package else array.dtype.newbyteorder("="))


def refuse_no_key(given: Any) -> None:
    """Refuse what is not one key of `jax.random`, of its new type or its old one.

    Raises:
        ValueError: for a seed, several keys, a generator of NumPy, or anything else.
    """
    dtype, shape = getattr(given, "dtype", None), getattr(given, "shape", ())
    is_typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if shape == () if is_typed else dtype == np.uint32 and len(shape) == 1:
        return
    got = repr(given) if dtype is None else f"an array of {dtype} of shape {shape}"
    raise ValueError(f"expected one key, such as jax.random.key(0), got {got}")


def as_float64(given: Any) -> Float[np.ndarray, "..."]:
    """Numbers of any shape, of known values, on the host in float64; refused as in `as_array`."""
    return np.asarray(as_array(given), np.float64)


def as_point_array(given: Any) -> ArrayLike:
    """An array `[n, ...]` of real numbers, with at least one point and one feature.

    Raises:
        ValueError: as `as_array`, and for lists and other shapes.
    """
    if isinstance(given, list | tuple):
        raise ValueError(f"expected an array [n, ...], got {_kind(given)}; write np.asarray(x)")
    array = as_array(given)
    refuse_other_points(array)
    return array


def refuse_other_points(array: Any) -> None:
    """Refuse what is no `[n, ...]` of real numbers, by shape and type; nothing is read.

    Raises:
        ValueError: says what was expected and what came.
    """
    refuse_by_name(array)
    _refuse_other_numbers(array)
    if len(array.shape) < 2:
        raise ValueError(
            f"expected an array [n, ...] of points with features, got shape {array.shape}; "
            "write x[:, None] for n scalars"
        )
    if 0 in array.shape:
        raise ValueError(
            "expected an array [n, ...] of at least one point and one feature, "
            f"got shape {array.shape}"
        )


def as_row_array(given: Any) -> EitherArray:
    """An array whose rows are points, or the labels of points: of any type."""
    if not isinstance(given, list | tuple):
        array = _array_of(given)
        if len(array.shape) == 0:
            raise ValueError(f"expected an array [n, ...], got shape {array.shape}")
        if len(array.shape) > 1 and array.dtype == object and not isinstance(given, np.ndarray):
            # A column alone may be of labels, which keep their types.
            return _numbers_of(array)
        return array
    # Element by element: NumPy would make an axis of a label that is a tuple.
    rows = np.empty(len(given), object)
    for index, row in enumerate(given):
        rows[index] = row
    return rows


def as_classes(labels: Any, n: int) -> Int[EitherArray, " n"]:
    """Labels as whole numbers from 0, equal ones as the same number.

    Args:
        labels: `[n]` of any hashable type: numbers, texts, dates, tuples; an array, a list, or
            a column of a table, also categorical or nullable. While a function is traced,
            integers or booleans, which stay as they are.
        n: how many there are to be.

    Raises:
        ValueError: for missing labels (None, NaN, NA, also within tuples), labels that have no
            hash, keys of random numbers, and what is not `[n]`.
    """
    array = as_row_array(labels)
    if array.shape != (n,):
        raise ValueError(f"expected labels [n = {n}], got shape {array.shape}")
    if isinstance(array, jax.core.Tracer):
        if not (jnp.issubdtype(array.dtype, np.integer) or array.dtype == bool):
            raise ValueError(
                f"expected integer labels [n = {n}], got {array.dtype} while a function is traced"
            )
        return array
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.extended):
        raise ValueError(f"expected labels [n = {n}], got keys of random numbers, {array.dtype}")
    array = np.asarray(array)
    if array.dtype.kind in "biuSU":
        return np.unique(array, return_inverse=True)[1].astype(np.int32)
    classes: dict[Hashable, int] = {}
    return np.fromiter(
        (classes.setdefault(label, len(classes)) for label in _hashable(array)),
        np.int32,
        len(array),
    )


def refuse_by_name(given: Any) -> None:
    """Refuse what would give other numbers than its own, or none, as an array.

    Raises:
        ValueError: for masked and sparse arrays.
    """
    if isinstance(given, np.ma.MaskedArray):
        raise ValueError(
            "expected an array without a mask, got a masked array; fill it (x.filled(value)) or "
            "drop the rows with masked entries"
        )
    kind = type(given)
    if any(hasattr(kind, name) for name in _SPARSE) or (
        hasattr(kind, "to_sparse") and "sparse" in str(given.layout)
    ):
        dense = next((name for name in _DENSE if hasattr(kind, name)), "toarray")
        raise ValueError(
            f"expected a dense array, got a sparse one, {_kind(given)}; write x.{dense}()"
        )


def _whole(array: EitherArray) -> EitherArray:
    """An array on every device of its mesh, where its type says how it is spread over them.

    JAX asks of every operation on such an array where the result is to be, also while a function
    is traced; what is spread without its type saying so stays where it is.
    """
    if not is_spread(array):
        return array
    mesh = jax.typeof(array).sharding.mesh
    return reshard(array, NamedSharding(mesh, PartitionSpec(*[None] * array.ndim)))


def is_spread(array: Any) -> bool:
    """Whether the type of an array says that it is spread over devices (explicit sharding)."""
    if not isinstance(array, jax.Array):
        return False
    sharding = jax.typeof(array).sharding
    return AxisType.Explicit in sharding.mesh.axis_types and any(sharding.spec)


def _array_of(given: Any) -> EitherArray:
    """An array of any type, NumPy's or JAX's."""
    refuse_by_name(given)
    if isinstance(given, jax.Array):
        return _whole(given)
    if hasattr(given, "__jax_array__"):
        return _whole(given.__jax_array__())
    # A tensor of PyTorch that has a gradient gives its numbers only without.
    plain = given.detach() if hasattr(type(given), "detach") else given
    reasons = []
    for protocol, read in _READERS:
        if hasattr(given, protocol):
            try:
                array = read(plain)
            except (TypeError, ValueError, RuntimeError, BufferError) as error:
                reasons.append(str(error))
                continue
            refuse_by_name(array)
            return array if isinstance(array, jax.Array) else np.asarray(array)
    reason = f" ({reasons[0]})" if reasons else ""
    raise ValueError(
        f"expected an array [n, ...], got {_kind(given)}{reason}; "
        "what has __array__ or __dlpack__ is taken"
    )


# First as NumPy's, which keeps 64 bits; bfloat16, and memory of a GPU, are known to JAX alone.
_READERS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("__array__", np.asanyarray),
    ("__dlpack__", np.from_dlpack),
    ("__dlpack__", jnp.from_dlpack),
)


def _numbers_of(objects: np.ndarray) -> np.ndarray:
    """The numbers of a table whose columns differ in type, or lack some: NaN where missing."""
    entries = [np.nan if _is_missing(entry) else entry for entry in objects.flat]
    if not all(isinstance(entry, numbers.Real | np.bool_) for entry in entries):
        return objects
    return np.array(entries).reshape(objects.shape)


def _refuse_other_numbers(array: Any) -> None:
    dtype, kind = array.dtype, getattr(array.dtype, "kind", "")  # a random key has none
    if getattr(dtype, "names", None):
        raise ValueError(
            f"expected real numbers, got a structured array of {', '.join(dtype.names)}; "
            "np.stack([x[name] for name in x.dtype.names], axis=1) makes columns of its fields"
        )
    if jnp.issubdtype(dtype, np.number) or kind == "b":
        if kind not in ("c", "m"):
            return
    elif kind == "V":
        likely = {1: "float8", 2: "bfloat16"}.get(dtype.itemsize, "a type of another package")
        raise ValueError(
            f"expected real numbers, got {dtype}, bytes without a type: probably {likely}, which "
            "NumPy's files do not keep; save it as float32"
        )
    raise ValueError(f"expected real numbers, got {dtype}{_REMEDIES.get(kind, '')}")


def _hashable(labels: np.ndarray) -> Iterator[Hashable]:
    for row, label in enumerate(labels.tolist() if labels.dtype.names else labels):
        if _lacks(label):
            raise ValueError(
                f"expected labels without missing values, got {label} in row {row}; drop such "
                "points, or give them a label of their own"
            )
        try:
            hash(label)
        except TypeError as error:
            raise ValueError(
                f"expected labels that can be hashed, got {_kind(label)} in row {row}"
            ) from error
        yield label


def _lacks(label: Any) -> bool:
    """Whether a label, or a part of a tuple, is missing."""
    return any(map(_lacks, label)) if isinstance(label, tuple) else _is_missing(label)


def _is_missing(label: Any) -> bool:
    """None, and what does not equal itself: NaN, NaT, NA."""
    try:
        return label is None or bool(label != label)  # noqa: PLR0124
    except (TypeError, ArithmeticError):  # NA is neither equal nor not; Decimal's sNaN raises
        return True
    except ValueError:  # an array has no single truth, and no hash
        return False


def _kind(given: Any) -> str:
    kind = type(given)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
