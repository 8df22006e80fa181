"""Stability of long training: clipped and skipped gradients, and averages of parameters.

Wrappers of any optax transformation. Their state is a part of the optimizer's: it is saved
and resumed, and every member of an ensemble has its own.
"""

import math
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from jaxvae.models.vae import Variables
from jaxvae.training.trainer import TrainState

Found = TypeVar("Found")


class StabilizedState(NamedTuple):
    """The state of `stabilized`.

    Attributes:
        inner: state of the optimizer.
        clipped: `[]`, steps whose gradient was scaled down.
        skipped: `[]`, steps without an update.
    """

    inner: Any
    clipped: Int[Array, ""]
    skipped: Int[Array, ""]


class AveragedState(NamedTuple):
    """The state of `averaged`.

    Attributes:
        inner: state of the optimizer.
        average: moving average of the parameters after every update; before the first, the
            parameters.
        updates: `[]`, averaged so far.
    """

    inner: Any
    average: Any
    updates: Int[Array, ""]


def stabilized(
    optimizer: optax.GradientTransformation, *, clip: float = math.inf, skip: float = math.inf
) -> optax.GradientTransformation:
    """An optimizer that is given no large gradient, and skips those beyond all measure.

    With g the gradient and |g| its global norm, over all parameters together: the optimizer
    is given `g min(1, clip / |g|)`, unless |g| exceeds `skip` or is not finite. Then neither
    the parameters nor what the optimizer remembers are updated; running statistics and
    multipliers, which are no part of either, are. Norms above 1.8e19,
    whose squares leave float32, count as infinite. A loss that is not finite still ends a
    run: this is about finite losses whose gradient is of no use.

    Args:
        optimizer: what takes the gradient; its state is in `inner`.
        clip: largest norm that is passed on, in nats per unit of the parameters.
        skip: largest norm of a gradient that is used at all; at least `clip`.

    Returns:
        A transformation whose state is a `StabilizedState`.

    Raises:
        ValueError: for norms that are not positive, and `skip` below `clip` where there is
            a `clip`.

    Reference: Pascanu, Mikolov and Bengio (2013) for clipping; Child (2021) for skipping.
    """
    if not clip > 0:
        raise ValueError(f"expected a positive clip, got {clip}")
    if not skip > 0 or (math.isfinite(clip) and skip < clip):
        raise ValueError(f"expected a positive skip of at least clip {clip}, got {skip}")
    guarded = optax.chain(optax.clip_by_global_norm(clip), optimizer)

    def init(params: Any) -> StabilizedState:
        return StabilizedState(guarded.init(params), jnp.int32(0), jnp.int32(0))

    def update(gradients: Any, state: StabilizedState, params: Any = None) -> tuple[Any, Any]:
        norm = optax.tree.norm(gradients)
        # `optax.apply_if_finite` would give in after so many in a row.
        use = jnp.isfinite(norm) & (norm <= skip)
        updates, inner = lax.cond(
            use,
            lambda: guarded.update(gradients, state.inner, params),
            lambda: (optax.tree.zeros_like(gradients), state.inner),
        )
        clipped = state.clipped + (use & (norm > clip))
        return updates, StabilizedState(inner, clipped, state.skipped + ~use)

    return optax.GradientTransformation(init, update)


def averaged(
    optimizer: optax.GradientTransformation, *, decay: float
) -> optax.GradientTransformation:
    """An optimizer that keeps an exponential moving average of the parameters.

    After t updates `sum_i decay^(t - i) p_i / sum_i decay^(t - i)` over i = 1 ... t, p_i the
    parameters after update i: the first ones weigh no more than their share, and the initial
    ones nothing. In the long run the average is over about `1 / (1 - decay)` updates. It must
    have the last word on them: `stabilized` may go around it, and a skipped step then leaves
    the average as it is, but nothing that changes updates may.

    Args:
        optimizer: what makes the updates; its state is in `inner`.
        decay: between 0 and 1.

    Returns:
        A transformation whose state is an `AveragedState`; `averaged_params` finds the
        average in it.

    Raises:
        ValueError: for a decay that is not above 0 and below 1, and an update without the
            parameters.

    Reference: Polyak and Juditsky (1992) for averaging, Kingma and Ba (2015) for the
    correction of its start.
    """
    if not 0 < decay < 1:
        raise ValueError(f"expected a decay between 0 and 1, got {decay}")

    def init(params: Any) -> AveragedState:
        return AveragedState(optimizer.init(params), params, jnp.int32(0))

    def update(gradients: Any, state: AveragedState, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("expected the parameters to average, got None")
        updates, inner = optimizer.update(gradients, state.inner, params)
        count = state.updates + 1
        weight = _share_of_the_last(decay, count)
        average = jax.tree.map(
            lambda old, new: old + weight * (new - old),
            state.average,
            optax.apply_updates(params, updates),
        )
        return updates, AveragedState(inner, average, count)

    return optax.GradientTransformation(init, update)


def averaged_params(optimizer_state: Any) -> Any | None:
    """The average that `averaged` keeps anywhere in this state; None without one."""
    state = _find(optimizer_state, AveragedState)
    return None if state is None else state.average


def stabilized_counts(optimizer_state: Any) -> tuple[Int[Array, ""], Int[Array, ""]] | None:
    """Steps that `stabilized` clipped and skipped; None without it."""
    state = _find(optimizer_state, StabilizedState)
    return None if state is None else (state.clipped, state.skipped)


def evaluation_variables(state: TrainState) -> Variables:
    """The variables to evaluate, save and analyze: averaged parameters, if there are any.

    Running statistics are the current ones: those of batch normalization belong to the
    current parameters, and may not suit an average over many steps.
    """
    average = averaged_params(state.optimizer_state)
    return state.variables if average is None else state.variables._replace(params=average)


def _share_of_the_last(decay: float, count: Int[Array, ""]) -> Float[Array, ""]:
    """`(1 - decay) / (1 - decay^count)`, 1 at first; in float32 without cancellation."""
    return jnp.float32(1 - decay) / -jnp.expm1(count * jnp.float32(math.log(decay)))


def _find(state: Any, kind: type[Found]) -> Found | None:
    leaves = jax.tree.leaves(state, is_leaf=lambda each: isinstance(each, kind))
    return next((each for each in leaves if isinstance(each, kind)), None)
