"""How dense and convolutional layers are initialized: as in flax, PyTorch or Keras.

The default of three libraries differs by much more than the noise of a seed: for a layer of n
inputs and m outputs the variance of the weights is 1/n in flax, 1/(3n) in PyTorch and 2/(n + m)
in Keras, and only PyTorch draws the biases.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.discriminator import Discriminator
from jaxvae.models.hvae import HVAE
from jaxvae.models.layers import (
    DownConvolution,
    FullConvolution,
    SameConvolution,
    UpConvolution,
    ValidConvolution,
)
from jaxvae.models.vae import VAE
from jaxvae.typing import Key

Model = TypeVar("Model", bound=VAE | HVAE | Discriminator)

_TRANSPOSED = (UpConvolution, FullConvolution)
_LAYERS = (nn.Dense, DownConvolution, SameConvolution, ValidConvolution, *_TRANSPOSED)


class Limits(NamedTuple):
    """Weights and biases are uniform between minus these numbers and these numbers."""

    kernel: float
    bias: float


def pytorch(inputs: int, outputs: int) -> Limits:
    """1 / sqrt(n) for n inputs, for the weights and for the biases."""
    del outputs
    return Limits(1 / math.sqrt(inputs), 1 / math.sqrt(inputs))


def keras(inputs: int, outputs: int) -> Limits:
    """sqrt(6 / (n + m)) for n inputs and m outputs; biases are zero."""
    return Limits(math.sqrt(6 / (inputs + outputs)), 0.0)


INITIALIZATIONS: dict[str, Callable[[int, int], Limits] | None] = {
    "flax": None,
    "pytorch": pytorch,
    "keras": keras,
}


def initialized(model: Model, name: str) -> Model:
    """The model, with dense and convolutional layers initialized as in another library.

    - `flax`: as they are: normal weights of variance 1 / n, truncated at two standard
      deviations, and biases of zero (LeCun et al. 1998);
    - `pytorch`: weights and biases uniform within 1 / sqrt(n), which is the default of PyTorch
      (He et al. 2015, with a leaky ReLU of slope sqrt(5));
    - `keras`: weights uniform within sqrt(6 / (n + m)), biases of zero (Glorot and Bengio 2010).

    n and m are inputs and outputs times the pixels of the kernel; for a transposed convolution
    PyTorch takes the outputs in place of the inputs, and so does this. Layers that a network
    starts in a way of its own stay as they are: branches that start at zero or small, all
    branches of `deep_hvae`, attention, normalization, positions.

    Args:
        model: a VAE, an HVAE, or a discriminator.
        name: one of `INITIALIZATIONS`.

    Raises:
        ValueError: for another name.
    """
    if name not in INITIALIZATIONS:
        raise ValueError(f"expected initialization among {', '.join(INITIALIZATIONS)}, got {name}")
    limits = INITIALIZATIONS[name]
    if limits is None:
        return model

    def redraw(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        outputs, module = call(*args, **kwargs), context.module
        if isinstance(module, _LAYERS) and module.kernel_init is type(module).kernel_init:
            _draw(module, limits)
        return outputs

    def init(key: Key) -> Any:
        with nn.intercept_methods(redraw):
            return model.init(key)

    return model._replace(init=init)  # type: ignore[return-value]


def _draw(module: nn.Module, limits: Callable[[int, int], Limits]) -> None:
    """Put new parameters in the place of those that a layer has just drawn."""
    shapes = {name: value.shape for name, value in module.variables["params"].items()}
    *pixels, inputs, outputs = shapes["kernel"]
    fans = [math.prod(pixels) * channels for channels in (inputs, outputs)]
    if isinstance(module, _TRANSPOSED):
        fans.reverse()
    for name, limit in limits(*fans)._asdict().items():
        if name in shapes:
            values = _uniform(module.make_rng("params"), shapes[name], limit)
            module.put_variable("params", name, values)


def _uniform(key: Key, shape: tuple[int, ...], limit: float) -> Float[Array, "..."]:
    return jax.random.uniform(key, shape, jnp.float32, minval=-limit, maxval=limit)
