"""Which models of a grid of betas are no optimum beside others, and which are the best."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.geometry.arrays import as_float64

# A loss that is more than so many nats per image above that of another model is worth a word.
MATERIAL = 1.0
# The share of grids of optima in which some model is suspect.
_ERROR = 0.05


def suspect_cells(
    betas: Float[np.ndarray, "m l"],
    rates: Float[np.ndarray, "m n l"],
    distortions: Float[np.ndarray, "m n"],
) -> Bool[np.ndarray, " m"]:
    """Models whose rates are out of order, so that they are no optima at their betas.

    Global optima of D + beta . R obey `(beta - beta') . (R - R') <= 0`, over the images that
    they are optima on. A model is suspect if with some other one

    - it breaks that by more than its standard errors allow, and
    - its loss D + beta . R, at its own betas, is higher than that of the other would be: by more
      than `MATERIAL`, one nat per image, and by more than the standard errors of this excess
      allow.

    Both are means over images of what the two models differ by on the same image. They have to
    exceed the quantile of Student's t that some ordered pair of a grid exceeds in 5% of cases
    (Bonferroni). The standard errors are over images, not over trainings: the question is whether
    this model is an optimum, not whether another training would give one.

    Args:
        betas: beta_l of every model and layer.
        rates: R_l of every model, image and layer, nats; NaN for a model without any. On
            held-out images, overfitting can bring the rates out of order too.
        distortions: D of every model and image, nats.

    Returns:
        Which are suspect; a model with NaN is not, and makes no other so.

    Raises:
        ValueError: for shapes that do not match, and fewer than two images.

    Reference: Xiao and Bamler (2023).
    """
    compared = _compared(betas, rates, distortions)
    broken = (compared.product > 0) & (compared.product > compared.product_limit)
    costly = compared.excess > np.maximum(MATERIAL, compared.excess_limit)
    return _of_all(np.any(broken & costly, axis=1), compared.known, False)


def excess_costs(
    betas: Float[np.ndarray, "m l"],
    rates: Float[np.ndarray, "m n l"],
    distortions: Float[np.ndarray, "m n"],
) -> Float[np.ndarray, " m"]:
    """By how much the loss of every model is at least above that of another at the same betas.

    The loss is D + beta . R in nats, of every model at its own betas. What a model costs more than
    another is a mean over the images of their differences; its lower confidence limit is taken,
    and the largest over the others. The limits hold for all pairs of a grid together, with 95%
    confidence over images (Bonferroni, Student's t). The optimum at these betas is at least so much
    lower: training is not finished, or, on held-out images, a model is overfitted.

    Args:
        betas: as in `suspect_cells`.
        rates: as in `suspect_cells`.
        distortions: as in `suspect_cells`.

    Returns:
        The excess of every model, 0 for one that no other is clearly better than, NaN for one
        without rates.

    Raises:
        ValueError: as in `suspect_cells`.
    """
    compared = _compared(betas, rates, distortions)
    surely = np.max(compared.excess - compared.excess_limit, axis=1, initial=0.0)
    return _of_all(surely, compared.known, np.nan)


class _Compared(NamedTuple):
    """Pairs of the models that have rates, `[i, j]`, and which of all models these are.

    Attributes:
        known: which models have rates.
        product: `(beta - beta') . (R - R')`.
        product_limit: what it exceeds by chance in no pair of 95% of grids.
        excess: what the loss at the betas of model i is larger for it than for model j.
        excess_limit: what it exceeds by chance.
    """

    known: Bool[np.ndarray, " m"]
    product: Float[np.ndarray, "k k"]
    product_limit: Float[np.ndarray, "k k"]
    excess: Float[np.ndarray, "k k"]
    excess_limit: Float[np.ndarray, "k k"]


def _compared(
    betas: Float[np.ndarray, "m l"],
    rates: Float[np.ndarray, "m n l"],
    distortions: Float[np.ndarray, "m n"],
) -> _Compared:
    from scipy.special import stdtrit  # noqa: PLC0415

    betas, rates, distortions = map(as_float64, (betas, rates, distortions))
    are_matrices = betas.ndim == distortions.ndim == 2 and len(betas) == len(distortions)
    if not are_matrices or rates.shape != (*distortions.shape, betas.shape[1]):
        raise ValueError(
            f"expected betas [m, l] with rates [m, n, l] and distortions [m, n], got "
            f"{betas.shape}, {rates.shape} and {distortions.shape}"
        )
    images = distortions.shape[1]
    if images < 2:
        raise ValueError(f"expected at least 2 images, got {images}")
    known = np.isfinite(distortions).all(axis=1) & np.isfinite(rates).all(axis=(1, 2))
    pairs = max(int(known.sum()) * (int(known.sum()) - 1), 1)
    clear = stdtrit(images - 1, 1 - _ERROR / pairs)
    betas, rates, distortions = betas[known], rates[known], distortions[known]
    # D + beta . R as a product with (1, beta).
    weights = np.insert(betas, 0, 1.0, axis=1)
    nats = np.concatenate([distortions[:, None], np.moveaxis(rates, 2, 1)], axis=1, dtype=float)
    means, spread = nats.mean(axis=2), _difference_covariances(nats)
    costs = weights @ means.T
    # The distortions have one weight everywhere, and drop out.
    between = weights[:, None] - weights
    return _Compared(
        known,
        np.einsum("ija,ija->ij", between, means[:, None] - means),
        clear * _error("ija,ijab,ijb->ij", between, spread, images),
        np.diag(costs)[:, None] - costs,
        clear * _error("ia,ijab,ib->ij", weights, spread, images),
    )


def _of_all(values: np.ndarray, known: Bool[np.ndarray, " m"], unknown: float) -> np.ndarray:
    """Values of the models that have rates, and another one for those that have none."""
    every = np.full(len(known), unknown, values.dtype)
    every[known] = values
    return every


def _error(
    sums: str, weights: np.ndarray, spread: Float[np.ndarray, "m m k k"], images: int
) -> Float[np.ndarray, "m m"]:
    """Standard error of a mean over images of a weighted sum of differences."""
    # Rounding may leave less than nothing.
    return np.sqrt(np.maximum(np.einsum(sums, weights, spread, weights), 0) / images)


def _difference_covariances(nats: Float[np.ndarray, "m k n"]) -> Float[np.ndarray, "m m k k"]:
    """Covariances over images of the differences of two models, in each of k numbers."""
    models, numbers, images = nats.shape
    centered = (nats - nats.mean(axis=2, keepdims=True)).reshape(-1, images)
    joint = (centered @ centered.T / (images - 1)).reshape(models, numbers, models, numbers)
    joint = joint.swapaxes(1, 2)
    own = joint[np.arange(models), np.arange(models)]
    return own[:, None] + own - joint - joint.swapaxes(2, 3)


def rate_distortion_hull(
    rates: Float[np.ndarray, " m"], distortions: Float[np.ndarray, " m"]
) -> Int[np.ndarray, " h"]:
    """The models on the lower convex hull of distortion against total rate.

    By switching at random between two models, every point on the line between them is reached: a
    model above the hull is never the best.

    Args:
        rates: total rates of the models, nats.
        distortions: distortions of the models, nats.

    Returns:
        Indices of the models on the hull, by growing rate, from the smallest rate to the smallest
        distortion. Of equal models the first one counts, of models on a line the two ends; those
        with NaN or infinity are left out.

    Raises:
        ValueError: for shapes that do not match.
    """
    rates, distortions = as_float64(rates), as_float64(distortions)
    if rates.ndim != 1 or rates.shape != distortions.shape:
        raise ValueError(
            f"expected rates [m] with distortions [m], got {rates.shape} and {distortions.shape}"
        )
    known = np.flatnonzero(np.isfinite(rates) & np.isfinite(distortions))
    hull: list[int] = []
    for index in known[np.lexsort((distortions[known], rates[known]))]:
        if hull and distortions[index] >= distortions[hull[-1]]:
            continue
        while len(hull) > 1 and not _turns_left(rates, distortions, hull[-2], hull[-1], index):
            hull.pop()
        hull.append(int(index))
    return np.array(hull, int)


def _turns_left(x: np.ndarray, y: np.ndarray, a: int, b: int, c: int) -> bool:
    """Whether the way from a over b to c turns to the left: b is below the line."""
    return (x[b] - x[a]) * (y[c] - y[a]) > (y[b] - y[a]) * (x[c] - x[a])
