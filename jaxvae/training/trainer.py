"""Trainers: a training step as a pair of pure functions, `init` and `step`."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt8

from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.discriminator import Discriminator
from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Outputs, Variables
from jaxvae.objectives.factor_vae import discriminator_loss
from jaxvae.objectives.multipliers import ascend, objective_multipliers
from jaxvae.platforms import Options, choices_for
from jaxvae.training.images import unit_interval
from jaxvae.training.refusals import (
    checked_loss,
    nonnegative_of,
    refuse_far_starts,
    refuse_negative,
    refuse_no_numbers,
    refuse_other_arguments,
    refuse_other_kind,
    refuse_other_schedules,
    refuse_other_state,
)
from jaxvae.typing import ImageShape, Key

Objective = Callable[..., tuple[Array, NamedTuple]]
Schedule = Callable[..., Array]


class Adversary(NamedTuple):
    """The discriminator that FactorVAE trains beside the VAE, and its optimizer.

    Attributes:
        discriminator: the network.
        optimizer: any optax transformation.
    """

    discriminator: Discriminator
    optimizer: optax.GradientTransformation


class AdversaryState(NamedTuple):
    """The state of an adversary.

    Attributes:
        params: parameters of its discriminator.
        optimizer_state: state of its optax transformation.
    """

    params: Any
    optimizer_state: Any


class TrainState(NamedTuple):
    """Everything that the rest of a run depends on.

    Attributes:
        variables: parameters and running statistics.
        optimizer_state: state of the optax transformation.
        adversary: what the discriminator has learned; None without one.
        coefficients: those of the objective, by name; where one has a schedule, its end; where
            it is a multiplier, what it has become.
        present: `[k]`, the latents that the model has; None where it has them all.
        key: fixed for the run; step and epoch are folded in.
        step: `[]`, steps taken.
    """

    variables: Variables
    optimizer_state: Any
    adversary: AdversaryState | None
    coefficients: dict[str, Float[Array, "*layers"]]
    present: Bool[Array, " k"] | None
    key: Key
    step: Int[Array, ""]


class Trainer(NamedTuple):
    """A trainer: functions that make the first state and do a step.

    Attributes:
        init: `init(key) -> TrainState`; of `vae_trainer`, one compiled program.
        step: `step(state, images) -> (state, loss, terms)`, with uint8 images
            `[b, h, w, c]` and the loss and terms of the state before the update.
        image_shape: `(h, w, c)` of the images it takes; None where any will do.
        nonnegative: names of the coefficients that may not be negative.
        multipliers: names of the coefficients that are learned.
    """

    init: Callable[[Key], TrainState]
    step: Callable[[TrainState, Array], tuple[TrainState, Array, NamedTuple]]
    image_shape: ImageShape | None = None
    nonnegative: frozenset[str] = frozenset()
    multipliers: frozenset[str] = frozenset()


def vae_trainer(
    vae: VAE | HVAE,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    coefficients: Mapping[str, float | Sequence[float]] | None = None,
    schedules: Mapping[str, Schedule] | None = None,
    multipliers: Mapping[str, float] | None = None,
    adversary: Adversary | None = None,
) -> Trainer:
    """Gradient descent on an objective of a VAE.

    Args:
        vae: the model, a `VAE` or an `HVAE`.
        objective: `(outputs, *, ...) -> (loss, terms)`, such as `beta_vae`.
        optimizer: any optax transformation that takes no more than gradients and parameters.
        coefficients: numbers that the objective takes by name, or several where it takes
            one a layer. They become a part of the state, so that members
            of an ensemble may differ in them.
        schedules: `(step, *, end) -> value`, by the name of a coefficient, which is the
            end: `partial(linear_ramp, steps=10_000)` lets it grow from 0.
        multipliers: step sizes of dual ascent, by the name of a coefficient, which is where
            it starts: Lagrange multipliers, such as the betas of `rate_targets`, which all start
            at one number where one is given.
        adversary: for an objective that takes a `discriminator`: it is trained in the
            same step, on the samples of the same batch.

    Returns:
        A `Trainer`; same key, same numbers on the same backend. (A state that `init` makes
        within a `jit` of yours may differ from that of the plain call in its last digits.)

    Raises:
        ValueError: for coefficients that the objective does not take or lacks, negative ones
            of an objective of jaxvae other than `target`, NaN and infinite ones (also those that a
            `partial` gives), what is no number, a schedule without `end`, a schedule or a
            multiplier of none of them, one that is both, a multiplier that starts outside of
            0.001 to 1,000 in a layer that has a target, an objective that lacks a whole number
            such as `dataset_size`, an adversary where it is not wanted or absent, what is no optax
            transformation, and a hierarchy for an objective of jaxvae for one layer, or the other
            way round.
    """
    values: dict[str, Any] = {} if coefficients is None else dict(coefficients)
    ramps = {} if schedules is None else dict(schedules)
    dual_steps = {} if multipliers is None else dict(multipliers)
    refuse_other_arguments(objective, set(values), set(ramps), set(dual_steps), adversary)
    bound: dict[str, Any] = {}
    function: Any = objective
    while isinstance(function, partial):
        bound, function = {**function.keywords, **bound}, function.func
    nonnegative = nonnegative_of(function)
    refuse_other_kind(vae, function)
    if not hasattr(optimizer, "update"):
        raise ValueError(
            f"expected an optax transformation, such as optax.adam(1e-3), got {optimizer}"
        )
    refuse_no_numbers(values)
    refuse_other_schedules(ramps)
    refuse_negative(bound | values, nonnegative)
    # One multiplier of all layers would follow the sum of their slopes.
    of_layers = objective_multipliers(function)
    for name in dual_steps:
        if of_layers.get(name) and np.ndim(values[name]) == 0:
            values[name] = (values[name],) * len(vae.shapes)
    refuse_far_starts(bound | values, dual_steps.keys())

    # A trace of a deep network takes seconds: there is one for all programs that hold it.
    once = partial(jax.jit, inline=True)

    @once
    def first_state(key: Key) -> TrainState:
        model_key, run_key = jax.random.split(key)
        variables = vae.init(model_key)
        return TrainState(
            variables,
            optimizer.init(variables.params),
            _init_adversary(adversary, jax.random.fold_in(model_key, 1)),
            {name: jnp.asarray(value, jnp.float32) for name, value in values.items()},
            None,
            run_key,
            jnp.int32(0),
        )

    def loss_of(
        params: Any,
        learned: dict[str, Array],
        state: TrainState,
        images: Float[Array, "b h w c"],
        noise_key: Key,
    ) -> tuple[Array, tuple[NamedTuple, Outputs | HierarchyOutputs]]:
        # Latents first: the noise of the first k does not depend on how many there are.
        noise = jax.random.normal(noise_key, (vae.latents, len(images)), jnp.float32).T
        variables = Variables(params, state.variables.statistics)
        mask = {} if state.present is None else {"present": state.present}
        outputs = vae.apply(variables, images, noise, train=True, **mask)
        arguments: dict[str, Any] = _current(state, ramps) | learned
        if adversary is not None and state.adversary is not None:
            arguments["discriminator"] = partial(
                adversary.discriminator.apply, state.adversary.params
            )
        loss, terms = checked_loss(objective(outputs, **arguments))
        return loss, (terms, outputs)

    @once
    def step(
        state: TrainState, images: UInt8[Array, "b h w c"]
    ) -> tuple[TrainState, Array, NamedTuple]:
        if images.dtype != jnp.uint8:
            raise ValueError(f"expected uint8 images of 0 to 255 for a step, got {images.dtype}")
        refuse_other_state(state, jax.eval_shape(first_state, state.key))
        noise_key = jax.random.fold_in(state.key, state.step)
        learned = {name: state.coefficients[name] for name in dual_steps}
        differentiated = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
        (loss, (terms, outputs)), (gradients, slopes) = differentiated(
            state.variables.params, learned, state, unit_interval(images), noise_key
        )
        params, optimizer_state = _descend(
            optimizer, gradients, state.optimizer_state, state.variables.params
        )
        after = state._replace(
            variables=Variables(params, outputs.statistics),
            optimizer_state=optimizer_state,
            adversary=_train_adversary(
                adversary, state.adversary, outputs, jax.random.fold_in(noise_key, 1)
            ),
            coefficients=state.coefficients
            | {
                name: ascend(value, slopes[name], step=dual_steps[name])
                for name, value in learned.items()
            },
            step=state.step + 1,
        )
        return after, loss, terms

    names = nonnegative, frozenset(dual_steps)
    return Trainer(_as_one_program(first_state), step, vae.image_shape, *names)


def _as_one_program(init: Callable[[Key], TrainState]) -> Callable[[Key], TrainState]:
    """The same function, compiled if it is called outside of any `jit`.

    A start is computed once and takes a moment: on CPU it is compiled with less optimization.
    """

    @cache
    def compiled(options: Options) -> Callable[[Key], TrainState]:
        return jax.jit(init, compiler_options=dict(options))

    def call(key: Key) -> TrainState:
        refuse_no_key(key)
        if isinstance(lax.full((), 0), jax.core.Tracer):
            return init(key)
        optimized = not jax.config.values["jax_disable_most_optimizations"]
        return compiled(choices_for(key).start_options if optimized else ())(key)

    return call


def _current(state: TrainState, schedules: dict[str, Schedule]) -> dict[str, Array]:
    """The coefficients of this step."""
    return {
        name: schedules[name](state.step, end=value) if name in schedules else value
        for name, value in state.coefficients.items()
    }


def _descend(
    optimizer: optax.GradientTransformation, gradients: Any, optimizer_state: Any, params: Any
) -> tuple[Any, Any]:
    updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
    return optax.apply_updates(params, updates), optimizer_state


def _init_adversary(adversary: Adversary | None, key: Key) -> AdversaryState | None:
    if adversary is None:
        return None
    params = adversary.discriminator.init(key)
    return AdversaryState(params, adversary.optimizer.init(params))


def _train_adversary(
    adversary: Adversary | None,
    state: AdversaryState | None,
    outputs: Any,
    key: Key,
) -> AdversaryState | None:
    if adversary is None or state is None:
        return None
    # Objectives with a discriminator are those of one layer.
    sample = outputs.sample

    def loss(params: Any) -> Array:
        return discriminator_loss(partial(adversary.discriminator.apply, params), sample, key)

    gradients = jax.grad(loss)(state.params)
    return AdversaryState(
        *_descend(adversary.optimizer, gradients, state.optimizer_state, state.params)
    )
