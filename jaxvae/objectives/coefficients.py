"""Coefficients of an objective: one number each, or one for each of several rates."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.typing import ArrayLike


def refuse_several(coefficients: Mapping[str, Any]) -> None:
    """Refuse several numbers in the place of one: the loss would be as many.

    Raises:
        ValueError: names the first of them.
    """
    for name, value in coefficients.items():
        if np.shape(value) != ():
            raise ValueError(f"expected one number as {name}, got shape {np.shape(value)}")


def one_or_each(
    name: str, values: float | Float[ArrayLike, "*k"], rates: Float[Array, " k"], *, of: str
) -> Float[Array, "*k"]:
    """One number for all rates, or one for each.

    Args:
        name: of the coefficient.
        values: the coefficient.
        rates: the rates that it is for.
        of: what these are the rates of, such as `layers`.

    Raises:
        ValueError: for another shape, which would broadcast or fail.
    """
    numbers = jnp.asarray(values, rates.dtype)
    if numbers.shape not in ((), rates.shape):
        raise ValueError(
            f"expected {name} for each of {len(rates)} {of}, or one for all, got shape "
            f"{numbers.shape}"
        )
    return numbers
