"""A network that goes from the top down: what it infers from images, and what it generates."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.networks import Taps
from jaxvae.models.repeated import repeat
from jaxvae.models.stochastic_layers import (
    Gaussian,
    Shape,
    StochasticLayer,
    flat,
    layer_names,
    split_noise,
)


class HierarchyOutputs(NamedTuple):
    """The outputs of an HVAE for a batch of images.

    Attributes:
        nll: `[b]`, negative log-likelihood of the images, summed over pixels, nats.
        layers: the stochastic layers, from the top, z_L, to the bottom, z_1.
        taps: every layer by name: `input`, `encoder/...`, then for every stochastic layer
            from the top `z_l/mean`, `z_l/log_variance` and `z_l/sample`, `decoder/...`, and
            `output`, the expected image.
        statistics: running statistics after this batch; those of the variables,
            unchanged, in evaluation.
    """

    nll: Float[Array, " b"]
    layers: tuple[StochasticLayer, ...]
    taps: OrderedDict[str, Array]
    statistics: Any


class _Given(NamedTuple):
    """What a stochastic layer is given: noise, and a sample that may be taken in place of its own.

    Attributes:
        noise: `[b, k]`, standard normal.
        sample: `[b, k]`, the other sample, or None.
        taken: whether it is taken.
    """

    noise: Array
    sample: Array | None = None
    taken: Bool[Array, ""] | None = None


class Hierarchy(nn.Module):
    """A network as `build_hvae` takes it, with the likelihood of what it puts out."""

    network: nn.Module
    shapes: tuple[Shape, ...]
    likelihood: Likelihood

    def __call__(
        self,
        images: Array,
        noise: Array,
        *,
        train: bool,
        samples: Sequence[Array | None] | None = None,
        taken: Bool[Array, " l"] | None = None,
    ) -> HierarchyOutputs:
        """The outputs for a batch of images, but for the running statistics."""
        network: Any = self.network
        features, encoder_taps = network.encode(images, train=train)
        given = _given(noise, self.shapes, samples, taken)
        state, layers, stream_taps = self._descend(features, len(images), given, train=train)
        parameters, decoder_taps = network.output(state, train=train)
        output, nll = self.likelihood.of_images(parameters, images)
        # An OrderedDict, because jit returns the keys of a plain dict in alphabetical order.
        taps = OrderedDict(
            input=images,
            **{f"encoder/{name}": tap for name, tap in encoder_taps.items()},
            **_layer_taps(layers),
            **{f"decoder/{name}": tap for name, tap in (stream_taps | decoder_taps).items()},
            output=output,
        )
        return HierarchyOutputs(nll, tuple(layers), taps, {})

    def generate(
        self,
        noise: Array,
        *,
        samples: Sequence[Array | None] | None = None,
        taken: Bool[Array, " l"] | None = None,
    ) -> Array:
        """The parameters of the likelihood at samples of the priors, or others in their place."""
        network: Any = self.network
        given = _given(noise, self.shapes, samples, taken)
        state = self._descend(None, len(noise), given, train=False)[0]
        return network.output(state, train=False)[0]

    def _descend(
        self,
        features: Any,
        batch: int,
        given: Sequence[_Given],
        *,
        train: bool,
    ) -> tuple[Any, list[StochasticLayer], Taps]:
        """The state below all layers, and these; without features the posteriors are the priors."""
        network: Any = self.network
        state, layers, streams = network.start(batch), [], []
        if not hasattr(network, "runs"):
            for index, own in enumerate(given):
                prior = posterior = network.prior(index, state, train=train)
                if features is not None:
                    posterior = network.posterior(index, features, state, prior, train=train)
                layers.append(_draw(own, prior, posterior))
                state = network.absorb(index, state, layers[-1].sample, train=train)
            return state, layers, {}

        def step(state: Any, given: tuple[Any, Any]) -> tuple[Any, tuple[StochasticLayer, Any]]:
            weights, own = given
            state, layer = network.layer(weights, features, state, partial(_draw, own))
            return state, (layer, state)

        for number, count in enumerate(network.runs):
            state, weights = network.run(number, state, inferring=features is not None)
            own = jax.tree.map(lambda *leaves: jnp.stack(leaves), *given[len(layers) :][:count])
            state, made = repeat(step, state, (weights, own), count)
            layers += [layer for layer, _ in made]
            streams += [stream for _, stream in made]
        return state, layers, dict(zip(layer_names(len(layers)), streams, strict=True))


def _given(
    noise: Array,
    shapes: Sequence[Shape],
    samples: Sequence[Array | None] | None,
    taken: Bool[Array, " l"] | None,
) -> list[_Given]:
    """What every layer is given; one whose sample is None keeps its own."""
    parts = [flat(part) for part in split_noise(noise, shapes)]
    if samples is None:
        return list(map(_Given, parts))
    present = jnp.array([each is not None for each in samples])
    chosen = present if taken is None else present & taken
    known = [
        jnp.zeros_like(part) if each is None else flat(each)
        for each, part in zip(samples, parts, strict=True)
    ]
    return list(map(_Given, parts, known, chosen))


def _draw(given: _Given, prior: Gaussian, posterior: Gaussian) -> StochasticLayer:
    sample = posterior.sample(given.noise.reshape(posterior.mean.shape))
    if given.sample is not None and given.taken is not None:
        sample = jnp.where(given.taken, given.sample.reshape(sample.shape), sample)
    return StochasticLayer(posterior, prior, sample)


def _layer_taps(layers: Sequence[StochasticLayer]) -> dict[str, Array]:
    taps = {}
    for name, layer in zip(layer_names(len(layers)), layers, strict=True):
        taps[f"{name}/mean"] = layer.posterior.mean
        taps[f"{name}/log_variance"] = layer.posterior.log_variance
        taps[f"{name}/sample"] = layer.sample
    return taps
