"""How often the similarity that another objective takes is outside of its limits.

Layers are drawn as Gaussian features: what all models have in common, what an objective and a
strength add, what a seed adds in all of its models, and what a model has alone. Similarities are
debiased CKA of them, and the truth that of a hundred other seeds. Expected: limits of 95% miss the
truth in about 5% of studies; and of two layers that lose equally much, one is said to lose less in
at most 5%.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxvae.analysis.likeness import similarity_lost
from jaxvae.report.tables import markdown_table

POINTS, FEATURES = 40, 8
OBJECTIVES = np.repeat(np.arange(3), 2)  # of six conditions: three objectives of two strengths
SEEDS = (3, 5, 10)
TRUE_SEEDS = 100


class Case(NamedTuple):
    """Sizes of what a layer is made of, beside 1 for what all models have in common.

    Attributes:
        objective: what an objective adds.
        seed: what a seed adds in all of its models.
        model: what a model has alone.
        strength: what a strength adds, of one objective.
        failing: share of seeds that add three times as much.
    """

    objective: float
    seed: float
    model: float
    strength: float = 0.2
    failing: float = 0.0


CASES = (
    Case(0.0, 0.3, 0.3, strength=0.0),
    Case(0.0, 0.3, 0.3),
    Case(0.3, 0.3, 0.3),
    Case(0.5, 0.0, 0.5),
    Case(0.5, 0.8, 0.2),
    Case(0.3, 1.0, 1.0),
    Case(0.3, 0.3, 0.3, failing=0.2),
)

_TEXT = """## What another objective takes of the similarity of models

`jaxvae.analysis.similarity_lost` gives by how much the debiased CKA of models of two seeds is lower
if their objectives, at any strengths, differ too: lower than of models of the same objective and
strength, or lower than of models of the same objective and another strength, which leaves what the
objective takes alone. Its limits are from the jackknife over seeds. The report of
`python -m experiments.learning_dynamics` says whether objective and strength take less from the
encoder than from the mean and the log-variance.

The table is of simulated studies of three objectives, two strengths of each and 3 to 10 seeds.
Their layers have {points} examples of {features} Gaussian features: a part that all models have in
common, of size 1, and parts of every objective, strength, seed and model, whose sizes the columns
give. "Lost" is the true difference in CKA, and "alone" that which the objective takes alone. An
entry gives the percentage of studies whose 95% limits miss the one / the other / the percentage of
studies in which one of two layers that lose equally much is said to lose less than the other, which
is an error too. In the last row one seed in five, by chance, adds three times as much in all of its
models; a study without such a seed knows nothing of them.

{table}

The limits miss the truth in at most {worst:.1f}% of the studies of any other row.
"""


def debiased_cka(layers: np.ndarray) -> np.ndarray:
    """Debiased linear CKA of all pairs of m layers `[m, n, d]`."""
    centered = layers - layers.mean(axis=1, keepdims=True)
    products, n = centered @ centered.swapaxes(1, 2), layers.shape[1]
    own = np.arange(n)
    products[:, own, own] = 0
    rows = products.sum(axis=2) / (n - 2)
    total = products.sum(axis=(1, 2)) / ((n - 1) * (n - 2))
    products += total[:, None, None] - rows[:, :, None] - rows[:, None]
    products[:, own, own] = 0
    flat = products.reshape(len(products), -1)
    inner = flat @ flat.T
    norm = np.sqrt(np.diag(inner))
    return inner / norm / norm[:, None]


def study(
    case: Case, fixed: np.ndarray, *, seeds: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray, np.ndarray]:
    """Similarities of all models of some seeds, then what else `similarity_lost` takes.

    The last are the pairs of the same objective and another strength.

    Args:
        case: sizes of the parts of a layer.
        fixed: `[condition, example, feature]`, what is the same for all seeds.
        seeds: how many.
        random: where seeds and models are drawn from.
    """
    conditions = len(OBJECTIVES)
    size = case.seed * np.where(random.random(seeds) < case.failing, 3.0, 1.0)
    shape = (seeds, conditions, POINTS, FEATURES)
    of_seed = size[:, None, None, None] * random.standard_normal((seeds, 1, POINTS, FEATURES))
    layers = fixed + of_seed + case.model * random.standard_normal(shape)
    names = list(range(conditions)) * seeds
    differs = OBJECTIVES[names][:, None] != OBJECTIVES[names]
    strengths = ~differs & np.not_equal.outer(names, names)
    similarity = debiased_cka(layers.reshape(-1, POINTS, FEATURES))
    return similarity, np.repeat(np.arange(seeds), conditions), names, differs, strengths


def rates(case: Case, *, seeds: int, studies: int) -> dict[str, Any]:
    """Shares of studies whose limits miss the truth, and that tell two equal layers apart."""
    random, truths = np.random.default_rng((CASES.index(case), seeds)), []
    missed, apart = [], []
    for _ in range(studies):
        common, *objectives = random.standard_normal((4, POINTS, FEATURES))
        strengths = random.standard_normal((len(OBJECTIVES), POINTS, FEATURES))
        fixed = common + case.objective * np.stack(objectives)[OBJECTIVES]
        fixed += case.strength * strengths
        *many, strengths = study(case, fixed, seeds=TRUE_SEEDS, random=random)
        truth = [float(similarity_lost(*many, alike).value) for alike in (None, strengths)]
        (*one, strengths), (other, *_) = (
            study(case, fixed, seeds=seeds, random=random) for _ in range(2)
        )
        found = [similarity_lost(*one, alike).limits() for alike in (None, strengths)]
        truths.append(truth)
        missed.append([not low <= t <= high for t, (low, high) in zip(truth, found, strict=True)])
        low, high = similarity_lost(one[0] - other, *one[1:]).limits()
        apart.append(not low <= 0 <= high)
    shares = {
        **dict(zip(("lost", "alone"), np.mean(truths, axis=0), strict=True)),
        **dict(zip(("missed", "missed_alone"), np.mean(missed, axis=0), strict=True)),
        "apart": np.mean(apart),
    }
    return {"case": case._asdict(), "seeds": seeds, **{k: float(v) for k, v in shares.items()}}


def records(studies: int) -> list[dict[str, Any]]:
    """Simulate studies for all cases and numbers of seeds."""
    return [rates(case, seeds=seeds, studies=studies) for case in CASES for seeds in SEEDS]


def rows(studies: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A case, and "missed / missed alone / told apart" for every number of seeds."""
    found = []
    for case in CASES:
        own = [one for one in studies if one["case"] == case._asdict()]
        failing = f" (three times in {100 * case.failing:.0f}%)" if case.failing else ""
        found.append(
            {
                "objective": f"{case.objective:g}",
                "strength": f"{case.strength:g}",
                "seed": f"{case.seed:g}{failing}",
                "model": f"{case.model:g}",
                "lost": f"{np.mean([one['lost'] for one in own]):.3f}",
                "alone": f"{np.mean([one['alone'] for one in own]):.3f}",
                **{
                    f"{one['seeds']} seeds": " / ".join(
                        f"{100 * one[name]:.1f}" for name in ("missed", "missed_alone", "apart")
                    )
                    for one in own
                },
            }
        )
    return found


def section(studies: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    others = [one for one in studies if not one["case"]["failing"]]
    return _TEXT.format(
        table=markdown_table(rows(studies)),
        worst=100 * max(max(one["missed"], one["missed_alone"]) for one in others),
        points=POINTS,
        features=FEATURES,
    )
