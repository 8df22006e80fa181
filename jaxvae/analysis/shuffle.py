"""How much a layer's sample matters to its image: the cost of having another image's sample."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvae.analysis.capture import checked_batches, posterior_noise
from jaxvae.analysis.estimate import Estimate
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.hvae import HVAE, refuse_other_models
from jaxvae.models.vae import Variables
from jaxvae.objectives.hierarchical_vae import layer_rates
from jaxvae.training.images import unit_interval
from jaxvae.typing import ArrayLike, Key

# At most so many arcs of a circle of images, each of at least so many.
_ARCS, _ARC = 30, 10
# Stands in place of a layer where none is shuffled.
_NO_LAYER = -1


class ShuffleEffect(NamedTuple):
    """How much the loss of an image grows with another image's sample in one layer.

    Attributes:
        distortion: `[l]`, growth of D, nats per image, z_L first.
        cost: `[l]`, growth of D and of the rates of the layers below, nats per image: what
            the image costs once z_l and the layers above it are known. The same for z_1.
    """

    distortion: Estimate
    cost: Estimate

    @property
    def is_finite(self) -> bool:
        """Whether all costs are numbers: samples of other images may be too much for a model."""
        return bool(np.isfinite(self.cost).all())


def shuffle_effect(
    hvae: HVAE, variables: Variables, images: ArrayLike, *, key: Key, batch_size: int = 1000
) -> ShuffleEffect:
    """Growth of the distortion, and of the cost, when z_l is shuffled between images.

    Every image is inferred from the top down, and paired with another one. For one layer at
    a time, its sample is replaced by that of its partner, which the partner's own posterior
    gave. The samples above stay; those below are inferred again, from the new sample and the
    image itself, with the noise that they had.

    Where the image is generated from z_1 alone, inference below a shuffled layer finds the
    image again: D hardly grows, even where the layer matters. Then the rates below grow. So a
    layer is not used where neither grows, which `cost` says. (Keeping all other samples would
    leave D exactly as it is for every layer but z_1.)

    Args:
        hvae: the model.
        variables: what it learned.
        images: uint8 `[n, h, w, c]`, n >= 2.
        key: key of the posterior noise and the pairs.
        batch_size: examples on the device at a time.

    Returns:
        `ShuffleEffect`, exactly 0 with an error of 0 where a layer's sample is not read.
        The standard errors rest on 30 groups of images, or n / 10, at least 2: they are
        known to 13% from 300 images up.

    Raises:
        ValueError: for a `VAE` (an `HVAE` of one layer is taken), images that the model does
            not take, a single one, a batch_size below 1, and what is no key.
    """
    refuse_other_models(hvae, HVAE)
    images, batch_size = checked_batches(hvae, images, batch_size=batch_size)
    if len(images) < 2:
        raise ValueError(f"expected at least 2 images to shuffle between, got {len(images)}")
    refuse_no_key(key)
    pair_key, noise_key = jax.random.split(key)
    noise = posterior_noise(noise_key, n=len(images), latents=hvae.latents)
    circle = np.asarray(jax.random.permutation(pair_key, len(images)))
    partners = np.empty_like(circle)
    partners[circle] = np.roll(circle, -1)

    def passes(samples: list[np.ndarray], layer: int) -> Iterator[tuple[Array, list[Array]]]:
        """Batch by batch with the pair's sample of one layer."""
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            batch, pairs = (jnp.asarray(images[rows]), noise[rows]), partners[rows]
            yield _pass(hvae, variables, batch, [each[pairs] for each in samples], layer)

    nothing = [np.broadcast_to(np.float32(0), (len(images), *shape)) for shape in hvae.shapes]
    untouched = map(jax.device_get, passes(nothing, _NO_LAYER))
    own, samples = jax.tree.map(lambda *parts: np.concatenate(parts), *untouched)
    distortions, totals = [], []
    for layer in range(len(hvae.shapes)):
        shuffled = np.concatenate([np.asarray(costs) for costs, _ in passes(samples, layer)])
        growth = (shuffled.astype(np.float64) - own)[circle]
        distortions.append(_around(growth[:, 0]))
        totals.append(_around(growth[:, 0] + growth[:, layer + 2 :].sum(axis=1)))
    return ShuffleEffect(_stacked(distortions), _stacked(totals))


@partial(jax.jit, static_argnames="hvae")
def _pass(
    hvae: HVAE,
    variables: Variables,
    batch: tuple[Array, Array],
    others: list[np.ndarray],
    layer: int | Int[Array, ""],
) -> tuple[Float[Array, "b 1+l"], list[Array]]:
    """The distortion and the rate of every layer, and what was sampled.

    The layer is a value, so that all of them, and none, are one program.
    """
    taken = jnp.arange(len(hvae.shapes)) == layer
    images, noise = batch
    outputs = hvae.apply(variables, unit_interval(images), noise, samples=others, taken=taken)
    costs = jnp.concatenate([outputs.nll[:, None], layer_rates(outputs)], axis=1)
    return costs, [layer.sample for layer in outputs.layers]


def _around(growth: Float[np.ndarray, " n"]) -> Estimate:
    """Mean growth over the circle in which every image has the sample of the next one."""
    # Neighbors in the circle share an image, and much of what one gains the other loses.
    # Arcs are all but independent, and their spread holds what cancels inside of them.
    arcs = max(2, min(_ARCS, len(growth) // _ARC))
    means = np.array([arc.mean() for arc in np.array_split(growth, arcs)])
    return Estimate(growth.mean(), means.std(ddof=1) / arcs**0.5)


def _stacked(estimates: list[Estimate]) -> Estimate:
    return Estimate(*(np.array(field) for field in zip(*estimates, strict=True)))
