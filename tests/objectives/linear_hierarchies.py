"""Linear-Gaussian hierarchies, whose optima are known, on images of few pixels.

The images are Gaussian data, moved and scaled into [0, 1] and rounded to bytes: 256 levels over
ten standard deviations add less than a thousandth to the smallest variance.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxvae.models import HVAE, Gaussian, build_hvae, gaussian
from jaxvae.objectives import layer_rates
from jaxvae.training import train, vae_trainer

COUNT, NOISE = 2048, 0.5
BATCH = 256


def gaussian_images(eigenvalues):
    """Bytes whose covariance has these eigenvalues, and the factor that they were scaled by."""
    width = len(eigenvalues)
    random = np.random.default_rng(0)
    points = random.normal(size=(COUNT, width))
    points -= points.mean(axis=0)
    # Exactly white, then exactly of these eigenvalues in a random basis.
    white = np.linalg.svd(points, full_matrices=False)[0] * np.sqrt(COUNT)
    basis = np.linalg.qr(random.normal(size=(width, width)))[0]
    data = white * np.sqrt(eigenvalues) @ basis.T
    scale = 0.5 / np.abs(data).max()
    return np.rint(255 * (data * scale + 0.5)).astype(np.uint8)[:, None, :, None], scale


class Linear(nn.Module):
    """Posteriors that are affine in the image and what is above, with constant variances."""

    widths: tuple[int, ...]
    pixels: int
    scale: float

    def setup(self):
        self.posteriors = [nn.Dense(width) for width in self.widths]
        self.priors = [nn.Dense(width) for width in self.widths]
        zeros = nn.initializers.zeros
        self.spreads = [
            self.param(f"spread_{i}", zeros, (width,)) for i, width in enumerate(self.widths)
        ]
        self.prior_spreads = [
            self.param(f"prior_spread_{i}", zeros, (width,)) for i, width in enumerate(self.widths)
        ]
        self.put_out = nn.Dense(self.pixels)

    def encode(self, images, *, train):
        del train
        return (images.reshape(len(images), -1) - 0.5) / self.scale, {}

    def start(self, batch):
        return jnp.zeros((batch, self.widths[0]))

    def prior(self, index, state, *, train):
        del train
        if index == 0:
            return Gaussian(state, state)
        spread = jnp.broadcast_to(self.prior_spreads[index], (len(state), self.widths[index]))
        return Gaussian(self.priors[index](state), spread)

    def posterior(self, index, features, state, prior, *, train):
        del train, prior
        mean = self.posteriors[index](jnp.concatenate([features, state], axis=1))
        return Gaussian(mean, jnp.broadcast_to(self.spreads[index], mean.shape))

    def absorb(self, index, state, sample, *, train):
        del index, state, train
        return sample

    def output(self, state, *, train):
        del train
        return (self.scale * self.put_out(state) + 0.5)[:, None, :, None], {}


class Problem(NamedTuple):
    """A hierarchy, its data, and their factor from data to pixels."""

    hvae: HVAE
    images: np.ndarray
    scale: float


def problem(eigenvalues, widths):
    images, scale = gaussian_images(np.asarray(eigenvalues, float))
    pixels = len(eigenvalues)
    hvae = build_hvae(
        Linear(widths, pixels, float(scale)),
        image_shape=(1, pixels, 1),
        shapes=[(width,) for width in widths],
        likelihood=gaussian(standard_deviation=float(scale * np.sqrt(NOISE))),
    )
    return Problem(hvae, images, float(scale))


def adam(steps):
    return optax.adam(optax.cosine_decay_schedule(2e-2, steps))


def epochs_of(steps):
    return steps * BATCH // COUNT


def trained(task, objective, *, steps, **given):
    """The state after so many steps."""
    trainer = vae_trainer(task.hvae, objective, adam(steps), **given)
    state = trainer.init(jax.random.key(0))
    return train(trainer, state, task.images, epochs=epochs_of(steps), batch_size=BATCH)


def rates_and_error(task, variables, *, draws=16):
    """Rates, top first, and the expected squared error, in units of the data."""
    noise = jax.random.normal(jax.random.key(1), (draws * COUNT, task.hvae.latents))
    repeated = jnp.tile(jnp.asarray(task.images) / 255, (draws, 1, 1, 1))
    outputs = task.hvae.apply(variables, repeated, noise)
    rates = np.asarray(layer_rates(outputs)).mean(axis=0)
    # Of the sampled reconstruction, in closed form: the error of the mean, and of the noise.
    pixels = task.images.shape[2]
    constant = NOISE * np.log(2 * np.pi * NOISE * task.scale**2) * pixels
    error = 2 * NOISE * np.asarray(outputs.nll, float).mean() - constant
    return rates, error
