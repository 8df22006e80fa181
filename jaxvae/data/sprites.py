"""dSprites regenerated from its factors: a scene per grid point, drawn on the device.

The 737,280 images of dSprites (Matthey et al. 2017) show one white square, ellipse or
heart on black and are a function of five integers. Here they are that function, so
nothing is downloaded or stored, and any resolution may be asked for.

The scene is the unit square, `x` to the right and `y` down. A pixel is white where its
center lies in the sprite, with no smoothing: so were the originals drawn. The lengths
below were fitted to 46,080 published images (6 scales, 10 orientations, 16 by 16
positions of each shape), which `render` reproduces with a mean intersection over union
of 0.9997 for squares, 0.9996 for ellipses and 0.9992 for hearts (the worst single
images: 0.92, 0.98 and 0.96; more than nine in ten are equal to the last pixel). The
pixels that differ have their centers within a hundredth of a pixel of an outline.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from jaxvae.data.dataset import Dataset, Split
from jaxvae.memory import refuse_beyond_memory
from jaxvae.typing import ArrayLike

FACTOR_SIZES: dict[str, int] = {
    "shape": 3,
    "scale": 6,
    "orientation": 40,
    "x_position": 32,
    "y_position": 32,
}
"""Number of classes of every factor, slowest first: the order of the dSprites grid."""

GRID_SIZE = math.prod(FACTOR_SIZES.values())
"""Number of images of the grid: 737,280."""

SHAPE_NAMES = ("square", "ellipse", "heart")
"""The names of the classes of `shape`."""

IMAGE_SIZE = 64
"""Side of the published images in pixels."""

# Half the side of the square at scale 1, in sides of the image; the other two shapes are
# drawn in units of it: 19.2 of 64 pixels across, as measured to a hundredth of a pixel.
_HALF_SIDE = 0.15
# The ellipse is a circle of that radius stretched along x and shrunk along y.
_ELONGATION = 1.33
# The original agrees best with a polygon of 100 sides: its area over that of its circle.
_POLYGON_AREA = 0.99934
# The heart is the curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t; the
# original fits the box of -16..16 by -17..12 into the square, so a unit is 14.5 of y ...
_HEART_HALF_HEIGHT = 14.5
# ... and turns about this height, the one length that has no reason but the fit.
_HEART_CENTER = 2.172
# Images drawn together: the float32 values of a block stay small beside the images.
_BLOCK = 256
# Images that `load_sprites` asks for at once, always: one program for splits of all sizes.
_CHUNK = 1024
# Any constant would do; it is part of the definition of the splits and must never change.
_SPLIT_SEED = 2017


def factors_of(index: ArrayLike) -> Int[Array, "... 5"]:
    """Factor classes of the images at the given places of the dSprites grid.

    The grid is in the order of the published file: `shape` varies slowest, `y_position`
    fastest. `factors_of(jnp.arange(GRID_SIZE))` is its `latents_classes` without the color.

    Args:
        index: places in the grid, 0 to 737,279, of any shape.

    Returns:
        int32, the columns in the order of `FACTOR_SIZES`.

    Raises:
        ValueError: if an index is not an integer or, where its value is known, is outside
            the grid. A traced index is not checked.
    """
    remainder = _integers("index", index)
    _require_range("index", remainder, GRID_SIZE)
    numpy: Any = np if isinstance(remainder, np.ndarray) else jnp
    classes = numpy.unravel_index(remainder.astype(np.int32), tuple(FACTOR_SIZES.values()))
    return jnp.asarray(numpy.stack(classes, axis=-1), jnp.int32)


def render(
    factors: Int[ArrayLike, "n 5"], *, image_size: int = IMAGE_SIZE
) -> UInt8[Array, "n h w 1"]:
    """Render images of the sprites with the given factor classes.

    A pure function: it may be jitted, and the images of a batch do not depend on each
    other. The classes stand for the values of dSprites:

    - `shape`: square, ellipse, heart;
    - `scale`: 0.5 to 1, the square of scale 1 having a side of 0.3 images;
    - `orientation`: 0 to 2 pi, counterclockwise. Both ends are included, so classes 0 and
      39 give the same image;
    - `x_position`, `y_position`: 0 to 1, left to right and top to bottom, the center of
      the sprite moving over the middle half of the image.

    Source: Matthey, Higgins, Hassabis and Lerchner (2017), dSprites: disentanglement
    testing sprites dataset, https://github.com/google-deepmind/dsprites-dataset. How well
    its images are met is said at the top of this module.

    Args:
        factors: classes counted from 0, the columns in the order of `FACTOR_SIZES`.
        image_size: side `h = w` of the images in pixels. Sizes other than 64 show the same
            scene, sampled at the centers of their pixels.

    Returns:
        uint8, 0 for the background and 255 for the sprite. Beside the result, memory for
        some hundred images is used.

    Raises:
        ValueError: if `factors` are not integers of shape `[n, 5]` or, where their values
            are known, lie outside the grid, or if `image_size` is not positive. Traced
            factors are not checked for their range.
    """
    classes = _integers("factors", factors)
    if classes.ndim != 2 or classes.shape[1] != len(FACTOR_SIZES):
        raise ValueError(f"expected factors of shape [n, 5], got {list(classes.shape)}")
    for column, (name, size) in enumerate(FACTOR_SIZES.items()):
        _require_range(name, classes[:, column], size)
    if image_size < 1:
        raise ValueError(f"expected a positive image_size, got {image_size}")
    return _render(jnp.asarray(classes, dtype=jnp.int32), image_size=image_size)


def load_sprites(
    *, train_size: int = 50_000, test_size: int = 10_000, image_size: int | None = None
) -> Dataset:
    """Disjoint random train and test samples of the dSprites grid.

    One fixed permutation of the 737,280 images is read from its front for the test split
    and from its back for the train split. So neither size changes the other split, a
    smaller split is the beginning of a larger one, and the two never overlap.

    Args:
        train_size: images to train on.
        test_size: held-out images. The two sizes are at most 737,280 together.
        image_size: side of the images in pixels, 64 as published if None.

    Returns:
        The set `"sprites"`: images uint8 `[n, h, w, 1]` of 0 and 255, the class of the shape as
        label, and the classes of all five factors (see `render`), int64.

    Raises:
        ValueError: if a size is negative, both together exceed the grid, or the images the
            memory there is.
    """
    if min(train_size, test_size) < 0:
        raise ValueError(
            f"expected sizes of at least 0, got train_size={train_size}, test_size={test_size}"
        )
    if train_size + test_size > GRID_SIZE:
        raise ValueError(
            f"expected train_size + test_size of at most {GRID_SIZE}, got {train_size + test_size}"
        )
    size = IMAGE_SIZE if image_size is None else image_size
    count = train_size + test_size
    refuse_beyond_memory(count * size**2, f"{count:,} images")
    order = _permutation()
    return Dataset(
        train=_split(order[::-1][:train_size], size),
        test=_split(order[:test_size], size),
        name="sprites",
        label_names=SHAPE_NAMES,
    )


def _permutation() -> np.ndarray:
    """A fixed random order of the grid.

    NumPy promises the raw bits of a generator for all versions, but not `permutation`.
    """
    return np.argsort(np.random.PCG64(_SPLIT_SEED).random_raw(GRID_SIZE), kind="stable")


def _split(index: np.ndarray, image_size: int) -> Split:
    factors = np.asarray(factors_of(index), dtype=np.int64)
    images = np.empty((len(index), image_size, image_size, 1), dtype=np.uint8)
    for start in range(0, len(index), _CHUNK):
        chunk = np.arange(start, start + _CHUNK) % len(index)
        some = images[start : start + _CHUNK]
        some[:] = render(factors[chunk], image_size=image_size)[: len(some)]
    columns = dict(zip(FACTOR_SIZES, factors.T.copy(), strict=True))
    return Split(images=images, labels=columns["shape"].copy(), factors=columns)


def _integers(name: str, values: ArrayLike) -> ArrayLike:
    array = values if isinstance(values, jax.core.Tracer) else np.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"expected integer {name}, got {array.dtype}")
    return array


def _require_range(name: str, values: ArrayLike, size: int) -> None:
    if isinstance(values, jax.core.Tracer) or values.size == 0:
        return
    low, high = np.min(values), np.max(values)
    if low < 0 or high >= size:
        raise ValueError(f"expected {name} from 0 to {size - 1}, got {low} to {high}")


def _in_square(u: Array, v: Array) -> Array:
    return jnp.maximum(jnp.abs(u), jnp.abs(v)) <= 1


def _in_ellipse(u: Array, v: Array) -> Array:
    return jnp.square(u / _ELONGATION) + jnp.square(v * _ELONGATION) <= _POLYGON_AREA


def _in_heart(u: Array, v: Array) -> Array:
    """Whether `y` lies between the two points of the curve at the same `x`.

    With `q = sin^2 t = (x / 16)^(2/3)` these are `y = 18q - 8q^2 - 6 +- sqrt(1 - q) (11 + 8q)`.
    Beyond the sides `q > 1` makes the right side negative, so that nothing is inside.
    """
    y = -_HEART_HALF_HEIGHT * v - _HEART_CENTER
    q = jnp.exp(jnp.log(jnp.square(u)) / 3)  # many times faster than `jnp.cbrt` on the CPU
    return jnp.square(y - 18 * q + 8 * q * q + 6) <= (1 - q) * jnp.square(11 + 8 * q)


def _sprite(classes: Int[Array, "5"], image_size: int) -> Bool[Array, "h w"]:
    """The pixels of one image that lie in its sprite."""
    shape, scale, orientation, column, row = classes
    half_side = _HALF_SIDE * (0.5 + 0.1 * scale.astype(jnp.float32))
    # The last orientation is a full turn: it must equal the first one to the last bit.
    turns = FACTOR_SIZES["orientation"] - 1
    angle = (orientation % turns).astype(jnp.float32) * (2 * math.pi / turns)
    pixels = (jnp.arange(image_size, dtype=jnp.float32) + 0.5) / image_size
    x = (pixels - _center(column, "x_position"))[None, :] / half_side
    y = (pixels - _center(row, "y_position"))[:, None] / half_side
    u = jnp.cos(angle) * x - jnp.sin(angle) * y
    v = jnp.sin(angle) * x + jnp.cos(angle) * y
    return jnp.where(
        shape == 0, _in_square(u, v), jnp.where(shape == 1, _in_ellipse(u, v), _in_heart(u, v))
    )


def _center(position: Int[Array, ""], name: str) -> Float[Array, ""]:
    """Coordinate of the center: positions 0 to 1 span the middle half of the image."""
    return 0.25 + position.astype(jnp.float32) * (0.5 / (FACTOR_SIZES[name] - 1))


@partial(jax.jit, static_argnames="image_size")
def _render(factors: Int[Array, "n 5"], *, image_size: int) -> UInt8[Array, "n h w 1"]:
    def draw(classes: Int[Array, "5"]) -> UInt8[Array, "h w 1"]:
        return jnp.where(_sprite(classes, image_size), 255, 0).astype(jnp.uint8)[..., None]

    return jax.lax.map(draw, factors, batch_size=_BLOCK)
