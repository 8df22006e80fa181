"""Convolutional layers with the parameters of flax's, fast on every platform."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.same_convolution import convolve_same
from jaxvae.models.strided_convolution import convolve_down, convolve_up
from jaxvae.models.valid_convolution import convolve_full, convolve_valid


class _Convolution(nn.Module):
    """A kernel and, where it is used, a bias; subclasses say which convolution.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernel; even where the image is halved or doubled,
            odd where it keeps its size.
        kernel_init: initializer of the kernel; the bias starts at zero.
        use_bias: whether there is a bias; before batch normalization it would have no effect.
    """

    # A static `(images, kernel) -> images`.
    convolve: ClassVar[Any]

    features: int
    kernel_size: int = 4
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    use_bias: bool = True

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b ho wo o"]:
        """The images convolved with the kernel, plus the bias where it is used."""
        shape = (self.kernel_size, self.kernel_size, images.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        pixels = jnp.asarray(images)
        convolved = self.convolve(pixels, kernel)
        if not self.use_bias:
            return convolved
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        # Explicit axes, because rank promotion may be set to raise.
        return convolved + bias.astype(pixels.dtype)[None, None, None, :]


class DownConvolution(_Convolution):
    """Halve the height and width of the images.

    `convolve_down` plus a bias, with the parameters of `flax.linen.Conv`.
    """

    convolve = staticmethod(convolve_down)


class UpConvolution(_Convolution):
    """Double the height and width of the images.

    `convolve_up` plus a bias, with the parameters of `flax.linen.ConvTranspose`.
    """

    convolve = staticmethod(convolve_up)


class SameConvolution(_Convolution):
    """Give every pixel a weighted sum of the pixels around it.

    `convolve_same` plus a bias, with the parameters of `flax.linen.Conv`.
    """

    convolve = staticmethod(convolve_same)
    kernel_size: int = 3


class ValidConvolution(_Convolution):
    """Give a weighted sum of the pixels for every place of the kernel inside the images.

    Images of h x w pixels become h - k + 1 by w - k + 1.

    `convolve_valid` plus a bias, with the parameters of `flax.linen.Conv`.
    """

    convolve = staticmethod(convolve_valid)


class FullConvolution(_Convolution):
    """Spread every pixel over the places of the kernel that touch it.

    Images of h x w pixels become h + k - 1 by w + k - 1.

    `convolve_full` plus a bias, with the parameters of `flax.linen.ConvTranspose`.
    """

    convolve = staticmethod(convolve_full)
