"""What the models of a grid of prices say of each other: who has failed, who is best."""

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.geometry.arrays import as_float64

# Standard errors beyond which a difference is no chance.
_CLEAR = 3.0


def suspect_cells(
    prices: Float[np.ndarray, "m l"],
    rates: Float[np.ndarray, "m l"],
    errors: Float[np.ndarray, "m l"],
    distortions: Float[np.ndarray, " m"],
) -> Bool[np.ndarray, " m"]:
    """Models whose rates are out of order: no optima at their prices.

    Global optima of D + beta . R obey `(beta - beta') . (R - R') <= 0`, over the images that
    they are optima on. Of two models that break it by more than three standard errors, that
    one is suspect which costs more at its own prices than the other would: one at least.

    Args:
        prices: beta_l of every model and layer.
        rates: R_l, nats; NaN for a model without any. On held-out images, overfitting can
            bring them out of order too.
        errors: standard errors of the rates.
        distortions: D, nats.

    Returns:
        Which are suspect; a model with NaN is not, and makes no other so.

    Reference: Xiao and Bamler (2023).
    """
    prices, rates, errors, distortions = map(as_float64, (prices, rates, errors, distortions))
    between = prices[:, None] - prices
    product = np.sum(between * (rates[:, None] - rates), axis=-1)
    noise = np.sqrt(np.sum(between**2 * (errors[:, None] ** 2 + errors**2), axis=-1))
    costs = _costs(prices, rates, distortions)
    cheaper_elsewhere = np.diag(costs)[:, None] > costs
    return np.any((product > _CLEAR * noise) & cheaper_elsewhere, axis=1)


def excess_costs(
    prices: Float[np.ndarray, "m l"],
    rates: Float[np.ndarray, "m l"],
    distortions: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " m"]:
    """What every model costs more, at its own prices, than the cheapest of all would, in nats.

    The optimum at these prices costs at least so much less: 0 for a model that none of the
    others beats, and a sign of training that is not finished.

    Args:
        prices: beta_l of every model and layer.
        rates: R_l, nats; NaN for a model without any.
        distortions: D, nats.
    """
    costs = _costs(*map(as_float64, (prices, rates, distortions)))
    least = np.min(np.where(np.isnan(costs), np.inf, costs), axis=1)
    return np.where(np.isfinite(least), np.diag(costs) - least, np.nan)


def rate_distortion_hull(
    rates: Float[np.ndarray, " m"], distortions: Float[np.ndarray, " m"]
) -> Int[np.ndarray, " h"]:
    """The models on the lower convex hull of distortion against total rate.

    By switching at random between two models, every point between them can be had: what is
    above the hull is never the best.

    Args:
        rates: total, nats.
        distortions: nats.

    Returns:
        Their places, by growing rate, from the smallest rate to the smallest distortion;
        models with NaN are left out.
    """
    rates, distortions = as_float64(rates), as_float64(distortions)
    known = np.flatnonzero(np.isfinite(rates) & np.isfinite(distortions))
    hull: list[int] = []
    for place in known[np.lexsort((distortions[known], rates[known]))]:
        if hull and distortions[place] >= distortions[hull[-1]]:
            continue
        while len(hull) > 1 and not _turns_left(rates, distortions, hull[-2], hull[-1], place):
            hull.pop()
        hull.append(int(place))
    return np.array(hull, int)


def _costs(
    prices: Float[np.ndarray, "m l"],
    rates: Float[np.ndarray, "m l"],
    distortions: Float[np.ndarray, " m"],
) -> Float[np.ndarray, "m m"]:
    """At [i, j] what model j costs at the prices of model i."""
    return distortions + prices @ rates.T


def _turns_left(x: np.ndarray, y: np.ndarray, a: int, b: int, c: int) -> bool:
    """Whether the way from a over b to c turns to the left: b is below the line."""
    return (x[b] - x[a]) * (y[c] - y[a]) > (y[b] - y[a]) * (x[c] - x[a])
