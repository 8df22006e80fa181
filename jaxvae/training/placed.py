"""Where the images of training are kept: on every device, split over devices, or on the host."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, UInt8

from jaxvae.training.images import checked_images, on_device
from jaxvae.training.memory import device_memory
from jaxvae.training.mesh import AXIS, everywhere, in_line, put, split
from jaxvae.training.processes import are_several, from_first
from jaxvae.typing import ArrayLike, ImageShape

# Images take at most this share of the memory of a device: the rest is for the model.
_SHARE = 0.5


class PlacedImages(NamedTuple):
    """The images of a training where they are kept.

    Attributes:
        kept: uint8 `[n, h, w, c]`; where they are split, filled up with black images to a
            multiple of the devices.
        n: how many they are.
        storage: one of `STORAGES`.
        mesh: the devices along one axis, or None for the default device.
    """

    kept: Any
    n: int
    storage: str
    mesh: Mesh | None

    @property
    def bytes_each(self) -> int:
        """The bytes of one image."""
        return math.prod(self.kept.shape[1:])


def place_images(
    images: ArrayLike | PlacedImages,
    image_shape: ImageShape | None = None,
    *,
    mesh: Mesh | None = None,
    storage: str | None = None,
) -> PlacedImages:
    """Images at the place where training on these devices takes them from; placed ones stay.

    For several trainings on the same images, and to choose where they are kept: `train` and
    `train_ensemble` take what this gives in place of images, with the same mesh.

    Args:
        images: uint8 `[n, h, w, c]`, which may be memory-mapped.
        image_shape: `(h, w, c)` of the model, or None where it does not say.
        mesh: devices that share the training; None for the default device.
        storage: `everywhere`, on every device; `split`, a part of them on each device of
            the mesh, which collect every batch from each other; or `host`, where they are,
            from where batches follow each other to the devices. None for the first of them
            for which the memory suffices: half of that of a device, half of that of all.

    Raises:
        ValueError: for images that are no bytes of 0 to 255 of this shape, another storage,
            `split` without a mesh, and images that were placed for other devices.
    """
    line = None if mesh is None else in_line(mesh)
    if isinstance(images, PlacedImages):
        if images.mesh != line:
            raise ValueError(
                f"expected images that were placed for the mesh of the training, {line}, got "
                f"those for {images.mesh}"
            )
        if image_shape is not None and images.kept.shape[1:] != image_shape:
            raise ValueError(
                f"expected images {image_shape} for this model, got placed ones "
                f"{images.kept.shape[1:]}"
            )
        return images
    checked = checked_images(images, image_shape)
    chosen = _roomy(checked.size, line) if storage is None else storage
    known = [name for name in STORAGES if line is not None or name != "split"]
    if chosen not in known:
        raise ValueError(f"expected a storage among {', '.join(known)}, got {storage}")
    return PlacedImages(STORAGES[chosen](checked, line), len(checked), chosen, line)


def reader(
    placed: PlacedImages, rows: Int[np.ndarray, "*rows"], *, axis: int
) -> Callable[[], list[UInt8[np.ndarray, "*part h w c"]]]:
    """What reads images of the host, a part for each device of this process, without JAX.

    Args:
        placed: images that are kept on the host.
        rows: numbers of those to read.
        axis: along which they are split; its length is a multiple of the devices.
    """
    mesh, kept = placed.mesh, placed.kept
    if mesh is None:
        return lambda: [kept[rows]]
    # Each process reads what its own devices take.
    indices = split(mesh, axis).addressable_devices_indices_map(rows.shape).values()
    return lambda: [kept[rows[index]] for index in indices]


def put_parts(
    placed: PlacedImages,
    parts: list[UInt8[np.ndarray, "*part h w c"]],
    shape: tuple[int, ...],
    *,
    axis: int,
    like: Array,
) -> UInt8[Array, "*rows h w c"]:
    """What a `reader` has read, on the devices.

    Args:
        placed: images that are kept on the host.
        parts: those that were read.
        shape: shape of their numbers.
        axis: along which these are split.
        like: an array of the training that takes them, which without a mesh says where they go.
    """
    mesh = placed.mesh
    if mesh is None:
        return jax.device_put(parts[0], like.sharding if like.committed else None)
    sharding = split(mesh, axis)
    on_devices = jax.device_put(parts, list(sharding.addressable_devices_indices_map(shape)))
    whole = (*shape, *placed.kept.shape[1:])
    return jax.make_array_from_single_device_arrays(whole, sharding, on_devices)


def collected(
    placed: PlacedImages, rows: Int[np.ndarray, "*rows"], *, axis: int
) -> UInt8[Array, "*rows h w c"]:
    """Some of the images that are split over devices, on them, split along one axis of `rows`.

    Args:
        placed: images that are split over devices.
        rows: their numbers, the same in every process.
        axis: its length is a multiple of the devices.
    """
    return _collected(placed.kept, rows, mesh=placed.mesh, axis=axis)


def _roomy(size: int, mesh: Mesh | None) -> str:
    """The first storage with room for so many bytes."""
    room = _SHARE * device_memory(mesh)
    if are_several(mesh):
        # In kibibytes, for a number of 32 bits.
        room = 1024 * from_first(int(min(room / 1024, 2**31 - 1)))
    if size <= room:
        return "everywhere"
    return "split" if mesh is not None and size <= room * mesh.size else "host"


def _everywhere(images: Any, mesh: Mesh | None) -> Array:
    if mesh is None:
        return on_device(images)
    return put(images, everywhere(mesh))


def _split(images: ArrayLike, mesh: Mesh) -> Array:
    """Each process reads the rows of its own devices."""
    per_device = -(-len(images) // mesh.size)

    def part(index: Any) -> np.ndarray:
        own = np.asarray(images[index])
        return np.pad(own, [(0, per_device - len(own)), (0, 0), (0, 0), (0, 0)])

    shape = (per_device * mesh.size, *images.shape[1:])
    return jax.make_array_from_callback(shape, split(mesh), part)


# Where images may be kept.
STORAGES: dict[str, Callable[[Any, Any], Any]] = {
    "everywhere": _everywhere,
    "split": _split,
    "host": lambda images, mesh: np.asarray(images),
}


@partial(jax.jit, static_argnames=("mesh", "axis"))
def _collected(
    images: UInt8[Array, "n h w c"], rows: Int[Array, "*rows"], *, mesh: Mesh, axis: int
) -> UInt8[Array, "*rows h w c"]:
    """Rows of split images: every device gives what it has, and takes its part of all."""

    def give_and_take(own: Array, rows: Array) -> Array:
        local_rows = rows - lax.axis_index(AXIS) * len(own)
        has = (local_rows >= 0) & (local_rows < len(own))
        given = jnp.where(has[..., None, None, None], own[jnp.clip(local_rows, 0, len(own) - 1)], 0)
        return lax.psum_scatter(given, AXIS, scatter_dimension=axis, tiled=True)

    return jax.shard_map(
        give_and_take,
        mesh=mesh,
        in_specs=(PartitionSpec(AXIS), PartitionSpec()),
        out_specs=PartitionSpec(*[None] * axis, AXIS),
        check_vma=False,
    )(images, rows)
