"""How often the two claims about a bottleneck sweep are wrongly said to hold, or not to.

Sweeps of six bottlenecks, 2 to 64, are drawn of which the truth
is known; the spread of a model over seeds grows with its size from half of the given one to one
and a half. Expected: something wrong is said of some size in at most 5% of every row.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from benchmarks.error_rates.tables import right_and_wrong, rows_by, worst_of_undecided
from jaxvae.analysis import Estimate, Evidence, second_peak, two_phases
from jaxvae.metrics import two_nn
from jaxvae.metrics.dimension import OVERLAP
from jaxvae.report.tables import markdown_table

TEXT = """## A second peak of the ID, and a second phase of training

Two claims about a sweep are tested for every size (`jaxvae.analysis.second_peak`, `two_phases`):
that a layer of the decoder has a larger ID than input, sample and output; and that from some epoch
on Δ(output → input) rises and KL falls, each by more than 5%, after Δ fell and KL rose. The answer
is "shown", "excluded" or "not decided".

The simulated decoders have three layers. Every ID has an error of 3% that comes from the images and
is the same in all seeds. The simulated truths of a peak are:

- *All layers level*, *one layer level*: all layers of the decoder, or one, have the ID of the
  input.
- *All layers below*: the ID of all layers is 20% lower than that of the input.
- *A peak from 16 on*: from 16 latents on one layer has an ID that is 50% higher than that of the
  input; below 16 latents all layers have one that is 40% lower.
- *One layer above by 1%*: a peak, which must not be excluded.

The simulated truths of a phase, over eight epochs, are:

- *Level from the middle on*: Δ falls and KL rises to the middle of training.
- *On to the end*: Δ falls and KL rises to the end.
- *Back by 5%*, *back by 6%*: after the middle both change back by 5%, which is not a phase, or by
  6%, which just is one.
- *Δ alone goes back*: after the middle Δ changes back by half, and KL does not.
- *A phase from 16 on*: from 16 latents on Δ doubles and KL falls by 20% after the middle; below 16
  latents neither changes back.

A second peak is also looked for at one size alone, and at six of which one trains less reliably:
its spread over seeds is ten times that of the others. All layers have the ID of the input there.

Independent Gaussian noise of the given standard deviation is added to log ID and log Δ, and a fifth
of it to log KL, in which trainings differ less; in a phase, every seed also has a random offset. An
entry gives the percentage of sizes for which the answer is right and decided / the percentage of
sweeps that give a wrong answer for some size. Truths that no number of seeds decides have one row,
with the worst entry of all numbers of seeds.

{table}

*What a second peak is not.* A layer of the decoder is computed from the sample without noise, so
its true dimension is never above that of the sample. What is tested is the ID by TwoNN of so many
images, which a bent layer raises, and unevenly spread points lower. Clouds of {points:,} points
with {dimension} factors went through an untrained decoder of two layers of {width} tanh units with
weights twice as large as usual, with 3 seeds: a second peak was shown in {Gaussian:.0%} of
{studies} studies with Gaussian factors, and in {cubed:.0%} with the cubes of such factors, which
have long tails. So a peak that is shown says that the decoder bends more than the data do at the
distance of neighbors; compare it with that of the untrained network (epoch 0).
"""
# An untrained decoder of a sample with some factors: true dimensions are the same in all layers.
BENT = {"Gaussian": 1, "cubed": 3}
FACTORS, POINTS, WIDTH, GAIN, STUDIES = 10, 2000, 256, 2.0, 40
SEEDS = (2, 3, 5)
NOISE = (0.02, 0.05, 0.1, 0.2)
SIZES, LAYERS, EPOCHS = 6, 3, 8
LARGE = np.arange(SIZES) >= 3
SPREAD = np.linspace(0.5, 1.5, SIZES)[:, None, None]
IMAGE_ERROR, SEED_OFFSET = 0.03, 0.1
# Noise of log Delta and of log KL.
_NOISES = (1.0, 0.2)
_CHANGES = np.clip(np.arange(EPOCHS) - 3, 0, None) / 4
_FALL, _RISE = -np.minimum(np.arange(EPOCHS), 3) / 2, np.minimum(np.arange(EPOCHS), 3) / 4
_EVERY = np.ones(SIZES, bool)

# Log IDs of the decoder over that of the input [sizes, layers], and which sizes have a peak.
Truths: TypeAlias = dict[str, tuple[np.ndarray, np.ndarray]]
PEAKS: Truths = {
    "all layers level": (np.zeros((SIZES, LAYERS)), ~_EVERY),
    "one layer level": (np.tile([-0.3, 0.0, -0.3], (SIZES, 1)), ~_EVERY),
    "all layers below": (np.full((SIZES, LAYERS), np.log(0.8)), ~_EVERY),
    "a peak from 16 on": (
        np.where(LARGE[:, None], [-0.2, np.log(1.5), -0.2], np.log(0.6)),
        LARGE,
    ),
    "one layer above by 1%": (np.tile([-0.3, np.log(1.01), -0.3], (SIZES, 1)), _EVERY),
}
LEVEL: Truths = {name: PEAKS[name] for name in ["all layers level"]}
ALONE: Truths = {name: (logs[:1], holds[:1]) for name, (logs, holds) in LEVEL.items()}
# Log Delta and log KL [sizes, epochs], and which sizes have a second phase.
PHASES: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
    "level from the middle on": (*(np.tile(x, (SIZES, 1)) for x in (_FALL, _RISE)), ~_EVERY),
    "on to the end": (
        np.tile(-np.arange(EPOCHS) / 4, (SIZES, 1)),
        np.tile(np.arange(EPOCHS) / 8, (SIZES, 1)),
        ~_EVERY,
    ),
    "back by 5%": (
        np.tile(_FALL + np.log(1.05) * _CHANGES, (SIZES, 1)),
        np.tile(_RISE - np.log(1.05) * _CHANGES, (SIZES, 1)),
        ~_EVERY,
    ),
    "back by 6%": (
        np.tile(_FALL + np.log(1.06) * _CHANGES, (SIZES, 1)),
        np.tile(_RISE - np.log(1.06) * _CHANGES, (SIZES, 1)),
        _EVERY,
    ),
    "Δ alone goes back": (
        np.tile(_FALL + np.log(1.5) * _CHANGES, (SIZES, 1)),
        np.tile(_RISE, (SIZES, 1)),
        ~_EVERY,
    ),
    "a phase from 16 on": (
        _FALL + np.log(2) * LARGE[:, None] * _CHANGES,
        _RISE - np.log(1.25) * LARGE[:, None] * _CHANGES,
        LARGE,
    ),
}


def peak_sweep(
    truth: str,
    *,
    seeds: int,
    noise: float,
    random: np.random.Generator,
    truths: Truths = PEAKS,
    spread: np.ndarray = SPREAD,
) -> Evidence:
    """The evidence of one sweep."""
    others = np.tile([0.0, -0.3, -0.3], (len(spread), 1))
    logs = np.concatenate([truths[truth][0], others], axis=1)
    images = IMAGE_ERROR * random.standard_normal(logs.shape)
    # The input is the same for all.
    images[:, LAYERS] = images[0, LAYERS]
    turns = noise * spread * random.standard_normal((len(spread), seeds, logs.shape[1]))
    turns[..., LAYERS] = 0
    values = 12 * np.exp((logs + images)[:, None] + turns)
    estimate = Estimate(values, values * IMAGE_ERROR / OVERLAP)
    return second_peak(
        Estimate(*(each[..., :LAYERS] for each in estimate)),
        Estimate(*(each[..., LAYERS:] for each in estimate)),
    )


def phase_sweep(truth: str, *, seeds: int, noise: float, random: np.random.Generator) -> Evidence:
    """The evidence of one sweep."""
    shape = (SIZES, seeds, EPOCHS)
    imbalance, kl = (
        np.exp(
            logs[:, None]
            + SEED_OFFSET * random.standard_normal((1, seeds, 1))
            + share * noise * SPREAD * random.standard_normal(shape)
        )
        for logs, share in zip(PHASES[truth][:2], _NOISES, strict=True)
    )
    return two_phases(0.1 * imbalance, 10 * kl)


CLAIMS: dict[str, tuple[dict[str, Any], Callable[..., Evidence]]] = {
    "second peak": (PEAKS, peak_sweep),
    "second phase": (PHASES, phase_sweep),
    "second peak, one size": (
        ALONE,
        partial(peak_sweep, truths=ALONE, spread=SPREAD[3:4]),
    ),
    "second peak, one size spreads more": (
        LEVEL,
        partial(peak_sweep, truths=LEVEL, spread=np.array([1, 1, 1, 1, 1, 10.0])[:, None, None]),
    ),
}


def claim_rates(claim: str, truth: str, *, seeds: int, noise: float, sweeps: int) -> dict[str, Any]:
    """Shares of sizes of which the truth was said, and of sweeps that said something wrong."""
    truths, sweep = CLAIMS[claim]
    holds = truths[truth][-1]
    random = np.random.default_rng(
        (list(CLAIMS).index(claim), list(truths).index(truth), seeds, round(100 * noise))
    )
    right, wrong = 0.0, 0
    for _ in range(sweeps):
        evidence = sweep(truth, seeds=seeds, noise=noise, random=random)
        right += float(np.mean(np.where(holds, evidence.shown, evidence.excluded)))
        wrong += bool(np.any(np.where(holds, evidence.excluded, evidence.shown)))
    return {
        "claim": claim,
        "truth": truth,
        "seeds": seeds,
        "noise": noise,
        "right": right / sweeps,
        "wrong": wrong / sweeps,
    }


def claim_cases() -> list[tuple[str, str, int, float]]:
    """All that is drawn: claim, truth, seeds and noise."""
    return [
        (claim, truth, seeds, noise)
        for claim, (truths, _) in CLAIMS.items()
        for truth in truths
        for seeds in SEEDS
        for noise in NOISE
    ]


def bent_decoder(power: int, *, seeds: int, random: np.random.Generator) -> Evidence:
    """The evidence of clouds that an untrained decoder makes of powers of Gaussian factors."""

    def layer(cloud: np.ndarray, width: int, gain: float) -> np.ndarray:
        weights = random.standard_normal((cloud.shape[1], width)) / np.sqrt(cloud.shape[1])
        return gain * cloud @ weights + 0.5 * random.standard_normal(width)

    factors = random.standard_normal((POINTS, FACTORS)) ** power
    image = layer(factors, 64, 1.0)
    dimensions = []
    for _ in range(seeds):
        sample = factors @ np.linalg.qr(random.standard_normal((FACTORS, FACTORS)))[0]
        first = np.tanh(layer(sample, WIDTH, GAIN))
        second = np.tanh(layer(first, WIDTH, GAIN))
        clouds = (first, second, image, sample)
        found = [two_nn(cloud.astype(np.float32)) for cloud in clouds]
        dimensions.append([(float(each.value), float(each.stderr)) for each in found])
    # [1, seeds, layers]
    value, stderr = np.moveaxis(np.array(dimensions)[None], -1, 0)
    return second_peak(
        Estimate(value[..., :2], stderr[..., :2]), Estimate(value[..., 2:], stderr[..., 2:])
    )


def bent_rates(factors: str) -> dict[str, Any]:
    """The share of studies of an untrained decoder in which a second peak is shown."""
    shown = sum(
        bool(bent_decoder(BENT[factors], seeds=3, random=np.random.default_rng(study)).shown[0])
        for study in range(STUDIES)
    )
    return {"bent": factors, "studies": STUDIES, "shown": shown / STUDIES}


def records(sweeps: int) -> list[dict[str, Any]]:
    """Simulate sweeps for all claims, truths, numbers of seeds and noises."""
    rates = [
        claim_rates(claim, truth, seeds=seeds, noise=noise, sweeps=sweeps)
        for claim, truth, seeds, noise in claim_cases()
    ]
    return [*rates, *map(bent_rates, BENT)]


def section(found: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    bent = {one["bent"]: one["shown"] for one in found if "bent" in one}
    found = [one for one in found if "bent" not in one]
    shown = worst_of_undecided(found, ["claim", "truth"])
    rows = rows_by(shown, ("claim", "truth", "seeds"), "noise", right_and_wrong)
    return TEXT.format(
        table=markdown_table(rows, left=["claim", "truth"]),
        points=POINTS,
        dimension=FACTORS,
        width=WIDTH,
        studies=STUDIES,
        **bent,
    )
