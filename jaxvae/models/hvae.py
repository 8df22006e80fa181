"""The hierarchical VAE: stochastic layers from the top down, each given those above.

Generation: `p(z_L) prod_l p(z_l | z_>l) p(x | z)`. Inference in the same order,
`q(z_L | x) prod_l q(z_l | z_>l, x)`, so that the rate is a sum of one non-negative part for
every layer. All are Gaussian with independent dimensions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.hierarchy import Hierarchy, HierarchyOutputs
from jaxvae.models.likelihoods import Likelihood
from jaxvae.models.stochastic_layers import Shape, layer_names
from jaxvae.models.vae import BERNOULLI, VAE, Variables, collections, refuse_other_shape
from jaxvae.typing import ImageShape, Key


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
            booleans, they are taken in these layers alone: one program serves every choice. A
            layer whose sample is None keeps its own in any case.
        decode: `decode(variables, noise, *, samples=None, taken=None) -> expected images
            [b, h, w, c]` of ancestral samples: standard normal noise `[b, k]` moved to the prior
            of every layer. `samples` are taken in place of the prior's as `apply` takes them:
            what is below a given one is generated from it.
    """

    image_shape: ImageShape
    shapes: tuple[Shape, ...]
    latents: int
    init: Callable[[Key], Variables]
    apply: Callable[..., HierarchyOutputs]
    decode: Callable[..., Float[Array, "b h w c"]]

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
    height, width, channels = image_shape
    image_shape = height, width, channels
    layers = tuple(map(tuple, shapes))
    sizes = [math.prod(shape) for shape in layers]
    if not layers or min(sizes) < 1:
        raise ValueError(f"expected at least one layer, none of them empty, got {list(shapes)}")
    hierarchy = Hierarchy(network, layers, likelihood)

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
        refuse_other_shape("noise", noise, (len(images), sum(sizes)))
        _refuse_other_samples(samples, taken, len(images), layers)
        outputs, updated = hierarchy.apply(
            collections(variables),
            images,
            noise,
            train=train,
            samples=samples,
            taken=taken,
            mutable=["batch_stats"],
        )
        return outputs._replace(statistics=updated.get("batch_stats", {}))

    def decode(
        variables: Variables,
        noise: Array,
        *,
        samples: Sequence[Array | None] | None = None,
        taken: Bool[Array, " l"] | None = None,
    ) -> Array:
        refuse_other_shape("noise", noise, (len(noise), sum(sizes)))
        _refuse_other_samples(samples, taken, len(noise), layers)
        parameters: Any = hierarchy.apply(
            collections(variables), noise, samples=samples, taken=taken, method="generate"
        )
        return likelihood.mean(parameters)

    return HVAE(image_shape, layers, sum(sizes), init, apply, decode)


def latent_names(model: VAE | HVAE) -> list[str]:
    """Names of the layers of latents of a model, from the top; a VAE has one, `latents`."""
    return layer_names(len(model.shapes)) if isinstance(model, HVAE) else ["latents"]


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


def _refuse_other_samples(
    samples: Sequence[Array | None] | None, taken: Any, batch: int, shapes: Sequence[Shape]
) -> None:
    """Refuse samples that would broadcast, or leave out a layer, and other choices of layers."""
    if samples is not None:
        got = [None if sample is None else jnp.shape(sample) for sample in samples]
        wanted = [(batch, *shape) for shape in shapes]
        if len(got) != len(wanted) or any(
            one is not None and one != other for one, other in zip(got, wanted, strict=True)
        ):
            raise ValueError(f"expected samples {wanted} or None for a layer, got {got}")
    if taken is not None:
        # JAX would take another layer's in place of one that is not there.
        if samples is None:
            raise ValueError("expected samples beside taken, got none")
        shape, dtype = jnp.shape(taken), jnp.result_type(taken)
        if shape != (len(shapes),) or dtype.kind != "b":
            raise ValueError(
                f"expected taken as {len(shapes)} booleans, got {dtype} of shape {shape}"
            )
