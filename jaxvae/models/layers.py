"""Convolutional layers with the parameters of flax's, computed as matrix products."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from jaxvae.models.same_convolution import convolve_same
from jaxvae.models.strided_convolution import convolve_down, convolve_up
from jaxvae.models.valid_convolution import convolve_full, convolve_valid
from jaxvae.typing import Array


class _Convolution(nn.Module):
    """A kernel and a bias."""

    features: int
    kernel_size: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    def _convolved(self, images: Array, convolve: Callable[[Array, Array], Array]) -> Array:
        shape = (self.kernel_size, self.kernel_size, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        # Explicit axes, because rank promotion may be set to raise.
        pixels = jnp.asarray(images)
        return convolve(pixels, kernel) + bias.astype(pixels.dtype)[None, None, None, :]


class DownConvolution(_Convolution):
    """`convolve_down` plus a bias, with the parameters of `flax.linen.Conv`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel, even.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    kernel_size: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h/2 w/2 o"]:
        """Halve the height and width of the images."""
        return self._convolved(images, convolve_down)


class UpConvolution(_Convolution):
    """`convolve_up` plus a bias, with the parameters of `flax.linen.ConvTranspose`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel, even.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    kernel_size: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b 2h 2w o"]:
        """Double the height and width of the images."""
        return self._convolved(images, convolve_up)


class SameConvolution(_Convolution):
    """`convolve_same` plus a bias, with the parameters of `flax.linen.Conv`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel, odd.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    kernel_size: int = 3

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        """Give every pixel a weighted sum of the pixels around it."""
        return self._convolved(images, convolve_same)


class ValidConvolution(_Convolution):
    """`convolve_valid` plus a bias, with the parameters of `flax.linen.Conv`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    kernel_size: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h-k+1 w-k+1 o"]:
        """Give a weighted sum of the pixels for every place of the kernel inside the images."""
        return self._convolved(images, convolve_valid)


class FullConvolution(_Convolution):
    """`convolve_full` plus a bias, with the parameters of `flax.linen.ConvTranspose`.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel.
        kernel_init: initializer of the kernel; the bias starts at zero.
    """

    kernel_size: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h+k-1 w+k-1 o"]:
        """Spread every pixel over the places of the kernel that touch it."""
        return self._convolved(images, convolve_full)
