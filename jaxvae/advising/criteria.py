"""The criteria for the size of the bottleneck: the one that decides, and others beside it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxvae.advising.reading import SweepReading
from jaxvae.analysis.advice import Advice, sufficient_bottleneck
from jaxvae.analysis.sizing import SizeBounds, bounds_of
from jaxvae.analysis.spread import spread_of

UNKNOWN = "unknown"
"""The answer of a criterion without the numbers that it needs."""

# FONDUE stops where the IDs of sample and mean differ by this share of the ID of the data. Where
# chance alone moves an ID by as much, neither FONDUE nor the Gaussian null tell anything.
_GAP = 0.2
_NULL_DEVIATIONS = 2.0


class Criterion(NamedTuple):
    """The answer of one criterion, with its evidence.

    Attributes:
        name: name of the criterion.
        answer: a size in words.
        size: the same size as a number, None if there is none.
        evidence: the numbers that the answer comes from.
        trust: what the criterion can tell, and what it cannot.
    """

    name: str
    answer: str
    size: int | None
    evidence: str
    trust: str


def decided_bounds(reading: SweepReading) -> SizeBounds:
    """`delta_bounds` without the sizes below the fewest latents that the data need.

    On few held-out images a factor that a size loses may change no neighbor. No size is enough
    there that is below `smallest_near_cheapest`, or has fewer latents than the largest size uses.
    """
    bounds = delta_bounds(reading)
    if reading.obstacle:
        return bounds
    bounds = bounds.at_least(reading.fewest_latents)
    if bounds.sufficient is None or not reading.has_few_images:
        return bounds
    roomy = int(reading.sizes[reading.sizes >= used_latents(reading)].min())
    return bounds._replace(
        sufficient=max(bounds.sufficient, smallest_near_cheapest(reading) or 0, roomy)
    )


def delta_bounds(reading: SweepReading) -> SizeBounds:
    """Bounds that the equivalence test on Delta(output -> input) leaves for the smallest size.

    The bounds exclude no size where nothing can be shown.
    """
    if reading.obstacle:
        return SizeBounds(0, None)
    return bounds_of(reading.sizes, delta_advice(reading))


def delta_advice(reading: SweepReading) -> Advice:
    """The result of the equivalence test on Delta(output -> input)."""
    return sufficient_bottleneck(reading.sizes, reading.imbalance)


def criteria_of(
    reading: SweepReading, nulls: Mapping[int, tuple[float, float]]
) -> tuple[Criterion, ...]:
    """All criteria, that which decides first.

    Args:
        reading: measurements of a sweep.
        nulls: TwoNN of Gaussians of the same n, mean and deviation by size.
    """
    means, deviations = np.array([nulls[int(size)] for size in reading.sizes]).T
    # A share of the ID that is nearly the same for all sizes, each of a few clouds.
    chance = _NULL_DEVIATIONS * float(np.sqrt(np.mean((deviations / means) ** 2)))
    return (
        _equivalence(reading),
        _cost(reading),
        _fondue(reading, chance),
        _used(reading),
        _filled(reading, means, chance),
    )


def _equivalence(reading: SweepReading) -> Criterion:
    bounds, decided = delta_bounds(reading), decided_bounds(reading)
    evidence = f"Δ {_listed(reading, reading.mean_imbalance, 4)}"
    if decided.sufficient == bounds.sufficient and decided != bounds:
        fewest = reading.fewest_latents
        evidence += f"; smaller sizes are left out, as the data have {fewest} dimensions or more"
        bounds = decided
    return Criterion(
        "equivalence test on Δ(output→input)",
        str(bounds),
        bounds.sufficient,
        evidence,
        "decides: its error rates are known, and it measures what reconstructions keep",
    )


def smallest_near_cheapest(reading: SweepReading) -> int | None:
    """The smallest size whose negative ELBO is within two standard errors of the lowest one.

    It is not told from the lowest, which is no evidence that it is as low. None for one seed or one
    size, which do not show how much trainings differ.
    """
    if min(reading.cost.shape) < 2:
        return None
    means = reading.cost.mean(axis=1)
    best = int(means.argmin())
    variance = spread_of(reading.cost).variance / reading.cost.shape[1]
    near = means - means[best] <= 2 * np.sqrt(variance + variance[best])
    return int(reading.sizes[near].min())


def used_latents(reading: SweepReading) -> int:
    """The active units of the largest size, in the mean over seeds."""
    return round(float(reading.active_units[-1].mean()))


def _cost(reading: SweepReading) -> Criterion:
    size = smallest_near_cheapest(reading)
    return Criterion(
        "negative ELBO not told from the lowest",
        UNKNOWN if size is None else str(size),
        size,
        f"nats {_listed(reading, reading.cost.mean(axis=1), 1)}"
        + ("; it takes two seeds and two sizes" if size is None else ""),
        "the smallest size within two standard errors of the lowest negative ELBO, which may be "
        "higher all the same; it also rewards pixels that change no neighborhood",
    )


def _fondue(reading: SweepReading, chance: float) -> Criterion:
    dimensions = {name: each.mean(axis=1) for name, each in reading.dimensions.items()}
    gap = dimensions["sample"] - dimensions["mean"]
    most = _GAP * float(dimensions["input"].mean())
    answer, size = _largest(reading, gap <= most, gap - most, chance)
    return Criterion(
        "FONDUE",
        answer,
        size,
        f"ID of sample minus mean {_listed(reading, gap, 1)}; at most {most:.1f}{_few(chance)}",
        "Bonheme and Grzes (2022): the largest size tried at which at most a fifth of the "
        "dimensions carry no information; noise around curved data counts as such. It does not say "
        "what is lost",
    )


def _used(reading: SweepReading) -> Criterion:
    active, counts, size = reading.active_units.mean(axis=1), reading.types, used_latents(reading)
    kinds = ", ".join(
        f"{float(each.mean(axis=1)[-1]):.1f} {name}"
        for name, each in counts.items()
        if np.isfinite(each[-1]).all()
    )
    return Criterion(
        "active units at the largest size",
        str(size),
        size,
        f"units whose mean depends on the image {_listed(reading, active, 1)}"
        + (f"; by their variance, of {reading.sizes[-1]} latents {kinds}" if kinds else ""),
        "how many latents the objective uses: it changes with beta, the likelihood and training",
    )


def _filled(reading: SweepReading, nulls: Float[np.ndarray, " k"], chance: float) -> Criterion:
    """The largest size that the means fill, so that their ID is no smaller than a Gaussian's."""
    dimensions = reading.dimensions["mean"].mean(axis=1)
    answer, size = _largest(reading, dimensions >= nulls * (1 - chance), dimensions, chance)
    return Criterion(
        "ID of the mean against its Gaussian null",
        answer,
        size,
        f"ID {_listed(reading, dimensions, 1)}; null {_listed(reading, nulls, 1)}{_few(chance)}",
        "the largest size tried whose dimensions the means all fill, evenly; data that are curved, "
        "or in clusters or a cube, may need more",
    )


def _largest(
    reading: SweepReading,
    meets: Bool[np.ndarray, " k"],
    evidence: Float[np.ndarray, " k"],
    chance: float,
) -> tuple[str, int | None]:
    """The largest size that meets a criterion of IDs, in words and as a number.

    Means that no image moves have an ID all the same, which has no scale: sizes without an active
    latent meet no criterion.
    """
    if not np.isfinite(evidence).all() or chance > _GAP:
        return UNKNOWN, None
    fine = reading.sizes[meets & (reading.active_units.mean(axis=1) >= 1)]
    if len(fine) == 0:
        return f"less than {reading.sizes[0]}", None
    size = int(fine.max())
    return (f"{size} or more" if size == reading.sizes[-1] else str(size)), size


def _few(chance: float) -> str:
    return "; it takes more held-out images" if chance > _GAP else ""


def _listed(reading: SweepReading, values: Float[np.ndarray, " k"], digits: int) -> str:
    return ", ".join(
        f"{value:.{digits}f} at {size}" for size, value in zip(reading.sizes, values, strict=True)
    )
