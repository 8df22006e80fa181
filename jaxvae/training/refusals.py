"""Refusals of what a trainer is given and cannot train with, before anything is compiled."""

import inspect
from collections.abc import Callable, Mapping, Set
from numbers import Real
from typing import Any, NamedTuple, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxvae.models.hierarchy import HierarchyOutputs
from jaxvae.models.hvae import HVAE, refuse_other_models
from jaxvae.models.vae import VAE, Outputs
from jaxvae.objectives.multipliers import LEAST, MOST
from jaxvae.typing import Key

# Generators of JAX that under `vmap` draw the numbers of all keys from the first one.
_DEPENDENT = ("rbg", "unsafe_rbg")


def refuse_other_arguments(
    objective: Callable[..., Any],
    given: set[str],
    scheduled: set[str],
    learned: set[str],
    adversary: Any,
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


def refuse_other_kind(vae: VAE | HVAE, objective: Callable[..., Any]) -> None:
    """Refuse a hierarchy for an objective of jaxvae for one layer, and the other way round."""
    # What wraps an objective may take other outputs.
    if not _is_own(objective) or hasattr(objective, "__wrapped__"):
        return
    taken = outputs_of(objective)
    if taken is HierarchyOutputs and isinstance(vae, VAE):
        refuse_other_models(vae, HVAE)
    if taken is Outputs and isinstance(vae, HVAE):
        refuse_other_models(vae, VAE)


def refuse_other_schedules(schedules: Mapping[str, Any]) -> None:
    """Refuse schedules that do not take the coefficient as `end`."""
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


def refuse_no_numbers(coefficients: Mapping[str, Any]) -> None:
    """Refuse coefficients that are neither a number nor several."""
    for name, value in coefficients.items():
        leaves = jax.tree.leaves(value)
        # Nothing is computed: processes may be joined after a trainer was made.
        if not leaves or not all(map(_is_number, leaves)):
            raise ValueError(f"expected a number for {name}, or one for every layer, got {value!r}")


def refuse_negative(coefficients: Mapping[str, Any], nonnegative: Set[str]) -> None:
    """Refuse weights and rates below zero, for which there is no best model, NaN and infinity.

    Those of an objective of the user, which are not among the names, are left to it.

    Raises:
        ValueError: names the first of them.
    """
    for name in nonnegative & coefficients.keys():
        value = coefficients[name]
        leaves = [leaf for leaf in jax.tree.leaves(value) if not isinstance(leaf, jax.core.Tracer)]
        known = [np.asarray(leaf, np.float64) for leaf in leaves if _is_number(leaf)]
        if any(np.any(number < 0) for number in known):
            raise ValueError(f"expected {name} of at least 0, got {value}")
        # NaN stands for a layer that has no target.
        refused = np.isinf if name == "targets" else _is_not_finite
        if any(np.any(refused(number)) for number in known):
            raise ValueError(f"expected a finite {name}, got {value}")


def refuse_dependent_keys(keys: Key) -> None:
    """Refuse keys of members of an ensemble, one or all, with which they would not be independent.

    Raises:
        ValueError: says which generator will do.
    """
    generator = jax.random.key_impl(keys)
    if generator in _DEPENDENT:
        raise ValueError(
            "expected keys of threefry for an ensemble, such as "
            f"jax.random.key(0, impl='threefry2x32'), got keys of {generator}, with which members "
            "would depend on each other: batched, all of them draw from the first key"
        )


def refuse_far_starts(coefficients: Mapping[str, Any], learned: Set[str]) -> None:
    """Refuse multipliers that the first step would move into their bounds.

    Those of layers without a target, which is NaN, are not learned and may be anything.

    Raises:
        ValueError: names the first of them.
    """
    targets = coefficients.get("targets", 0.0)
    for name in sorted(learned):
        value = coefficients[name]
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((value, targets))):
            continue
        starts, has_target = np.atleast_1d(value), ~np.isnan(np.atleast_1d(targets))
        of_layers = starts.shape == has_target.shape
        far = ~((starts >= LEAST) & (starts <= MOST)) & (has_target if of_layers else True)
        if far.any():
            raise ValueError(
                f"expected {name} to start from {LEAST:g} to {MOST:g} where it is learned, got "
                f"{value}"
            )


def refuse_other_state(state: Any, expected: Any) -> None:
    """Refuse what another model, optimizer or objective has left, before it fails halfway."""
    for part in ("variables", "optimizer_state", "adversary", "coefficients"):
        if _names_and_shapes(getattr(state, part)) != _names_and_shapes(getattr(expected, part)):
            raise ValueError(
                "expected a state that this trainer began with, got one of another model, "
                f"optimizer or objective: names or shapes of its {part} differ"
            )


def checked_loss(returned: Any) -> tuple[Array, NamedTuple]:
    """The loss and terms that an objective returned, if it returned both."""
    if not isinstance(returned, tuple) or len(returned) != 2 or not hasattr(returned[1], "_asdict"):
        raise ValueError(
            f"expected an objective to return a loss and a NamedTuple, got {type(returned)}"
        )
    loss, terms = returned
    if jnp.shape(loss) != () or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
        raise ValueError(f"expected one number as the loss of an objective, got {loss}")
    return loss, terms


def outputs_of(objective: Callable[..., Any]) -> Any:
    """The type of outputs that an objective takes, where it is known: of a VAE or a hierarchy."""
    first = next(iter(get_type_hints(objective).values()), None)
    return first if first in (Outputs, HierarchyOutputs) else None


def nonnegative_of(objective: Callable[..., Any]) -> frozenset[str]:
    """The coefficients of an objective of jaxvae that may not be negative: all but a distortion."""
    if not _is_own(objective):
        return frozenset()
    return frozenset(inspect.signature(objective).parameters) - {"target"}


def _is_own(objective: Callable[..., Any]) -> bool:
    """Whether an objective is one of jaxvae, or wraps one under its name."""
    return getattr(objective, "__module__", "").startswith("jaxvae.")


def _is_number(value: Any) -> bool:
    kind = getattr(value, "dtype", None)
    return isinstance(value, Real) if kind is None else jnp.issubdtype(kind, np.number)


def _is_not_finite(number: np.ndarray) -> np.ndarray:
    return ~np.isfinite(number)


def _names_and_shapes(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    """The structure of a tree, whose nodes may be equal to themselves alone, and its shapes."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [jnp.shape(leaf) for leaf in leaves]
