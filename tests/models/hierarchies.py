"""Small hierarchies for tests: dense layers, and any VAE seen as one layer."""

import math

import jax
import jax.numpy as jnp
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
