"""How much of their similarity models lose where more than the seed differs between them."""

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.geometry.arrays import as_float64


class Lost(NamedTuple):
    """The similarity that is lost where a condition differs, with its error over seeds.

    Attributes:
        value: the similarity of models of different seeds whose conditions are alike, minus that
            of models of different seeds whose conditions differ; NaN where it is not known.
        stderr: its standard error, in the units of the similarity; NaN for fewer than three seeds.
        seeds: how many it is taken over; 0 where there is nothing to compare.
        counted: the conditions that count.
    """

    value: Float[np.ndarray, "*shape"]
    stderr: Float[np.ndarray, "*shape"]
    seeds: int
    counted: frozenset[Hashable]

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
    alike: Bool[np.ndarray, "m m"] | None = None,
) -> Lost:
    """How much less similar models are if their condition differs besides their seed.

    Models of the same seed begin with the same parameters, so that they are similar for another
    reason; they are never compared. For two models of two seeds and of conditions that differ,
    their similarity is subtracted from the mean of what each of them has with models of the other
    seed whose condition is alike. That is averaged over such models, then over the pairs of seeds.
    So a condition whose models are more similar to all others than those of another one loses
    nothing by that, however often either is trained.

    Pairs of seeds that have a seed in common are no independent measurements, so that the error is
    that of the jackknife over seeds (Arvesen 1969). How often limits from it miss the truth is
    simulated in `docs/statistics.md`. Conditions are taken as they are, and not as a sample of
    others. All seeds that count have the same conditions: where some lack a few, those conditions
    count that give the most pairs among all that three seeds have.

    Args:
        similarity: of all pairs of models, symmetric, such as debiased CKA of a layer; several
            layers, or differences between two of them, in the dimensions before.
        seeds: seed of every model.
        conditions: what else models differ in, such as the objective and its strength.
        differs: which pairs of models count as of other conditions, such as those of two
            objectives; symmetric.
        alike: which pairs they are compared with, such as those of another strength of the same
            objective; symmetric. By default those of the same condition. A condition that is
            alike to none does not count.

    Returns:
        `Lost`, of the shape before the last two dimensions. NaN and infinity of a model that
        counts make the value NaN; where no two seeds have models to compare, the value is NaN.

    Raises:
        ValueError: for shapes and lengths that do not match, similarities and pairs that are not
            symmetric, and two models of the same seed and condition.

    Reference: Arvesen (1969).
    """
    names = {one: number for number, one in enumerate(dict.fromkeys(conditions))}
    numbers = np.array([names[one] for one in conditions], int)
    similarity, differs = as_float64(similarity), np.asarray(differs, bool)
    similarity = np.where(np.isfinite(similarity), similarity, np.nan)
    same = np.equal.outer(numbers, numbers)
    alike = same if alike is None else np.asarray(alike, bool)
    models = len(seeds)
    shapes = [similarity.shape[-2:], differs.shape, alike.shape, same.shape]
    if similarity.ndim < 2 or any(shape != (models, models) for shape in shapes):
        raise ValueError(
            f"expected similarities [..., {models}, {models}] and differences [{models}, {models}] "
            f"of {models} seeds and as many conditions, got shapes {similarity.shape} and "
            f"{differs.shape}, {len(conditions)} conditions, and {alike.shape} of what is alike"
        )
    both_ways = np.allclose(similarity, similarity.swapaxes(-1, -2), atol=1e-6, equal_nan=True)
    if not (both_ways and np.all(differs == differs.T) and np.all(alike == alike.T)):
        raise ValueError(
            "expected every two models both ways, got similarities, differences or what is alike "
            "that are not symmetric"
        )
    grid, counted = _grid(_models(seeds, numbers, list(names)), differs, alike)
    if not counted.any():
        unknown = np.full(similarity.shape[:-2], np.nan)
        return Lost(unknown, unknown, 0, frozenset())
    # Of seeds s and u and their conditions c and d: [s, c, u, d].
    rows, columns = grid[:, :, None, None], grid
    pairs, compared = similarity[..., rows, columns], alike[rows, columns]
    of_one, of_other = (_mean_of(pairs, compared, axis) for axis in (-1, -3))
    expected = (of_one[..., None] + of_other[..., None, :, :]) / 2
    value, stderr = _over_seeds(_mean_of(expected - pairs, counted, (-3, -1)))
    chosen = grid[0][counted.any(axis=(0, 2, 3))]
    return Lost(value, stderr, len(grid), frozenset(conditions[model] for model in chosen))


def _models(
    seeds: Int[np.ndarray, " m"], numbers: Int[np.ndarray, " m"], names: Sequence[Hashable]
) -> Int[np.ndarray, "s c"]:
    """The model of every seed and condition; -1 where there is none."""
    of_seed = np.unique(np.asarray(seeds), return_inverse=True)[1]
    models = np.full((of_seed.max(initial=-1) + 1, len(names)), -1)
    for model, place in enumerate(zip(of_seed, numbers, strict=True)):
        if models[place] >= 0:
            raise ValueError(
                f"expected one model of seed {seeds[model]} and {names[place[1]]}, got several"
            )
        models[place] = model
    return models


def _grid(
    models: Int[np.ndarray, "seeds conditions"],
    differs: Bool[np.ndarray, "m m"],
    alike: Bool[np.ndarray, "m m"],
) -> tuple[Int[np.ndarray, "s c"], Bool[np.ndarray, "s c s c"]]:
    """The models of seeds that have the same conditions, and which of their pairs count.

    Of the conditions that three seeds have, those of the most pairs, and all seeds that have them;
    of fewer seeds than three those of all.
    """
    has = models >= 0
    # Of seeds with the same conditions three are enough to look at.
    times = Counter(map(tuple, has.tolist()))
    rows = [row for row, count in times.items() for _ in range(min(count, 3))]
    every = (True,) * has.shape[1]
    threes = {
        tuple(map(all, zip(every, *three, strict=True)))
        for three in combinations(rows, min(3, len(rows)))
    }
    grids = []
    for each in sorted(threes):
        shared = np.array(each, bool)
        grid = models[np.ix_(has[:, shared].all(axis=1), shared)]
        compared = alike[grid[:, :, None, None], grid]
        others = ~np.eye(len(grid), dtype=bool)[:, None, :, None]
        counted = differs[grid[:, :, None, None], grid] & others
        counted &= compared.any(axis=3)[..., None] & compared.any(axis=1)[:, None]
        grids.append((grid, counted))
    return max(grids, key=lambda one: (one[1].any(axis=(0, 2)).sum(), len(one[0])))


def _mean_of(
    values: Float[np.ndarray, "*shape s c s c"],
    counted: Bool[np.ndarray, "s c s c"],
    axis: int | tuple[int, int],
) -> Float[np.ndarray, "*reduced"]:
    """The mean over one or two axes of the values that count; NaN where none does."""
    sums, count = np.sum(np.where(counted, values, 0.0), axis=axis), np.sum(counted, axis=axis)
    return np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)


def _over_seeds(
    lost: Float[np.ndarray, "*shape s s"],
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """The mean over pairs of different seeds, and its standard error by the jackknife."""
    seeds = lost.shape[-1]
    rows = np.sum(np.where(np.eye(seeds, dtype=bool), 0.0, lost), axis=-1)
    total = rows.sum(axis=-1)
    value = total / (seeds * (seeds - 1))
    if seeds < 3:
        return value, np.full_like(value, np.nan)
    without = (total[..., None] - 2 * rows) / ((seeds - 1) * (seeds - 2))
    return value, without.std(axis=-1) * (seeds - 1) ** 0.5
