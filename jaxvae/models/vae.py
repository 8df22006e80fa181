"""The variational autoencoder: pure functions of its variables, every layer named."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.networks import (
    CompactDecoder,
    CompactEncoder,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
)
from jaxvae.typing import Key


class Variables(NamedTuple):
    """What a model has learned.

    Attributes:
        params: trained by gradient descent.
        statistics: running means and variances of batch normalization; empty
            for networks without.
    """

    params: Any
    statistics: Any


class Outputs(NamedTuple):
    """What a VAE makes of a batch of images.

    Attributes:
        logits: `[b, h, w, c]`, log-odds of every pixel.
        mean: `[b, k]`, posterior mean.
        log_variance: `[b, k]`, logarithm of the posterior variance.
        sample: `[b, k]`, `mean + exp(log_variance / 2) * noise`.
        taps: every layer by name, in depth order: `input`, `encoder/1` ...,
            `mean`, `log_variance`, `sample`, `decoder/1` ..., `output` (the
            probabilities of the pixels).
        statistics: running statistics after this batch; those of the variables,
            unchanged, in evaluation.
    """

    logits: Float[Array, "b h w c"]
    mean: Float[Array, "b k"]
    log_variance: Float[Array, "b k"]
    sample: Float[Array, "b k"]
    taps: OrderedDict[str, Array]
    statistics: Any


class VAE(NamedTuple):
    """A variational autoencoder as pure functions.

    Attributes:
        image_shape: `(h, w, c)`.
        latents: size of the bottleneck.
        init: `init(key) -> Variables`.
        apply: `apply(variables, images, noise, *, train=False) -> Outputs`, with
            images `[b, h, w, c]` in [0, 1] and standard normal noise `[b, k]`.
        decode: `decode(variables, latents) -> probabilities [b, h, w, c]`.
    """

    image_shape: tuple[int, int, int]
    latents: int
    init: Callable[[Key], Variables]
    apply: Callable[..., Outputs]
    decode: Callable[[Variables, Float[Array, "b k"]], Float[Array, "b h w c"]]


def build_vae(
    encoder: nn.Module, decoder: nn.Module, *, image_shape: tuple[int, int, int], latents: int
) -> VAE:
    """A VAE around any encoder and decoder.

    Args:
        encoder: linen module `(images, *, train) -> (features [b, f], taps)`.
        decoder: linen module `(latents, *, train) -> (logits [b, h, w, c], taps)`.
        image_shape: `(h, w, c)`.
        latents: size of the bottleneck, at least 1.

    Raises:
        ValueError: for fewer than one latent.
    """
    if latents < 1:
        raise ValueError(f"expected at least one latent, got {latents}")
    network = _Autoencoder(encoder, decoder, latents)

    def init(key: Key) -> Variables:
        images, noise = jnp.zeros((1, *image_shape)), jnp.zeros((1, latents))
        variables = network.init(key, images, noise, train=False)
        return Variables(variables["params"], variables.get("batch_stats", {}))

    def apply(variables: Variables, images: Array, noise: Array, *, train: bool = False) -> Outputs:
        outputs, updated = network.apply(
            _collections(variables), images, noise, train=train, mutable=["batch_stats"]
        )
        return outputs._replace(statistics=updated.get("batch_stats", {}))

    def decode(variables: Variables, latents: Array) -> Array:
        logits, _ = network.apply(_collections(variables), latents, method="decode", train=False)
        return nn.sigmoid(logits)

    return VAE(image_shape, latents, init, apply, decode)


def dense_vae(
    *, image_shape: tuple[int, int, int], latents: int, widths: Sequence[int] = (512, 256)
) -> VAE:
    """The fully connected VAE: `widths` with ReLU, mirrored in the decoder."""
    encoder = DenseEncoder(tuple(widths))
    decoder = DenseDecoder(tuple(widths)[::-1], image_shape)
    return build_vae(encoder, decoder, image_shape=image_shape, latents=latents)


def convolutional_vae(
    *,
    image_shape: tuple[int, int, int],
    latents: int,
    widths: Sequence[int] = (64, 128, 256, 256),
) -> VAE:
    """The convolutional VAE of Camboulin, Doimo and Glielmo (2024).

    Args:
        image_shape: `(h, w, c)`; height and width must be multiples of
            `2 ** len(widths)` (32 x 32 in the paper).
        latents: size of the bottleneck.
        widths: channels of the encoder's convolutions, mirrored in the decoder.

    Raises:
        ValueError: for images that cannot be halved that often.
    """
    _check_halvings(image_shape, len(widths))
    encoder = ConvolutionalEncoder(tuple(widths))
    decoder = ConvolutionalDecoder(tuple(widths), image_shape)
    return build_vae(encoder, decoder, image_shape=image_shape, latents=latents)


def compact_vae(*, image_shape: tuple[int, int, int], latents: int) -> VAE:
    """The convolutional VAE of Higgins et al. (2017) as Locatello et al. (2019) wrote it.

    Four convolutions and a dense layer of 256 with ReLU, and their mirror; no
    normalization. The network of Bonheme and Grzes (2022).

    Args:
        image_shape: `(h, w, c)`; height and width must be multiples of 16 (64 x 64 in
            the papers).
        latents: size of the bottleneck.

    Raises:
        ValueError: for images that cannot be halved four times.
    """
    _check_halvings(image_shape, 4)
    decoder = CompactDecoder(image_shape)
    return build_vae(CompactEncoder(), decoder, image_shape=image_shape, latents=latents)


def wide_dense_vae(*, image_shape: tuple[int, int, int], latents: int, width: int = 1200) -> VAE:
    """The fully connected VAE of Higgins et al. (2017) as Locatello et al. (2019) wrote it.

    Two layers of `width` with ReLU in the encoder, three with tanh in the decoder.
    """
    encoder = DenseEncoder((width,) * 2)
    decoder = DenseDecoder((width,) * 3, image_shape, nn.tanh)
    return build_vae(encoder, decoder, image_shape=image_shape, latents=latents)


def _check_halvings(image_shape: tuple[int, int, int], convolutions: int) -> None:
    reduction = 2**convolutions
    if image_shape[0] % reduction or image_shape[1] % reduction:
        raise ValueError(
            f"expected height and width divisible by {reduction} for {convolutions} convolutions "
            f"of stride 2, got {image_shape[0]} x {image_shape[1]}; resize the images"
        )


class _Autoencoder(nn.Module):
    encoder: nn.Module
    decoder: nn.Module
    latents: int

    def setup(self) -> None:
        self.mean = nn.Dense(self.latents)
        self.log_variance = nn.Dense(self.latents)

    def __call__(self, images: Array, noise: Array, *, train: bool) -> Outputs:
        features, encoder_taps = self.encoder(images, train=train)
        mean, log_variance = self.mean(features), self.log_variance(features)
        sample = mean + jnp.exp(log_variance / 2) * noise
        logits, decoder_taps = self.decoder(sample, train=train)
        # An OrderedDict, because jit returns the keys of a plain dict in alphabetical order.
        taps = OrderedDict(
            input=images,
            **{f"encoder/{name}": tap for name, tap in encoder_taps.items()},
            mean=mean,
            log_variance=log_variance,
            sample=sample,
            **{f"decoder/{name}": tap for name, tap in decoder_taps.items()},
            output=nn.sigmoid(logits),
        )
        return Outputs(logits, mean, log_variance, sample, taps, {})

    def decode(self, latents: Array, *, train: bool) -> tuple[Array, dict[str, Array]]:
        return self.decoder(latents, train=train)


def _collections(variables: Variables) -> dict[str, Any]:
    return {"params": variables.params, "batch_stats": variables.statistics}
