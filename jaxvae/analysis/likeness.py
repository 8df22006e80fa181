"""How much of their similarity models lose where more than the seed differs between them."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.geometry.arrays import as_float64


class Lost(NamedTuple):
    """The similarity that is lost where a condition differs, with its error over seeds.

    Attributes:
        value: the similarity of models of different seeds and the same condition, minus that of
            models of different seeds and conditions; NaN where it is not known.
        stderr: its standard error, in the units of the similarity; NaN for fewer than three seeds.
        seeds: how many it is taken over.
    """

    value: Float[np.ndarray, "*shape"]
    stderr: Float[np.ndarray, "*shape"]
    seeds: int

    def limits(
        self, error: float = 0.05
    ) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
        """Lower and upper confidence limits, Student's t; NaN where the error is not known.

        Args:
            error: the probability that the truth is outside of them.
        """
        from scipy.special import stdtrit  # noqa: PLC0415

        away = stdtrit(max(self.seeds - 1, 1), 1 - error / 2) * self.stderr
        return self.value - away, self.value + away


def similarity_lost(
    similarity: Float[np.ndarray, "*shape m m"],
    seeds: Int[np.ndarray, " m"],
    conditions: Sequence[Hashable],
    differs: Bool[np.ndarray, "m m"],
) -> Lost:
    """How much less similar models are if their condition differs besides their seed.

    Models of the same seed begin with the same parameters, so that they are similar for another
    reason; they are never compared. Of every two seeds the mean similarity of models of the same
    condition is taken, and that of models whose conditions differ; the difference is averaged over
    the pairs of seeds. Pairs that have a seed in common are no independent measurements, so that
    the error is that of the jackknife over seeds (Arvesen 1969): it is too large rather than too
    small (simulated, `docs/statistics.md`). Conditions are taken as they are, and not as a sample
    of others. Only those that every seed has count, so that seeds differ in nothing else.

    Args:
        similarity: of all pairs of models, symmetric, such as debiased CKA of a layer; several
            layers, or differences between two of them, in the dimensions before.
        seeds: seed of every model.
        conditions: what else models differ in, such as the objective and its strength.
        differs: which pairs of models count as of other conditions, such as those of two
            objectives; symmetric.

    Returns:
        `Lost`, of the shape before the last two dimensions. NaN of a model that counts is the
        value's; without a condition that all seeds have, other ones to compare it with, or a
        second seed, the value is NaN.

    Raises:
        ValueError: for shapes and lengths that do not match, and two models of the same seed and
            condition.

    Reference: Arvesen (1969).
    """
    similarity, differs = as_float64(similarity), np.asarray(differs, bool)
    models = len(seeds)
    shapes = [similarity.shape[-2:], differs.shape, (len(conditions),) * 2]
    if similarity.ndim < 2 or any(shape != (models, models) for shape in shapes):
        raise ValueError(
            f"expected similarities [..., {models}, {models}] and differences [{models}, {models}] "
            f"of {models} seeds and as many conditions, got shapes {similarity.shape} and "
            f"{differs.shape} and {len(conditions)} conditions"
        )
    grid = _grid(seeds, conditions)
    if grid.size == 0 or len(grid) < 2:
        unknown = np.full(similarity.shape[:-2], np.nan)
        return Lost(unknown, unknown, len(grid) if grid.size else 0)
    rows, columns = grid[:, :, None, None], grid
    pairs, counted = similarity[..., rows, columns], differs[rows, columns]
    same = np.eye(grid.shape[1], dtype=bool)[:, None] & np.ones_like(counted)
    return _over_seeds(_mean_of(pairs, same) - _mean_of(pairs, counted))


def _grid(seeds: Int[np.ndarray, " m"], conditions: Sequence[Hashable]) -> Int[np.ndarray, "s c"]:
    """The model of every seed, of all conditions that every seed has."""
    places: dict[Hashable, dict[int, int]] = {}
    for place, (seed, condition) in enumerate(zip(seeds, conditions, strict=True)):
        by_seed = places.setdefault(condition, {})
        if int(seed) in by_seed:
            raise ValueError(f"expected one model of seed {seed} and {condition}, got several")
        by_seed[int(seed)] = place
    every = sorted({int(seed) for seed in seeds})
    shared = [by_seed for by_seed in places.values() if len(by_seed) == len(every)]
    return np.array([[by_seed[seed] for by_seed in shared] for seed in every], int)


def _mean_of(
    pairs: Float[np.ndarray, "*shape s c s c"], counted: Bool[np.ndarray, "s c s c"]
) -> Float[np.ndarray, "*shape s s"]:
    """The mean over the conditions that count, of every two seeds; NaN where none does."""
    sums = np.sum(np.where(counted, pairs, 0.0), axis=(-3, -1))
    count = np.sum(counted, axis=(1, 3))
    return np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)


def _over_seeds(lost: Float[np.ndarray, "*shape s s"]) -> Lost:
    """The mean over pairs of different seeds, and its jackknife over seeds."""
    seeds = lost.shape[-1]
    rows = np.sum(np.where(np.eye(seeds, dtype=bool), 0.0, lost), axis=-1)
    total = rows.sum(axis=-1)
    value = total / (seeds * (seeds - 1))
    if seeds < 3:
        return Lost(value, np.full_like(value, np.nan), seeds)
    without = (total[..., None] - 2 * rows) / ((seeds - 1) * (seeds - 2))
    stderr = without.std(axis=-1) * (seeds - 1) ** 0.5
    return Lost(value, stderr, seeds)
