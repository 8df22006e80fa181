"""Trainers: a training step as a pair of pure functions, `init` and `step`."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from numbers import Real
from typing import Any, NamedTuple, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt8

from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.models.discriminator import Discriminator
from jaxvae.models.hvae import HVAE, HierarchyOutputs, refuse_other_models
from jaxvae.models.vae import VAE, Outputs, Variables
from jaxvae.objectives.factor_vae import discriminator_loss
from jaxvae.objectives.multipliers import ascend, objective_multipliers
from jaxvae.platforms import Options, choices_for
from jaxvae.training.images import unit_interval
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
    """

    init: Callable[[Key], TrainState]
    step: Callable[[TrainState, Array], tuple[TrainState, Array, NamedTuple]]
    image_shape: ImageShape | None = None
    nonnegative: frozenset[str] = frozenset()


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
            of an objective of jaxvae other than `target`, NaN and infinity (also those that a
            `partial` gives), what is no number, a schedule without `end`, a schedule or a
            multiplier of none of them, one that is both, an objective that lacks a whole number
            such as `dataset_size`, an adversary where it is not wanted or absent, what is no optax
            transformation, and a hierarchy for an objective of jaxvae for one layer, or the other
            way round.
    """
    values: dict[str, Any] = {} if coefficients is None else dict(coefficients)
    ramps = {} if schedules is None else dict(schedules)
    dual_steps = {} if multipliers is None else dict(multipliers)
    _check(objective, set(values), set(ramps), set(dual_steps), adversary)
    bound: dict[str, Any] = {}
    function: Any = objective
    while isinstance(function, partial):
        bound, function = {**function.keywords, **bound}, function.func
    nonnegative = _nonnegative(function)
    _refuse_the_other_kind(vae, function)
    if not hasattr(optimizer, "update"):
        raise ValueError(
            f"expected an optax transformation, such as optax.adam(1e-3), got {optimizer}"
        )
    _refuse_no_numbers(values)
    _refuse_other_schedules(ramps)
    refuse_negative(bound | values, nonnegative)
    # One multiplier of all layers would follow the sum of their slopes.
    of_layers = objective_multipliers(function)
    for name in dual_steps:
        if of_layers.get(name) and np.ndim(values[name]) == 0:
            values[name] = (values[name],) * len(vae.shapes)

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
        loss, terms = _loss_and_terms(objective(outputs, **arguments))
        return loss, (terms, outputs)

    @once
    def step(
        state: TrainState, images: UInt8[Array, "b h w c"]
    ) -> tuple[TrainState, Array, NamedTuple]:
        if images.dtype != jnp.uint8:
            raise ValueError(f"expected uint8 images of 0 to 255 for a step, got {images.dtype}")
        _refuse_other_state(state, jax.eval_shape(first_state, state.key))
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

    return Trainer(_as_one_program(first_state), step, vae.image_shape, nonnegative)


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


def _is_own(objective: Callable[..., Any]) -> bool:
    """Whether an objective is one of jaxvae, or wraps one under its name."""
    return getattr(objective, "__module__", "").startswith("jaxvae.")


def _refuse_the_other_kind(vae: VAE | HVAE, objective: Callable[..., Any]) -> None:
    """Refuse a hierarchy for an objective of jaxvae for one layer, and the other way round."""
    # What wraps an objective may take other outputs.
    if not _is_own(objective) or hasattr(objective, "__wrapped__"):
        return
    taken = outputs_of(objective)
    if taken is HierarchyOutputs and isinstance(vae, VAE):
        refuse_other_models(vae, HVAE)
    if taken is Outputs and isinstance(vae, HVAE):
        refuse_other_models(vae, VAE)


def outputs_of(objective: Callable[..., Any]) -> Any:
    """The type of outputs that an objective takes, where it is known: of a VAE or a hierarchy."""
    first = next(iter(get_type_hints(objective).values()), None)
    return first if first in (Outputs, HierarchyOutputs) else None


def _nonnegative(objective: Callable[..., Any]) -> frozenset[str]:
    """The coefficients of an objective of jaxvae that may not be negative: all but a distortion."""
    if not _is_own(objective):
        return frozenset()
    return frozenset(inspect.signature(objective).parameters) - {"target"}


def _refuse_other_schedules(schedules: Mapping[str, Any]) -> None:
    for name, schedule in schedules.items():
        parameters = inspect.signature(schedule).parameters if callable(schedule) else {}
        if "end" not in parameters and not any(
            p.kind is p.VAR_KEYWORD for p in parameters.values()
        ):
            raise ValueError(
                f"expected a schedule (step, *, end) -> value for {name}, such as "
                f"partial(linear_ramp, steps=1000), got {schedule}; one of optax is taken as "
                "lambda step, *, end: schedule(step)"
            )


def _refuse_no_numbers(coefficients: Mapping[str, Any]) -> None:
    for name, value in coefficients.items():
        leaves = jax.tree.leaves(value)
        # Nothing is computed: processes may be joined after a trainer was made.
        if not leaves or not all(map(_is_number, leaves)):
            raise ValueError(f"expected a number for {name}, or one for every layer, got {value!r}")


def _is_number(value: Any) -> bool:
    kind = getattr(value, "dtype", None)
    return isinstance(value, Real) if kind is None else jnp.issubdtype(kind, np.number)


def refuse_negative(coefficients: Mapping[str, Any], nonnegative: Collection[str]) -> None:
    """Refuse weights and rates below zero, for which there is no best model, and NaN and infinity.

    Raises:
        ValueError: names the first of them.
    """
    for name, value in coefficients.items():
        leaves = [leaf for leaf in jax.tree.leaves(value) if not isinstance(leaf, jax.core.Tracer)]
        known = [np.asarray(leaf) for leaf in leaves if _is_number(leaf)]
        if name in nonnegative and any(np.any(number < 0) for number in known):
            raise ValueError(f"expected {name} of at least 0, got {value}")
        if not all(np.all(np.isfinite(number)) for number in known):
            raise ValueError(f"expected a finite {name}, got {value}")


def _refuse_other_state(state: TrainState, expected: TrainState) -> None:
    """Refuse what another model, optimizer or objective has left, before it fails halfway."""
    for part in ("variables", "optimizer_state", "adversary", "coefficients"):
        if _names_and_shapes(getattr(state, part)) != _names_and_shapes(getattr(expected, part)):
            raise ValueError(
                "expected a state that this trainer began with, got one of another model, "
                f"optimizer or objective: names or shapes of its {part} differ"
            )


def _names_and_shapes(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    """The structure of a tree, whose nodes may be equal to themselves alone, and its shapes."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [jnp.shape(leaf) for leaf in leaves]


def _loss_and_terms(returned: Any) -> tuple[Array, NamedTuple]:
    """The loss and terms that an objective returned, if it returned both."""
    if not isinstance(returned, tuple) or len(returned) != 2 or not hasattr(returned[1], "_asdict"):
        raise ValueError(
            f"expected an objective to return a loss and a NamedTuple, got {type(returned)}"
        )
    loss, terms = returned
    if jnp.shape(loss) != () or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
        raise ValueError(f"expected one number as the loss of an objective, got {loss}")
    return loss, terms


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


def _check(
    objective: Objective,
    given: set[str],
    scheduled: set[str],
    learned: set[str],
    adversary: Adversary | None,
) -> None:
    """Refuse what would fail in the middle of a compilation."""
    if not callable(objective):
        raise ValueError(
            f"expected an objective, such as beta_vae, before the optimizer, got {objective}"
        )
    parameters = list(inspect.signature(objective).parameters.values())[1:]
    numbers = {parameter.name for parameter in parameters} - {"discriminator"}
    required = {p.name for p in parameters if p.default is p.empty} - {"discriminator"}
    # A whole number shapes the program; a coefficient is a part of the state.
    whole = sorted(p.name for p in parameters if p.annotation is int and p.name in required)
    if whole:
        wanted = ", ".join(f"{name}=..." for name in whole)
        raise ValueError(
            f"expected an objective that knows {', '.join(whole)}, which no coefficient can be: "
            f"give partial({getattr(objective, '__name__', 'objective')}, {wanted})"
        )
    if not required <= given <= numbers:
        raise ValueError(
            f"expected coefficients among {sorted(numbers)}, with {sorted(required)}, "
            f"got {sorted(given)}"
        )
    if not scheduled <= given:
        raise ValueError(
            f"expected schedules of the coefficients {sorted(given)}, got {sorted(scheduled)}"
        )
    if not learned <= given - scheduled:
        raise ValueError(
            f"expected multipliers among the coefficients without a schedule, "
            f"{sorted(given - scheduled)}, got {sorted(learned)}"
        )
    adversarial = any(parameter.name == "discriminator" for parameter in parameters)
    if adversarial != (adversary is not None):
        wanted = "an adversary" if adversarial else "no adversary"
        raise ValueError(f"expected {wanted} for this objective, got {adversary}")
