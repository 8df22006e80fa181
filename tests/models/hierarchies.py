"""Small hierarchies for tests: dense layers, and any VAE seen as one layer."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxvae.models import Gaussian, build_hvae


class Chain(nn.Module):
    """Dense layers on all samples from above, in posteriors and priors of any depth."""

    sizes: tuple[int, ...]
    image_shape: tuple[int, int, int]

    def setup(self):
        self.posteriors = [nn.Dense(2 * size) for size in self.sizes]
        self.priors = [nn.Dense(2 * size) for size in self.sizes]
        self.put_out = nn.Dense(math.prod(self.image_shape))

    def encode(self, images, *, train):
        del train
        flat = images.reshape(len(images), -1)
        return flat, {"flat": flat}

    def start(self, batch):
        return jnp.zeros((batch, 0))

    def prior(self, index, state, *, train):
        del train
        if index == 0:
            return Gaussian(*[jnp.zeros((len(state), self.sizes[0]))] * 2)
        return Gaussian(*jnp.split(self.priors[index](jnp.tanh(state)), 2, axis=-1))

    def posterior(self, index, features, state, prior, *, train):
        del train, prior
        seen = jnp.concatenate([features, jnp.tanh(state)], axis=-1)
        return Gaussian(*jnp.split(self.posteriors[index](seen), 2, axis=-1))

    def absorb(self, index, state, sample, *, train):
        del index, train
        return jnp.concatenate([state, sample], axis=-1)

    def output(self, state, *, train):
        del train
        return self.put_out(state).reshape(len(state), *self.image_shape), {"state": state}


def chain(depth):
    """Layers of two to four latents, on images of six pixels."""
    sizes, image_shape = tuple(2 + index % 3 for index in range(depth)), (2, 3, 1)
    return build_hvae(
        Chain(sizes, image_shape), image_shape=image_shape, shapes=[(size,) for size in sizes]
    )


@cache
def chain_outputs(depth, batch=7):
    """Of an untrained chain on noise."""
    hvae = chain(depth)

    @jax.jit
    def outputs(keys):
        images = jax.random.uniform(keys[0], (batch, *hvae.image_shape))
        noise = jax.random.normal(keys[1], (batch, hvae.latents))
        return hvae.apply(hvae.init(keys[2]), images, noise)

    return outputs(jax.random.split(jax.random.key(0), 3))


class OneLayer(nn.Module):
    """An encoder and a decoder of a VAE as a hierarchy of one layer."""

    encoder: nn.Module
    decoder: nn.Module
    latents: int

    def setup(self):
        self.mean, self.log_variance = nn.Dense(self.latents), nn.Dense(self.latents)

    def encode(self, images, *, train):
        return self.encoder(images, train=train)

    def start(self, batch):
        return jnp.zeros((batch, self.latents))

    def prior(self, index, state, *, train):
        del index, train
        return Gaussian(state, state)

    def posterior(self, index, features, state, prior, *, train):
        del index, state, prior, train
        return Gaussian(self.mean(features), self.log_variance(features))

    def absorb(self, index, state, sample, *, train):
        del index, state, train
        return sample

    def output(self, state, *, train):
        return self.decoder(state, train=train)


class LinearGaussian(nn.Module):
    """Two numbers z_1 given one z_2, two pixels given z_1; all linear, nothing learned."""

    inferred: float = 0.6  # how z_1 is inferred from z_2

    SEEN = np.array([[0.9], [-0.4]])  # z_2 from the pixels
    TOP_VARIANCE = 0.3
    FROM_IMAGE = np.array([[0.8, 0.1], [-0.2, 0.5]])  # z_1 from the pixels
    BOTTOM_VARIANCE = 0.05
    FROM_TOP = np.array([[0.7, 0.7]])  # z_1 generated from z_2
    PRIOR_VARIANCE = 0.4
    TO_IMAGE = np.array([[1.1, 0.2], [0.3, 1.4]])  # the pixels from z_1

    def encode(self, images, *, train):
        del train
        return images.reshape(len(images), 2), {}

    def start(self, batch):
        return jnp.zeros((batch, 1))

    def prior(self, index, state, *, train):
        del train
        if index == 0:
            return Gaussian(state, state)
        return _gaussian(state @ self.FROM_TOP, self.PRIOR_VARIANCE)

    def posterior(self, index, features, state, prior, *, train):
        del prior, train
        if index == 0:
            return _gaussian(features @ self.SEEN, self.TOP_VARIANCE)
        mean = features @ self.FROM_IMAGE + self.inferred * state
        return _gaussian(mean, self.BOTTOM_VARIANCE)

    def absorb(self, index, state, sample, *, train):
        del index, state, train
        return sample

    def output(self, state, *, train):
        del train
        return (state @ self.TO_IMAGE).reshape(-1, 1, 2, 1), {}


def _gaussian(mean, variance):
    return Gaussian(mean, jnp.full_like(mean, math.log(variance)))
