"""What convolutions written as matrix products share: the product, and what they refuse."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Float

from jaxvae.typing import Array

Arguments = tuple[Array, Array]
Convolve = Callable[[Array, Array], Array]


def product(rows: Float[Array, "*n i"], weights: Float[Array, "i o"]) -> Float[Array, "*n o"]:
    """Matrix product of the dtype of the rows, left in its accumulator of at least float32."""
    accumulator = jnp.promote_types(rows.dtype, jnp.float32)
    return jnp.matmul(rows, weights.astype(rows.dtype), preferred_element_type=accumulator)


def flat(images: Float[Array, "b h w c"]) -> Float[Array, "b*h*w c"]:
    """A row for every pixel."""
    return images.reshape(-1, images.shape[-1])


def keep_arguments(convolve: Convolve) -> Callable[[Array, Array], tuple[Array, Arguments]]:
    """The forward rule of a gradient that needs only the images and the kernel.

    What a product is made from is as large as the images or larger: as cheap to form again
    as to keep.
    """
    return lambda images, kernel: (convolve(images, kernel), (images, kernel))


def check_convolution(
    images: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"], *, parity: str = ""
) -> None:
    """Refuse what cannot be convolved.

    Args:
        images: to be convolved.
        kernel: weights.
        parity: `even` or `odd`, of the kernel's height and width; either by default.

    Raises:
        ValueError: for another size of kernel, a wrong rank, channels that differ, or a
            dtype that is not floating-point.
    """
    if images.ndim != 4:
        raise ValueError(f"expected images [b, h, w, c], got shape {images.shape}")
    square = kernel.ndim == 4 and kernel.shape[0] == kernel.shape[1]
    if not square or parity not in ("", ("even", "odd")[kernel.shape[0] % 2]):
        wanted = f" with k {parity}" if parity else ""
        raise ValueError(f"expected a kernel [k, k, in, out]{wanted}, got shape {kernel.shape}")
    if kernel.shape[2] != images.shape[3]:
        raise ValueError(f"expected {kernel.shape[2]} channels, got images {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"expected floating-point images, got {images.dtype}")
