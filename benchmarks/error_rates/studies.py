"""How often `jaxvae advise` calls too small a bottleneck sufficient, looking after every step.

Studies are drawn as `benchmarks.error_rates.bottlenecks` draws sweeps, but of any size, and go the
way of `next_training` until it stops. Expected: too small a size in at most 5% of every row.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from benchmarks.error_rates.tables import rows_by
from jaxvae.analysis.advice import TOLERANCE, sufficient_bottleneck
from jaxvae.analysis.sizing import (
    LARGEST,
    MOST_DECIDING,
    SizeBounds,
    bounds_of,
    first_training,
    next_training,
)
from jaxvae.report.tables import markdown_table

TEXT = """## Studies that choose what to train next

`jaxvae advise --data` begins with up to three sizes and three seeds, computes the confidence limits
above after every step, and chooses what to train next by them: larger or smaller sizes, a size
between two, or more seeds, up to 8, and up to {seeds} where these are expected to decide
(`jaxvae.analysis.sizing.next_training`). The command also
trains no size below the dimension that the images surely have; this simulation does. Each step has
limits of 95%; the rates here are those of the final answer, after all steps. The first sizes are 7,
9 and 18, as for images of dimension 8 ± 0.4. The truth is Δ of any size from 1 to {largest}: the
same for all sizes; halved at every doubling until a size; the same, with a further factor of
exp(-2) from that size on, as for images of that dimension ("rank"); or falling to the end. The
smallest sufficient size is the smallest that no size up to {largest} improves by more than 25%.
Noise is as above. An entry gives the percentage of studies that name the smallest sufficient size
alone / that call a larger size enough and leave the smallest among those that may be / that call a
smaller one enough, which is an error; then the mean number of models that were trained. In the
other studies no size is called enough, or the smallest one is not among those that are left.

{table}

Too small a size is called enough in {worst:.1f}% of the studies of the worst entry above.

A slow decline is not found. Where Δ falls by just 5% at every doubling, no size that is tried is
better than another by 25%. With noise of {quiet:g} a size is then called enough in {unseen:.0f}% of
studies, though at {largest} latents Δ is lower by up to a third. The answer is about sizes up to
the largest that was tried, which it names, and one step beyond.
"""
_SIZES = np.arange(1, LARGEST + 1)
_STEPS = np.log2(_SIZES)


def _until(rank: int, step: float) -> np.ndarray:
    return -np.log(2) * np.minimum(_STEPS, np.log2(rank)) - step * (rank <= _SIZES)


SHAPES: dict[str, np.ndarray] = {
    "the same for all": 0.0 * _STEPS,
    **{f"halving until {rank}": _until(rank, 0.0) for rank in (6, 12, 24)},
    **{f"rank {rank}": _until(rank, 2.0) for rank in (3, 6, 12)},
    "22% less at every doubling": np.log(0.78) * _STEPS,
    "halving to the end": -np.log(2) * _STEPS,
}
UNSEEN = {"5% less at every doubling": np.log(0.95) * _STEPS}
_EVERY = SHAPES | UNSEEN
NOISE = (0.03, 0.1, 0.2, 0.4)
_OFFSET = 0.1


def smallest_sufficient(logs: np.ndarray) -> int:
    """The truth: no size up to the largest is better by more than the tolerance."""
    best = np.minimum.accumulate(logs[::-1])[::-1]
    return int(_SIZES[np.argmax(logs - best <= -np.log1p(-TOLERANCE) + 1e-9)])


def study(trained: Callable[[int, int], float]) -> tuple[SizeBounds, int]:
    """The final answer of a study, and how many models it trained.

    Args:
        trained: Delta of a size and a seed.
    """
    step = first_training(8.0, 0.4)
    while step is not None:
        sizes = np.array(step.sizes)
        imbalance = np.array(
            [[trained(size, seed) for seed in range(step.seeds)] for size in sizes]
        )
        step = next_training(sizes, imbalance)
    advice = sufficient_bottleneck(sizes, imbalance)
    return bounds_of(sizes, advice), imbalance.size


def rates(shape: str, *, noise: float, studies: int) -> dict[str, Any]:
    """Shares of studies by what they say."""
    random = np.random.default_rng((list(_EVERY).index(shape), round(100 * noise)))
    truth, counts, models = smallest_sufficient(_EVERY[shape]), np.zeros(3), 0
    for _ in range(studies):
        drawn = _EVERY[shape][:, None] + _OFFSET * random.standard_normal(MOST_DECIDING)
        drawn = np.exp(drawn + noise * random.standard_normal(drawn.shape))
        bounds, count = study(lambda size, seed, drawn=drawn: drawn[size - 1, seed])
        models += count
        if bounds.sufficient is not None:
            alone, wrong = bounds.sufficient == truth, bounds.sufficient < truth
            among = bounds.insufficient < truth <= bounds.sufficient
            counts += (alone and bounds.is_decided, among and not bounds.is_decided, wrong)
    right, left, small = (counts / studies).tolist()
    return {
        "truth": shape,
        "noise": noise,
        "right": right,
        "left": left,
        "small": small,
        "models": models / studies,
    }


def records(studies: int) -> list[dict[str, Any]]:
    """Simulate studies for all truths and noises."""
    return [rates(shape, noise=noise, studies=studies) for shape, noise in product(_EVERY, NOISE)]


def _entry(record: dict[str, Any]) -> str:
    right, left, small = (100 * record[name] for name in ("right", "left", "small"))
    return f"{right:.0f} / {left:.0f} / {small:.1f}; {record['models']:.0f}"


def section(records: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    shown = [one for one in records if one["truth"] in SHAPES]
    rows, worst = rows_by(shown, ["truth"], "noise", _entry), max(one["small"] for one in shown)
    quiet = next(one for one in records if one["truth"] in UNSEEN)
    return TEXT.format(
        table=markdown_table(rows, left=["truth"]),
        worst=100 * worst,
        unseen=100 * quiet["small"],
        quiet=quiet["noise"],
        largest=LARGEST,
        seeds=MOST_DECIDING,
    )
