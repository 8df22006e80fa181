"""The variational autoencoder: pure functions of its variables, every layer named."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.likelihoods import Likelihood, bernoulli
from jaxvae.typing import ImageShape, Key

BERNOULLI = bernoulli()


class Variables(NamedTuple):
    """The learned variables of a model.

    Attributes:
        params: trained by gradient descent.
        statistics: running means and variances of batch normalization; empty
            for networks without.
    """

    params: Any
    statistics: Any


class Outputs(NamedTuple):
    """The outputs of a VAE for a batch of images.

    Attributes:
        nll: `[b]`, negative log-likelihood of the images, summed over pixels, nats.
        mean: `[b, k]`, posterior mean; 0 in absent latents.
        log_variance: `[b, k]`, logarithm of the posterior variance; 0 in absent latents.
        sample: `[b, k]`, `mean + exp(log_variance / 2) * noise`; 0 in absent latents.
        present: `[k]`, which latents the model has; None where it has them all.
        taps: every layer by name, in depth order: `input`, `encoder/1` ...,
            `mean`, `log_variance`, `sample`, `decoder/1` ..., `output` (the
            expected image).
        statistics: running statistics after this batch; those of the variables,
            unchanged, in evaluation.
    """

    nll: Float[Array, " b"]
    mean: Float[Array, "b k"]
    log_variance: Float[Array, "b k"]
    sample: Float[Array, "b k"]
    present: Bool[Array, " k"] | None
    taps: OrderedDict[str, Array]
    statistics: Any


class VAE(NamedTuple):
    """A variational autoencoder as pure functions.

    Attributes:
        image_shape: `(h, w, c)`.
        latents: size of the bottleneck.
        init: `init(key) -> Variables`.
        apply: `apply(variables, images, noise, *, train=False, present=None) ->
            Outputs`, with images `[b, h, w, c]` in [0, 1] and standard normal noise
            `[b, k]`. Latents that are not `present`, `[k]` booleans, are exactly
            absent: no sample, no rate, no gradient.
        decode: `decode(variables, latents) -> expected images [b, h, w, c]`.
    """

    image_shape: ImageShape
    latents: int
    init: Callable[[Key], Variables]
    apply: Callable[..., Outputs]
    decode: Callable[[Variables, Float[Array, "b k"]], Float[Array, "b h w c"]]

    @property
    def shapes(self) -> tuple[tuple[int], ...]:
        """The shapes of its layers of latents: a VAE is a hierarchy of one layer."""
        return ((self.latents,),)

    @property
    def sizes(self) -> list[int]:
        """How many latents each of its layers has."""
        return [self.latents]


def build_vae(
    encoder: nn.Module,
    decoder: nn.Module,
    *,
    image_shape: ImageShape,
    latents: int,
    likelihood: Likelihood = BERNOULLI,
) -> VAE:
    """A VAE around any encoder and decoder.

    Args:
        encoder: linen module `(images, *, train) -> (features [b, f], taps)`.
        decoder: linen module `(latents, *, train) -> (parameters [b, h, w, p], taps)`,
            with the p that the likelihood takes: c, the log-odds of every pixel, for the
            default.
        image_shape: `(h, w, c)`.
        latents: size of the bottleneck, at least 1.
        likelihood: likelihood of the images, given the output of the decoder.

    Raises:
        ValueError: for fewer than one latent; on use, for a decoder or a likelihood whose results
            do not have the shape of the images.
    """
    latents = as_count(latents, f"expected at least one latent, got {latents}", least=1)
    height, width, channels = image_shape
    image_shape = height, width, channels
    network = _Autoencoder(encoder, decoder, latents, likelihood)

    def init(key: Key) -> Variables:
        refuse_no_key(key)
        images, noise = jnp.zeros((1, *image_shape)), jnp.zeros((1, latents))
        variables = network.init(key, images, noise, train=False, present=None)
        return Variables(variables["params"], variables.get("batch_stats", {}))

    def apply(
        variables: Variables,
        images: Array,
        noise: Array,
        *,
        train: bool = False,
        present: Array | None = None,
    ) -> Outputs:
        refuse_other_shape("noise", noise, (len(images), latents))
        outputs, updated = network.apply(
            collections(variables),
            images,
            noise,
            train=train,
            present=present,
            mutable=["batch_stats"],
        )
        return outputs._replace(statistics=updated.get("batch_stats", {}))

    def decode(variables: Variables, latents: Array) -> Array:
        refuse_other_shape("latents", latents, (len(latents), network.latents))
        parameters, _ = network.apply(collections(variables), latents, method="decode", train=False)
        return likelihood.mean(parameters)

    return VAE(image_shape, latents, init, apply, decode)


class _Autoencoder(nn.Module):
    encoder: nn.Module
    decoder: nn.Module
    latents: int
    likelihood: Likelihood

    def setup(self) -> None:
        self.mean = nn.Dense(self.latents)
        self.log_variance = nn.Dense(self.latents)

    def __call__(
        self, images: Array, noise: Array, *, train: bool, present: Array | None
    ) -> Outputs:
        features, encoder_taps = self.encoder(images, train=train)
        mean, log_variance = self.mean(features), self.log_variance(features)
        sample = mean + jnp.exp(log_variance / 2) * noise
        if present is not None:
            mean, log_variance, sample = (
                jnp.where(present[None], values, 0.0) for values in (mean, log_variance, sample)
            )
        parameters, decoder_taps = self.decoder(sample, train=train)
        output, nll = self.likelihood.of_images(parameters, images)
        # An OrderedDict, because jit returns the keys of a plain dict in alphabetical order.
        taps = OrderedDict(
            input=images,
            **{f"encoder/{name}": tap for name, tap in encoder_taps.items()},
            mean=mean,
            log_variance=log_variance,
            sample=sample,
            **{f"decoder/{name}": tap for name, tap in decoder_taps.items()},
            output=output,
        )
        return Outputs(nll, mean, log_variance, sample, present, taps, {})

    def decode(self, latents: Array, *, train: bool) -> tuple[Array, dict[str, Array]]:
        return self.decoder(latents, train=train)


def refuse_other_shape(what: str, given: Array, wanted: tuple[int, int]) -> None:
    """Refuse noise or latents that would broadcast, or that the decoder does not take.

    Raises:
        ValueError: for another shape than wanted.
    """
    if given.shape != wanted:
        raise ValueError(f"expected {what} of shape {wanted}, got {given.shape}")


def collections(variables: Variables) -> dict[str, Any]:
    """The variables as linen takes them.

    Raises:
        ValueError: for what has no parameters, such as the whole state of a training.
    """
    if not hasattr(variables, "params"):
        raise ValueError(
            "expected the variables of a model, such as state.variables of a training, got "
            f"{type(variables).__name__}"
        )
    return {"params": variables.params, "batch_stats": variables.statistics}
