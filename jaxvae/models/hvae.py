"""The hierarchical VAE: stochastic layers from the top down, each given those above.

Generation: `p(z_L) prod_l p(z_l | z_>l) p(x | z)`. Inference in the same order,
`q(z_L | x) prod_l q(z_l | z_>l, x)`, so that the rate is a sum of one non-negative part for
every layer. All are Gaussian with independent dimensions.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.networks import Taps
from jaxvae.models.repeated import repeat
from jaxvae.models.vae import BERNOULLI, VAE, Variables, collections, refuse_other_noise
from jaxvae.typing import ImageShape, Key

Shape = tuple[int, ...]


class Gaussian(NamedTuple):
    """Independent Gaussians.

    Attributes:
        mean: `[b, ...]`.
        log_variance: `[b, ...]`.
    """

    mean: Float[Array, "b *shape"]
    log_variance: Float[Array, "b *shape"]

    def sample(self, noise: Float[Array, "b *shape"]) -> Float[Array, "b *shape"]:
        """`mean + exp(log_variance / 2) * noise`."""
        return self.mean + jnp.exp(self.log_variance / 2) * noise


class StochasticLayer(NamedTuple):
    """The posterior, prior and sample of a layer of a hierarchy for a batch.

    Attributes:
        posterior: `q(z_l | z_>l, x)` at the sample from above.
        prior: `p(z_l | z_>l)` there.
        sample: `[b, ...]`, `mean + exp(log_variance / 2) * noise` of the posterior, or
            what was given in its place.
    """

    posterior: Gaussian
    prior: Gaussian
    sample: Float[Array, "b *shape"]


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


class HVAE(NamedTuple):
    """A hierarchical VAE as pure functions, used as a `VAE` is.

    Attributes:
        image_shape: `(h, w, c)`.
        shapes: shapes of one example of every stochastic layer, from the top to the bottom.
        latents: numbers in all of them together, k.
        init: `init(key) -> Variables`.
        apply: `apply(variables, images, noise, *, train=False, samples=None, taken=None) ->
            HierarchyOutputs`, with images `[b, h, w, c]` in [0, 1] and standard normal noise
            `[b, k]`, of which the top layer takes the first. `samples`, one for every layer
            from the top, `[b, *shape]` or None, are taken in place of the posterior's: what
            is below a given one is inferred from it and the images. With all of them given,
            `nll` and `output` are those of generation from them. With `taken`, `[l]`
            booleans, they are taken in these layers alone: one program serves every choice.
        decode: `decode(variables, noise) -> expected images [b, h, w, c]` of ancestral
            samples: standard normal noise `[b, k]` moved to the prior of every layer.
    """

    image_shape: ImageShape
    shapes: tuple[Shape, ...]
    latents: int
    init: Callable[[Key], Variables]
    apply: Callable[..., HierarchyOutputs]
    decode: Callable[[Variables, Float[Array, "b k"]], Float[Array, "b h w c"]]

    @property
    def sizes(self) -> list[int]:
        """How many latents each of its layers has."""
        return [math.prod(shape) for shape in self.shapes]


def build_hvae(
    network: nn.Module,
    *,
    image_shape: ImageShape,
    shapes: Sequence[Shape],
    likelihood: Likelihood = BERNOULLI,
) -> HVAE:
    """An HVAE around any network that goes from the top down.

    The network is a linen module of these methods, l counting layers from 0 at the top:

    - `encode(images, *, train) -> (features, taps)`: what inference sees of the images;
    - `start(batch) -> state`: what the top layer is given, for so many examples;
    - `prior(l, state, *, train) -> Gaussian`, for l = 0 too;
    - `posterior(l, features, state, prior, *, train) -> Gaussian`;
    - `absorb(l, state, sample, *, train) -> state`: what the next layer is given;
    - `output(state, *, train) -> (parameters, taps)`, the parameters as the likelihood takes.

    Where many layers in a row differ in their parameters alone, they are compiled as one: a
    network with `runs`, the number of layers of every such run from the top, has, in place of
    `prior`, `posterior` and `absorb`,

    - `run(number, state, *, inferring) -> (state, layers)`: what the first layer of a run is given,
      and the parameters of all of its layers, a tree of arrays `[count, ...]`, without those of
      posteriors where images are generated;
    - `layer(parameters, features, state, draw) -> (state, drawn)`: what the next layer is given,
      for which `draw(prior, posterior)` makes the `StochasticLayer`; where images are generated,
      there are no features, and the posterior is the prior. The state is the tap `decoder/z_l`.

    Args:
        network: the linen module.
        image_shape: `(h, w, c)`.
        shapes: shapes of one example of every stochastic layer, from the top to the bottom.
        likelihood: likelihood of the images, given the output of the network.

    Raises:
        ValueError: for no layer, and a layer without latents.
    """
    layers = tuple(map(tuple, shapes))
    sizes = [math.prod(shape) for shape in layers]
    if not layers or min(sizes) < 1:
        raise ValueError(f"expected at least one layer, none of them empty, got {list(shapes)}")
    hierarchy = _Hierarchy(network, layers, likelihood)

    def init(key: Key) -> Variables:
        refuse_no_key(key)
        images, noise = jnp.zeros((1, *image_shape)), jnp.zeros((1, sum(sizes)))
        variables = hierarchy.init(key, images, noise, train=False)
        return Variables(variables["params"], variables.get("batch_stats", {}))

    def apply(
        variables: Variables,
        images: Array,
        noise: Array,
        *,
        train: bool = False,
        samples: Sequence[Array | None] | None = None,
        taken: Bool[Array, " l"] | None = None,
    ) -> HierarchyOutputs:
        refuse_other_noise(noise, (len(images), sum(sizes)))
        given = _checked_samples(samples, len(images), layers)
        if taken is not None:
            _refuse_other_choices(taken, len(layers))
        outputs, updated = hierarchy.apply(
            collections(variables),
            images,
            noise,
            train=train,
            samples=given,
            taken=taken,
            mutable=["batch_stats"],
        )
        return outputs._replace(statistics=updated.get("batch_stats", {}))

    def decode(variables: Variables, noise: Array) -> Array:
        parameters: Any = hierarchy.apply(collections(variables), noise, method="generate")
        return likelihood.mean(parameters)

    return HVAE(image_shape, layers, sum(sizes), init, apply, decode)


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


class _Hierarchy(nn.Module):
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
        network: Any = self.network
        features, encoder_taps = network.encode(images, train=train)

        def draw(given: _Given, prior: Gaussian, posterior: Gaussian) -> StochasticLayer:
            sample = posterior.sample(given.noise.reshape(posterior.mean.shape))
            if given.sample is not None and given.taken is not None:
                sample = jnp.where(given.taken, given.sample.reshape(sample.shape), sample)
            return StochasticLayer(posterior, prior, sample)

        given = [_Given(flat(part)) for part in split_noise(noise, self.shapes)]
        if samples is not None:
            chosen = jnp.array([each is not None for each in samples]) if taken is None else taken
            known = [
                jnp.zeros_like(own.noise) if each is None else flat(each)
                for each, own in zip(samples, given, strict=True)
            ]
            given = list(map(_Given, [each.noise for each in given], known, chosen))
        state, layers, stream_taps = self._descend(features, len(images), given, draw, train=train)
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

    def generate(self, noise: Array) -> Array:
        """The parameters of the likelihood, given samples of the priors."""
        network: Any = self.network

        def draw(noise: Array, prior: Gaussian, posterior: Gaussian) -> StochasticLayer:
            sample = prior.sample(noise.reshape(prior.mean.shape))
            return StochasticLayer(posterior, prior, sample)

        parts = list(map(flat, split_noise(noise, self.shapes)))
        state = self._descend(None, len(noise), parts, draw, train=False)[0]
        return network.output(state, train=False)[0]

    def _descend(
        self,
        features: Any,
        batch: int,
        given: Sequence[Any],
        draw: Callable[[Any, Gaussian, Gaussian], StochasticLayer],
        *,
        train: bool,
    ) -> tuple[Any, list[StochasticLayer], Taps]:
        """The state below all layers, and these; without features no posterior is computed."""
        network: Any = self.network
        state, layers, streams = network.start(batch), [], []
        if not hasattr(network, "runs"):
            for index, own in enumerate(given):
                prior = posterior = network.prior(index, state, train=train)
                if features is not None:
                    posterior = network.posterior(index, features, state, prior, train=train)
                layers.append(draw(own, prior, posterior))
                state = network.absorb(index, state, layers[-1].sample, train=train)
            return state, layers, {}

        def step(state: Any, given: tuple[Any, Any]) -> tuple[Any, tuple[StochasticLayer, Any]]:
            weights, own = given
            state, layer = network.layer(weights, features, state, partial(draw, own))
            return state, (layer, state)

        for number, count in enumerate(network.runs):
            state, weights = network.run(number, state, inferring=features is not None)
            own = jax.tree.map(lambda *leaves: jnp.stack(leaves), *given[len(layers) :][:count])
            state, made = repeat(step, state, (weights, own), count)
            layers += [layer for layer, _ in made]
            streams += [stream for _, stream in made]
        return state, layers, dict(zip(layer_names(len(layers)), streams, strict=True))


def layer_names(count: int) -> list[str]:
    """Names of the layers as in the literature, from `z_L` at the top to `z_1` at the bottom."""
    return [f"z_{number}" for number in range(count, 0, -1)]


def latent_names(model: VAE | HVAE) -> list[str]:
    """Names of the layers of latents of a model, from the top; a VAE has one, `latents`."""
    return layer_names(len(model.shapes)) if isinstance(model, HVAE) else ["latents"]


def split_noise(noise: Float[Array, "b k"], shapes: Sequence[Shape]) -> list[Array]:
    """The noise of every layer, in its shape; the top layer takes the first."""
    *ends, _ = accumulate(math.prod(shape) for shape in shapes)
    parts = jnp.split(noise, ends, axis=1)
    return [part.reshape(len(noise), *shape) for part, shape in zip(parts, shapes, strict=True)]


def merge_precisions(one: Gaussian, other: Gaussian) -> Gaussian:
    """The normalized product of two Gaussians: precisions add, means are weighted by them.

    The posterior of a ladder VAE is the merger of what the images say and of the prior.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther (2016).
    """
    # With a = log(v_other) - log(v_one): 1 / (1 / v_one + 1 / v_other) = v_one sigmoid(a).
    difference = other.log_variance - one.log_variance
    share = nn.sigmoid(difference)
    return Gaussian(
        other.mean + share * (one.mean - other.mean),
        one.log_variance + nn.log_sigmoid(difference),
    )


def _checked_samples(
    samples: Sequence[Array | None] | None, batch: int, shapes: Sequence[Shape]
) -> list[Array | None] | None:
    """Refuse samples that would broadcast, or leave out a layer."""
    if samples is None:
        return None
    given = list(samples)
    got = [None if sample is None else jnp.shape(sample) for sample in given]
    wanted = [(batch, *shape) for shape in shapes]
    if len(got) != len(wanted) or any(
        one is not None and one != other for one, other in zip(got, wanted, strict=True)
    ):
        raise ValueError(f"expected samples {wanted} or None for a layer, got {got}")
    return given


def _refuse_other_choices(taken: Any, layers: int) -> None:
    """JAX would take another layer's in place of one that is not there."""
    shape, dtype = jnp.shape(taken), jnp.result_type(taken)
    if shape != (layers,) or dtype.kind != "b":
        raise ValueError(f"expected taken as {layers} booleans, got {dtype} of shape {shape}")


def flat(values: Float[Array, "b *shape"]) -> Float[Array, "b k"]:
    """The numbers of every example in one row."""
    return values.reshape(len(values), -1)


def _layer_taps(layers: Sequence[StochasticLayer]) -> dict[str, Array]:
    taps = {}
    for name, layer in zip(layer_names(len(layers)), layers, strict=True):
        taps[f"{name}/mean"] = layer.posterior.mean
        taps[f"{name}/log_variance"] = layer.posterior.log_variance
        taps[f"{name}/sample"] = layer.sample
    return taps


def refuse_other_models(model: VAE | HVAE, kind: type[VAE | HVAE]) -> None:
    """Refuse a hierarchy where a VAE of one layer is needed, and the other way round.

    Raises:
        ValueError: says which was given.
    """
    if not isinstance(model, kind):
        wanted = "a hierarchical VAE" if kind is HVAE else "a VAE of one layer of latents"
        raise ValueError(
            f"expected {wanted}, which is of type {kind.__name__}, got {type(model).__name__}"
        )
