"""Coefficients that are learned: Lagrange multipliers, which ascend the loss."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, get_type_hints

import jax.numpy as jnp
from jaxtyping import Array, Float

_MARK = "multiplier"
# An objective says by these types which of its coefficients are learned.
Multiplier: TypeAlias = Annotated[Float[Array, ""], _MARK]
LayerMultipliers: TypeAlias = Annotated[Float[Array, " l"], _MARK]

# Multipliers stay between these: one that would leave them belongs to a target out of reach.
LEAST, MOST = 1e-3, 1e3
# The logarithm changes by no more in one step, so that a far start does not end at a bound.
_LARGEST_CHANGE = 0.02


def objective_multipliers(objective: Callable[..., Any]) -> dict[str, bool]:
    """The coefficients that are learned, and whether every layer has its own.

    They are known by the types of the parameters; without types that can be read there are none.
    """
    try:
        hints = get_type_hints(objective, include_extras=True)
    except (NameError, TypeError):
        return {}
    kinds = ((Multiplier, False), (LayerMultipliers, True))
    # Compared one by one: what others annotate types with may have no hash.
    return {
        name: by_layer for name, hint in hints.items() for kind, by_layer in kinds if hint == kind
    }


def ascend(
    multiplier: Float[Array, "*l"], slope: Float[Array, "*l"], *, step: float
) -> Float[Array, "*l"]:
    """A step of dual ascent in the logarithm, which keeps a multiplier positive.

    `log m` grows by `step * slope`, by at most 0.02, and m stays from 0.001 to 1,000. Without a
    slope it stays as it is, whatever it is. Where the loss is a Lagrangian `f + m (g - t)`, the
    slope is `g - t`: m grows while g is above its target.

    Args:
        multiplier: the multiplier; positive where there is a slope.
        slope: derivative of the loss by the multiplier.
        step: size of the step, per unit of slope.
    """
    change = jnp.clip(step * slope, -_LARGEST_CHANGE, _LARGEST_CHANGE)
    ascended = jnp.clip(multiplier * jnp.exp(change), LEAST, MOST)
    return jnp.where(slope == 0, multiplier, ascended)
