"""Sums of squares over features, as sums of sums, so that their rounding stays small."""

import math

from jaxtyping import Float

from jaxvae.typing import EitherArray

# Neighboring terms of a sum over features that are kept apart to the end.
_LANES = 16


def sum_of_squares(values: Float[EitherArray, "*batch d"]) -> Float[EitherArray, "*batch"]:
    """Sum of squares over the last axis, as sums of sums so that rounding stays small."""
    return _sum_of_sums(values * values)


def _sum_of_sums(terms: Float[EitherArray, "*batch d"]) -> Float[EitherArray, "*batch"]:
    side, cubed = _cube(terms.shape[-1])
    if side == 0:
        return terms.sum(axis=-1)
    cube = terms[..., :cubed].reshape(*terms.shape[:-1], side, side, _LANES)
    total = cube.sum(axis=-3).sum(axis=-2).sum(axis=-1)
    return total + _sum_of_sums(terms[..., cubed:]) if cubed < terms.shape[-1] else total


def most_additions(features: int) -> int:
    """The longest chain of additions that a term of `sum_of_squares` goes through."""
    side, cubed = _cube(features)
    if side == 0:
        return features
    return 1 + max(2 * side + _LANES, most_additions(features - cubed))


def _cube(features: int) -> tuple[int, int]:
    """The side of the largest array [side, side, lanes] of features, and its size; 0 if few."""
    side = math.isqrt(features // _LANES) if features > 4 * _LANES else 0
    return side, side * side * _LANES
