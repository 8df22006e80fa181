"""The rates and distortion of a trained model on held-out images, and the types of its latents."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvae.analysis.capture import noisy_batches
from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.metrics.latents import LatentTypes, active_units, latent_types
from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.models.hvae import HVAE, latent_names
from jaxvae.models.likelihoods import standardized
from jaxvae.models.stochastic_layers import Gaussian, StochasticLayer, flat
from jaxvae.models.vae import VAE, Outputs, Variables
from jaxvae.objectives.hierarchical_vae import number_rates
from jaxvae.training.images import unit_interval
from jaxvae.typing import ArrayLike, Key


class ExampleCosts(NamedTuple):
    """Distortion and rates of every image at one posterior sample; an evaluation has the means.

    Attributes:
        distortion: `[n]`, nats.
        rates: `[n, l]`, nats, from the top layer.
        squared_error: `[n]`, of the expected image against pixels in [0, 1], a mean over pixels
            and channels.
    """

    distortion: Float[np.ndarray, " n"]
    rates: Float[np.ndarray, "n l"]
    squared_error: Float[np.ndarray, " n"]

    @property
    def cost(self) -> Float[np.ndarray, " n"]:
        """The negative ELBO of every image, nats: the distortion and all rates."""
        return self.distortion + self.rates.sum(axis=1, dtype=np.float64)


class Evaluation(NamedTuple):
    """Rates and distortions of a model over a data set, with standard errors over examples.

    Every image has a draw of its own from the posterior, so that the errors hold the noise of the
    draws too. A VAE is a hierarchy of one layer, whose prior is N(0, 1). Layers are in the order of
    the model: z_L, the top, first. "Decided" means that every layer's sample is its posterior mean,
    given the means above.

    Attributes:
        distortion: D, negative log-likelihood at one posterior sample, nats per image.
        rates: `[l]`, R_l, nats per image; divide by the size of the layer for nats per
            dimension.
        information_bounds: `[l]`, R_L + ... + R_l, nats per image: what z_l can know of the
            image at most, as it may repeat what the layers above know.
        mean_distortion: the negative log-likelihood where the latents are decided.
        psnr: dB, of the expected image at one posterior sample; see `evaluate`.
        mean_psnr: dB, the same where the latents are decided.
        bits_per_dimension: `(D + R_L + ... + R_1) / (ln 2 h w c)`, in bits per number in an
            image.
        active_units: `[l]`, how many numbers of a layer depend on the image.
        number_rates: rates of every layer `[k]`, the mean rate of every number in it, nats.
        latent_types: for every layer, which of its latents are active, mixed and passive, by
            their posterior variance in units of the prior's; none of a single image.
        examples: the costs of every image, to compare models image by image.
    """

    distortion: Estimate
    rates: Estimate
    information_bounds: Estimate
    mean_distortion: Estimate
    psnr: Estimate
    mean_psnr: Estimate
    bits_per_dimension: Estimate
    active_units: Int[np.ndarray, " l"]
    number_rates: tuple[Float[np.ndarray, " k"], ...]
    latent_types: tuple[LatentTypes, ...]
    examples: ExampleCosts

    @property
    def is_finite(self) -> bool:
        """Whether the model gives numbers: distortions and rates are neither NaN nor infinite."""
        values = (self.distortion.value, self.mean_distortion.value, self.rates.value)
        return all(bool(np.isfinite(value).all()) for value in values)


def evaluate(
    model: VAE | HVAE, variables: Variables, images: ArrayLike, *, key: Key, batch_size: int = 1000
) -> Evaluation:
    """Rates, distortions and active units of every layer, in evaluation mode.

    The PSNR is `10 log10(1 / E)` dB with E the squared error of the expected image, not
    clipped, against pixels in [0, 1], averaged over pixels, channels and then images. Its
    standard error is that of E to first order. (A mean of the PSNR of single images would
    be infinite with the first perfect one.) With E = 0 it is infinite, its error NaN.

    The bits are an upper bound on the mean code length of an image, which bits-back coding
    attains, where the likelihood is one of discrete pixels: Bernoulli with binary images,
    mixtures of discretized logistics. With gray images the Bernoulli cross-entropy is no
    likelihood. With a density over [0, 1], such as the Gaussian, they bound the negative
    log-density, which may be below zero; 8 more make them comparable to those of bytes.

    A unit is active if its posterior mean, in units of its prior, `(mean - prior mean) /
    prior deviation`, has a variance over images above 0.01 at one sample of the layers
    above. In a layer with the prior N(0, 1) this is the definition of Burda et al.; below,
    a posterior that only follows its prior is not active.

    Args:
        model: a VAE or a hierarchy.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        key: key of the posterior noise: that of `capture` with the same key.
        batch_size: examples on the device at a time.

    Returns:
        `Evaluation`; every standard error of a single image is NaN, and no unit is
        active in it.

    Raises:
        ValueError: for images that the model does not take, a batch_size below 1, and what is no
            key.

    Reference: Xiao and Bamler (2023); Burda, Grosse and Salakhutdinov (2016); of the types of
    latents: Bonheme and Grzes (2022).
    """
    batches = noisy_batches(model, images, key=key, batch_size=batch_size)
    assessed = [jax.device_get(_assess(model, variables, *batch)) for batch in batches]
    both = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *assessed)
    every, decided = (jax.tree.map(lambda each, way=way: each[way], both) for way in (0, 1))
    carried = np.cumsum(every.rates, axis=1, dtype=np.float64)
    bits = (every.nll + carried[:, -1]) / (math.log(2) * math.prod(model.image_shape))
    several = len(every.nll) > 1
    return Evaluation(
        mean_estimate(every.nll),
        mean_estimate(every.rates),
        mean_estimate(carried),
        mean_estimate(decided.nll),
        _psnr(every.squared_error),
        _psnr(decided.squared_error),
        mean_estimate(bits),
        np.array([int(active_units(each).sum()) if several else 0 for each in every.shifts]),
        tuple(each.mean(axis=0, dtype=np.float64) for each in every.number_rates),
        tuple(_types(each, several) for each in every.variances),
        ExampleCosts(every.nll, every.rates, every.squared_error),
    )


def by_layer(model: VAE | HVAE, every: Estimate) -> dict[str, Estimate]:
    """Estimates `[l]` of the layers of a model as those of each, by its name, from the top."""
    pairs = zip(np.atleast_1d(every.value), np.atleast_1d(every.stderr), strict=True)
    return {name: Estimate(*pair) for name, pair in zip(latent_names(model), pairs, strict=True)}


class _Assessment(NamedTuple):
    """Quantities of a batch of images, with sampled latents and with their posterior means.

    Attributes:
        nll: negative log-likelihood of the images.
        rates: rates of every layer.
        squared_error: squared error of the expected images.
        shifts: shifts of the posterior means from those of the prior, in deviations of the prior.
        variances: variances of the posteriors, in variances of the prior.
        number_rates: rates of the numbers of every layer.
    """

    nll: Float[Array, "2 b"]
    rates: Float[Array, "2 b l"]
    squared_error: Float[Array, "2 b"]
    shifts: tuple[Float[Array, "2 b k"], ...]
    variances: tuple[Float[Array, "2 b k"], ...]
    number_rates: tuple[Float[Array, "2 b k"], ...]


@partial(jax.jit, static_argnames="model")
def _assess(model: VAE | HVAE, variables: Variables, images: Array, noise: Array) -> _Assessment:
    pixels = unit_interval(images)

    def assess(noise: Array) -> _Assessment:
        outputs = model.apply(variables, pixels, noise)
        layers = layers_of(outputs)
        rates = tuple(flat(number_rates(layer)) for layer in layers)
        return _Assessment(
            outputs.nll,
            jnp.stack([jnp.sum(each, axis=1) for each in rates], axis=1),
            _squared_error(outputs.taps["output"], pixels),
            tuple(map(_shift, layers)),
            tuple(map(_variance, layers)),
            rates,
        )

    # One after the other: the model is compiled once.
    return jax.lax.map(assess, jnp.stack([noise, jnp.zeros_like(noise)]))


def layers_of(outputs: Outputs | HierarchyOutputs) -> tuple[StochasticLayer, ...]:
    """The layers of latents of a model: those of a hierarchy, or the one of a VAE."""
    if isinstance(outputs, HierarchyOutputs):
        return outputs.layers
    posterior = Gaussian(outputs.mean, outputs.log_variance)
    prior = Gaussian(jnp.zeros_like(outputs.mean), jnp.zeros_like(outputs.mean))
    return (StochasticLayer(posterior, prior, outputs.sample),)


def _squared_error(expected: Array, pixels: Array) -> Float[Array, " b"]:
    return jnp.mean((expected - pixels) ** 2, axis=(1, 2, 3))


def _shift(layer: StochasticLayer) -> Float[Array, "b k"]:
    """How far the image moves the mean of every latent, in standard deviations of its prior."""
    posterior, prior = layer.posterior, layer.prior
    return flat(standardized(posterior.mean, *prior))


def _variance(layer: StochasticLayer) -> Float[Array, "b k"]:
    return flat(jnp.exp(layer.posterior.log_variance - layer.prior.log_variance))


def _types(variances: Float[np.ndarray, "n k"], several: bool) -> LatentTypes:
    if several:
        return latent_types(variances)
    none = jnp.zeros(variances.shape[1], bool)
    return LatentTypes(none, none, none)


def _psnr(squared_errors: Float[np.ndarray, " n"]) -> Estimate:
    error = mean_estimate(squared_errors)
    if error.value == 0:
        return Estimate(np.float64(np.inf), np.float64(np.nan))
    decibels = 10 / math.log(10)
    return Estimate(-decibels * np.log(error.value), decibels * error.stderr / error.value)
