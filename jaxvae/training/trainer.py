"""A training step as a pair of pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxvae.models.vae import VAE, Outputs, Variables
from jaxvae.typing import Key

Objective = Callable[[Outputs, Array], tuple[Array, NamedTuple]]


class TrainState(NamedTuple):
    """Everything that the rest of a run depends on.

    Attributes:
        variables: parameters and running statistics.
        optimizer_state: of the optax transformation.
        key: fixed for the run; step and epoch are folded in.
        step: `[]`, steps taken.
    """

    variables: Variables
    optimizer_state: Any
    key: Key
    step: Int[Array, ""]


class Trainer(NamedTuple):
    """How a model is trained.

    Attributes:
        init: `init(key) -> TrainState`.
        step: `step(state, images) -> (state, loss, terms)`, with uint8 images
            `[b, h, w, c]` and the loss and terms of the state before the update.
    """

    init: Callable[[Key], TrainState]
    step: Callable[[TrainState, Array], tuple[TrainState, Array, NamedTuple]]


def vae_trainer(vae: VAE, objective: Objective, optimizer: optax.GradientTransformation) -> Trainer:
    """Gradient descent on an objective of a VAE.

    Args:
        vae: the model.
        objective: `(outputs, images) -> (loss, terms)`.
        optimizer: any optax transformation.

    Returns:
        A `Trainer`; same key, same numbers on the same backend.
    """

    def init(key: Key) -> TrainState:
        model_key, run_key = jax.random.split(key)
        variables = vae.init(model_key)
        return TrainState(variables, optimizer.init(variables.params), run_key, jnp.int32(0))

    def loss_of(
        params: Any, statistics: Any, images: Float[Array, "b h w c"], noise: Float[Array, "b k"]
    ) -> tuple[Array, tuple[NamedTuple, Any]]:
        outputs = vae.apply(Variables(params, statistics), images, noise, train=True)
        loss, terms = objective(outputs, images)
        return loss, (terms, outputs.statistics)

    def step(
        state: TrainState, images: UInt8[Array, "b h w c"]
    ) -> tuple[TrainState, Array, NamedTuple]:
        params, statistics = state.variables
        noise_key = jax.random.fold_in(state.key, state.step)
        noise = jax.random.normal(noise_key, (len(images), vae.latents))
        (loss, (terms, statistics)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            params, statistics, unit_interval(images), noise
        )
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, params)
        variables = Variables(optax.apply_updates(params, updates), statistics)
        return TrainState(variables, optimizer_state, state.key, state.step + 1), loss, terms

    return Trainer(init, step)


def unit_interval(images: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Bytes 0 to 255 as floats 0 to 1."""
    return images.astype(jnp.float32) / 255
