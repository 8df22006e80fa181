"""The named networks: shape of the images and size of the bottleneck -> a VAE."""

from collections.abc import Sequence

from flax import linen as nn

from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.networks import (
    CompactDecoder,
    CompactEncoder,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
)
from jaxvae.models.residual import ResidualDecoder, ResidualEncoder
from jaxvae.models.sizes import checked_widths, refuse_indivisible
from jaxvae.models.transformer import TransformerDecoder, TransformerEncoder
from jaxvae.models.vae import BERNOULLI, VAE, build_vae
from jaxvae.typing import ImageShape


def dense_vae(
    *,
    image_shape: ImageShape,
    latents: int,
    widths: Sequence[int] = (512, 256),
    likelihood: Likelihood = BERNOULLI,
) -> VAE:
    """The fully connected VAE: `widths` with ReLU, mirrored in the decoder."""
    widths = checked_widths(widths)
    encoder = DenseEncoder(widths)
    decoder = DenseDecoder(widths[::-1], _put_out(image_shape, likelihood))
    return build_vae(
        encoder, decoder, image_shape=image_shape, latents=latents, likelihood=likelihood
    )


def convolutional_vae(
    *,
    image_shape: ImageShape,
    latents: int,
    widths: Sequence[int] = (64, 128, 256, 256),
    likelihood: Likelihood = BERNOULLI,
) -> VAE:
    """The convolutional VAE of Camboulin, Doimo and Glielmo (2024).

    Args:
        image_shape: `(h, w, c)`; height and width must be multiples of
            `2 ** len(widths)` (32 x 32 in the paper).
        latents: size of the bottleneck.
        widths: channels of the encoder's convolutions, mirrored in the decoder.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for no widths, widths below 1, and images that cannot be halved that often.
    """
    widths = checked_widths(widths)
    _check_halvings(image_shape, len(widths))
    encoder = ConvolutionalEncoder(widths)
    decoder = ConvolutionalDecoder(widths, _put_out(image_shape, likelihood))
    return build_vae(
        encoder, decoder, image_shape=image_shape, latents=latents, likelihood=likelihood
    )


def compact_vae(
    *, image_shape: ImageShape, latents: int, likelihood: Likelihood = BERNOULLI
) -> VAE:
    """The convolutional VAE of Higgins et al. (2017) as Locatello et al. (2019) wrote it.

    Four convolutions and a dense layer of 256 with ReLU, and their mirror; no
    normalization. The network of Bonheme and Grzes (2022).

    Args:
        image_shape: `(h, w, c)`; height and width must be multiples of 16 (64 x 64 in
            the papers).
        latents: size of the bottleneck.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for images that cannot be halved four times.
    """
    _check_halvings(image_shape, 4)
    decoder = CompactDecoder(_put_out(image_shape, likelihood))
    return build_vae(
        CompactEncoder(), decoder, image_shape=image_shape, latents=latents, likelihood=likelihood
    )


def wide_dense_vae(
    *,
    image_shape: ImageShape,
    latents: int,
    width: int = 1200,
    likelihood: Likelihood = BERNOULLI,
) -> VAE:
    """The fully connected VAE of Higgins et al. (2017) as Locatello et al. (2019) wrote it.

    Two layers of `width` with ReLU in the encoder, three with tanh in the decoder.
    """
    widths = checked_widths([width])
    encoder = DenseEncoder(widths * 2)
    decoder = DenseDecoder(widths * 3, _put_out(image_shape, likelihood), nn.tanh)
    return build_vae(
        encoder, decoder, image_shape=image_shape, latents=latents, likelihood=likelihood
    )


def residual_vae(
    *,
    image_shape: ImageShape,
    latents: int,
    widths: Sequence[int] = (32, 32, 64, 64),
    likelihood: Likelihood = BERNOULLI,
) -> VAE:
    """A residual convolutional VAE: a block (He et al. 2016) at every resolution.

    Args:
        image_shape: `(h, w, c)`; height and width must be multiples of
            `2 ** len(widths)`.
        latents: size of the bottleneck.
        widths: channels of the encoder's stages, mirrored in the decoder.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for no widths, widths below 1, and images that cannot be halved that often.
    """
    widths = checked_widths(widths)
    _check_halvings(image_shape, len(widths))
    encoder = ResidualEncoder(widths)
    decoder = ResidualDecoder(widths, _put_out(image_shape, likelihood))
    return build_vae(
        encoder, decoder, image_shape=image_shape, latents=latents, likelihood=likelihood
    )


def transformer_vae(
    *,
    image_shape: ImageShape,
    latents: int,
    patch: int = 8,
    likelihood: Likelihood = BERNOULLI,
) -> VAE:
    """A small vision transformer (Dosovitskiy et al. 2021), mirrored in the decoder.

    Four blocks of width 128 with four heads on either side.

    Args:
        image_shape: `(h, w, c)`; height and width must be multiples of `patch`.
        latents: size of the bottleneck.
        patch: pixels along each side of a token.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for images that cannot be cut into patches.
    """
    refuse_indivisible(image_shape[:2], patch, "for patches of that size")
    encoder = TransformerEncoder(patch)
    decoder = TransformerDecoder(_put_out(image_shape, likelihood), patch)
    return build_vae(
        encoder, decoder, image_shape=image_shape, latents=latents, likelihood=likelihood
    )


def _put_out(image_shape: ImageShape, likelihood: Likelihood) -> ImageShape:
    """The shape of what the decoder puts out for an image of this shape."""
    height, width, channels = image_shape
    return (height, width, likelihood.parameters(channels))


def _check_halvings(image_shape: ImageShape, convolutions: int) -> None:
    if convolutions < 1:
        raise ValueError("expected the widths of at least one convolution, got none")
    what = f"for {convolutions} convolutions of stride 2"
    refuse_indivisible(image_shape[:2], 2**convolutions, what)
