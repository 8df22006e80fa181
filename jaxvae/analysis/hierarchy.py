"""What a trained hierarchy pays in every layer, and what it gets."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvae.analysis.capture import noisy_batches
from jaxvae.analysis.estimate import Estimate, mean_estimate
from jaxvae.metrics.latents import active_units
from jaxvae.models.hvae import HVAE, StochasticLayer
from jaxvae.models.vae import Variables
from jaxvae.objectives.hierarchical_vae import layer_rates
from jaxvae.training.images import unit_interval
from jaxvae.typing import ArrayLike, Key


class ExampleCosts(NamedTuple):
    """What every image costs at one posterior sample: of this the evaluation holds the means.

    Attributes:
        distortion: `[n]`, nats.
        rates: `[n, l]`, nats, from the top layer.
        squared_error: `[n]`, of the expected image against pixels in [0, 1], a mean over pixels
            and channels.
    """

    distortion: Float[np.ndarray, " n"]
    rates: Float[np.ndarray, "n l"]
    squared_error: Float[np.ndarray, " n"]


class HierarchyEvaluation(NamedTuple):
    """Rates and distortions of an HVAE over a data set, with standard errors over examples.

    Layers are in the order of the model: z_L, the top, first. "Decided" means that every
    layer's sample is its posterior mean, given the means above.

    Attributes:
        distortion: D, negative log-likelihood at one posterior sample, nats per image.
        rates: `[l]`, R_l, nats per image; divide by the size of the layer for nats per
            dimension.
        information_bounds: `[l]`, R_L + ... + R_l, nats per image: what z_l can know of the
            image at most, as it may repeat what the layers above know.
        mean_distortion: the negative log-likelihood where the latents are decided.
        psnr: dB, of the expected image at one posterior sample; see `evaluate_hierarchy`.
        mean_psnr: dB, the same where the latents are decided.
        bits_per_dimension: `(D + R_L + ... + R_1) / (ln 2 h w c)`, in bits per number in an
            image.
        active_units: `[l]`, how many numbers of a layer depend on the image.
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
    examples: ExampleCosts

    @property
    def is_finite(self) -> bool:
        """Whether the model gives numbers: distortions and rates are neither NaN nor infinite."""
        values = (self.distortion.value, self.mean_distortion.value, self.rates.value)
        return all(bool(np.isfinite(value).all()) for value in values)


def evaluate_hierarchy(
    hvae: HVAE, variables: Variables, images: ArrayLike, *, key: Key, batch_size: int = 1000
) -> HierarchyEvaluation:
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
        hvae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`.
        key: of the posterior noise: that of `capture` with the same key.
        batch_size: examples on the device at a time.

    Returns:
        `HierarchyEvaluation`; every standard error of a single image is NaN, and no unit is
        active in it.

    Raises:
        ValueError: for images that the model does not take.

    Reference: Xiao and Bamler (2023); Burda, Grosse and Salakhutdinov (2016).
    """
    batches = noisy_batches(hvae, images, key=key, batch_size=batch_size)
    found = [jax.device_get(_assess(hvae, variables, *batch)) for batch in batches]
    every = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    carried = np.cumsum(every.rates, axis=1, dtype=np.float64)
    bits = (every.nll + carried[:, -1]) / (math.log(2) * math.prod(hvae.image_shape))
    active = [int(active_units(shift).sum()) if len(shift) > 1 else 0 for shift in every.shifts]
    return HierarchyEvaluation(
        mean_estimate(every.nll),
        mean_estimate(every.rates),
        mean_estimate(carried),
        mean_estimate(every.decided_nll),
        _psnr(every.squared_error),
        _psnr(every.decided_squared_error),
        mean_estimate(bits),
        np.array(active),
        ExampleCosts(every.nll, every.rates, every.squared_error),
    )


class _Assessment(NamedTuple):
    nll: Float[Array, " b"]
    rates: Float[Array, "b l"]
    squared_error: Float[Array, " b"]
    shifts: tuple[Float[Array, "b k"], ...]
    decided_nll: Float[Array, " b"]
    decided_squared_error: Float[Array, " b"]


@partial(jax.jit, static_argnames="hvae")
def _assess(hvae: HVAE, variables: Variables, images: Array, noise: Array) -> _Assessment:
    pixels = unit_interval(images)
    sampled = hvae.apply(variables, pixels, noise)
    decided = hvae.apply(variables, pixels, jnp.zeros_like(noise))
    return _Assessment(
        sampled.nll,
        layer_rates(sampled),
        _squared_error(sampled.taps["output"], pixels),
        tuple(_shift(layer) for layer in sampled.layers),
        decided.nll,
        _squared_error(decided.taps["output"], pixels),
    )


def _squared_error(expected: Array, pixels: Array) -> Float[Array, " b"]:
    return jnp.mean((expected - pixels) ** 2, axis=(1, 2, 3))


def _shift(layer: StochasticLayer) -> Float[Array, "b k"]:
    """How far the image moves the mean of every number, in deviations of its prior."""
    posterior, prior = layer.posterior, layer.prior
    shift = (posterior.mean - prior.mean) * jnp.exp(-prior.log_variance / 2)
    return shift.reshape(len(shift), -1)


def _psnr(squared_errors: Float[np.ndarray, " n"]) -> Estimate:
    error = mean_estimate(squared_errors)
    if error.value == 0:
        return Estimate(np.float64(np.inf), np.float64(np.nan))
    decibels = 10 / math.log(10)
    return Estimate(-decibels * np.log(error.value), decibels * error.stderr / error.value)
