"""How often `sufficient_bottleneck` names a wrong size, and how often the right one.

Sweeps of six bottlenecks, 2 to 64, are drawn: log Delta(output -> input) by size, the same in all
seeds but for an offset of every seed and independent Gaussian noise, that of some rows not of the
same variance at all sizes, and that of one row not Gaussian. Expected: another size than the
smallest sufficient one in at most 5% of every row but that one; a plateau with noise .05 and four
seeds is named in at least 85%, where the largest size is trained.
"""

from typing import Any

import numpy as np

from benchmarks.error_rates.tables import right_and_wrong, rows_by, worst_of_undecided
from jaxvae.analysis import sufficient_bottleneck
from jaxvae.report.tables import markdown_table

TEXT = """## Which bottleneck is enough

A bottleneck is called enough if no larger one that was tried lowers Δ(output → input) by more
than 25%, nor would one further step that changes Δ as the last step did, and if a larger one is
shown to be trained, with less than twice the Δ of the best smaller one. The largest one that was
tried is never called enough. `jaxvae.analysis.sufficient_bottleneck`, and the sentence at the end
of a sweep, name the smallest size that is enough only if confidence limits over the seeds exclude
all others. Otherwise the answer is the set of sizes that are not excluded, and what may decide
between them.

The table is of simulated sweeps of 2, 4, 8, 16, 32 and 64 latents. The truth is Δ by size: the same
for all sizes, or halved at every doubling of the size until a plateau, or falling to the end and
beyond it, where naming any size is an error. A random offset for every seed and independent
Gaussian noise of the given standard deviation are added to log Δ (.1 is a spread of 10% in Δ
between two trainings). An entry gives the percentage of sweeps that name the smallest size that is
enough / the percentage of sweeps that name another one, which is an error. "One size noisy": one of
the six sizes, another one in every sweep, has the given noise and all others have .02. "Small sizes
noisy": 2, 4 and 8 have it, and the others .02. "Noise growing": the noise grows in equal steps from
.02 at the smallest size to the given one at the largest. "Largest not trained": Δ at 64 latents is
4.5 times as large as it would be. "8 fails sometimes": Δ is that of a plateau from 8, but at 8
latents three times as large in 30% of trainings, so that by the mean of log Δ 16 latents gain 28%
and are the smallest size that is enough.

{table}

In the worst entry with the same noise at all sizes, {equal:.1f}% of sweeps name a wrong size; in
the worst with unequal noise, {unequal:.1f}%. Where trainings of a size fail sometimes, it is
{failing:.1f}%, more than the 5% of the limits, which are for noise that is normal: of three
trainings none fails in 34% of sweeps, and nothing tells of those that would. Noise of .2 or more
hides it, and with 8 seeds (not in the table) the share is 6%. Truths for which no size can be named
have one row, with the worst entry of all numbers of seeds. A spread of 5% between trainings needs 4
seeds, and one of 20% or more needs many, or larger steps between sizes. In all other sweeps the
answer is that the size is not decided, which is no error.
"""
SIZES = 2 ** np.arange(1, 7)
STEPS = np.arange(len(SIZES))
# log Delta by size, and the smallest sufficient size: none, where Delta falls to the end.
SHAPES: dict[str, tuple[np.ndarray, int | None]] = {
    "noise only": (0.0 * STEPS, 2),
    "plateau from 8": (-np.log(2) * np.minimum(STEPS, 2), 8),
    "plateau from 16": (-np.log(2) * np.minimum(STEPS, 3), 16),
    "plateau from 32": (-np.log(2) * np.minimum(STEPS, 4), 32),
    "halving to the end": (-np.log(2) * STEPS, None),
    "22% less at every doubling": (np.log(0.78) * STEPS, None),
    "15% less at every doubling": (np.log(0.85) * STEPS, None),
}
ONE_NOISY, SMALL_NOISY = ", one size noisy", ", small sizes noisy"
GROWING = ", noise growing"
SHAPES |= {
    truth + unequal: SHAPES[truth]
    for unequal in (ONE_NOISY, SMALL_NOISY, GROWING)
    for truth in ("noise only", "plateau from 16", "15% less at every doubling")
}
NOT_TRAINED = ", largest not trained"
SHAPES |= {
    truth + NOT_TRAINED: (SHAPES[truth][0] + 1.5 * (STEPS[-1] == STEPS), SHAPES[truth][1])
    for truth in ("plateau from 16", "15% less at every doubling")
}
FAILING = "8 fails sometimes"
# The share of trainings that fail, and how many times the Delta they have.
_FAIL, _TIMES = 0.3, 3.0
# log Delta where none fails.
SHAPES |= {FAILING: (SHAPES["plateau from 8"][0], 16)}
SEEDS = (2, 3, 4, 5)
NOISE = (0.05, 0.1, 0.2, 0.3, 0.5)
SEED_OFFSET = 0.1
# A size that is not noisy has this noise where only some are, and so has the smallest one where
# noise grows.
_LEAST = 0.02


def sweep(shape: str, *, seeds: int, noise: float, random: np.random.Generator) -> np.ndarray:
    """Delta `[sizes, seeds]` of one sweep."""
    offsets = SEED_OFFSET * random.standard_normal(seeds)
    deviations = np.full(len(SIZES), noise)
    if shape.endswith(ONE_NOISY):
        deviations = np.where(random.permutation(STEPS) == 0, noise, _LEAST)
    if shape.endswith(SMALL_NOISY):
        deviations = np.where(STEPS < 3, noise, _LEAST)
    if shape.endswith(GROWING):
        deviations = np.linspace(_LEAST, noise, len(SIZES))
    drawn = deviations[:, None] * random.standard_normal((len(SIZES), seeds))
    if shape == FAILING:
        drawn[SIZES == 8] += np.log(_TIMES) * (random.random(seeds) < _FAIL)
    return 0.3 * np.exp(SHAPES[shape][0][:, None] + offsets + drawn)


def rates(shape: str, *, seeds: int, noise: float, sweeps: int) -> dict[str, Any]:
    """Shares of sweeps by what was named."""
    random = np.random.default_rng((list(SHAPES).index(shape), seeds, round(100 * noise)))
    truth, right, wrong, candidates, missed = SHAPES[shape][1], 0, 0, 0, 0
    for _ in range(sweeps):
        drawn = sweep(shape, seeds=seeds, noise=noise, random=random)
        advice = sufficient_bottleneck(SIZES, drawn)
        right += advice.bottleneck is not None and advice.bottleneck == truth
        wrong += advice.bottleneck is not None and advice.bottleneck != truth
        candidates += len(advice.candidates)
        missed += truth is not None and truth not in advice.candidates
    return {
        "truth": shape,
        "seeds": seeds,
        "noise": noise,
        "right": right / sweeps,
        "wrong": wrong / sweeps,
        "excluded": missed / sweeps,
        "candidates": candidates / sweeps,
    }


def records(sweeps: int) -> list[dict[str, Any]]:
    """Simulate sweeps for all truths, numbers of seeds and noises."""
    return [
        rates(shape, seeds=seeds, noise=noise, sweeps=sweeps)
        for shape in SHAPES
        for seeds in SEEDS
        for noise in NOISE
    ]


def section(rows: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    unlike = (ONE_NOISY, SMALL_NOISY, GROWING)
    worst = {
        name: 100 * max(one["wrong"] for one in some)
        for name, some in (
            ("failing", [one for one in rows if one["truth"] == FAILING]),
            ("unequal", [one for one in rows if one["truth"].endswith(unlike)]),
            ("equal", [one for one in rows if not one["truth"].endswith((*unlike, FAILING))]),
        )
    }
    table = markdown_table(
        rows_by(worst_of_undecided(rows, ["truth"]), ("truth", "seeds"), "noise", right_and_wrong),
        left=["truth"],
    )
    return TEXT.format(table=table, **worst)
