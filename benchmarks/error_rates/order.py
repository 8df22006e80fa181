"""How often `learning_order` names a half of the network, where none or the encoder is first.

Training is drawn as it looks in records: what a layer lacks decays with a time constant of its
own, in CKA or in the tangent of its angle, and similarities fluctuate by the distance of
replicates. Expected: without a difference a half is named in at most 5% of studies, however much
the untrained encoder is like the trained one, and also where some of its layers have nothing to
learn.
"""

from typing import Any, NamedTuple

import numpy as np

from experiments.learning_dynamics.selection import mean_over_layers
from jaxvae.analysis.learning import learning_epochs, learning_order, of_both, tangent_scale
from jaxvae.report.tables import markdown_table

# The epochs that are measured, by the last one.
EPOCHS = {10: (0, 1, 2, 4, 6, 8, 10), 40: (0, 1, 2, 4, 7, 10, 20, 40)}
LAYERS = 5  # of either half
TIME = 1.5  # epochs in which what is left to learn falls to a third
BETWEEN_SEEDS, BETWEEN_LAYERS = 0.2, 0.3  # spread of its logarithm
FLUCTUATION = 0.3  # of the distance of replicates, as a share of it
SEEDS = (2, 3, 5, 10)


class Case(NamedTuple):
    """A truth: similarity of the untrained encoder to the end, distance of replicates, and more.

    Attributes:
        start: similarity of the untrained encoder to its end; that of the decoder is .1.
        floor: distance of replicates from the end.
        nothing: layers of the encoder that are at their end from the start.
        decoder: how many times as long the decoder takes.
        last: the last epoch.
        even: the scale on which what a layer lacks decays evenly.
    """

    start: float
    floor: float
    nothing: int = 0
    decoder: float = 1.0
    last: int = 10
    even: str = "CKA"


CASES = (
    Case(0.1, 0.01),
    Case(0.95, 0.01),
    Case(0.98, 0.01),
    Case(0.95, 0.01, nothing=1),
    Case(0.95, 0.01, nothing=3),
    Case(0.95, 0.01, decoder=1.5),
    Case(0.95, 0.01, decoder=2.0),
    Case(0.95, 0.01, nothing=1, decoder=2.0),
    Case(0.95, 0.01, last=40),
    Case(0.98, 0.01, last=40),
    Case(0.95, 0.01, decoder=2.0, last=40),
    Case(0.95, 0.01, even="tangent"),
    Case(0.98, 0.01, even="tangent"),
    Case(0.95, 0.01, nothing=3, even="tangent"),
    Case(0.95, 0.01, last=40, even="tangent"),
    Case(0.95, 0.01, decoder=1.5, even="tangent"),
    Case(0.95, 0.01, decoder=2.0, even="tangent"),
    Case(0.95, 0.01, decoder=4.0, even="tangent"),
    Case(0.95, 0.01, decoder=0.5, even="tangent"),
    Case(0.95, 0.01, decoder=0.5),
)

_TEXT = """## Encoder or decoder first

`jaxvae.analysis.learning_order` names the half of the network that is learned first if a paired
test over seeds gives p < .03; otherwise the order is not decided, as always with one seed. The
epoch of a layer is the average epoch of its progress from its untrained state to its final one:
half of the way in epoch 1 and half in epoch 3 give 2. A layer has reached its final state when it
is as similar to it as the end of another training of the last epoch with other batches (a
replicate). The test is made with CKA, and with the squared tangent of the angle whose cosine is CKA
(`jaxvae.analysis.tangent_scale`); a half is named if it is first by both.

The table is of simulated studies of 2 to 10 seeds, with 5 layers in each half: what a layer still
has to learn falls to a third in about 1.5 epochs, with a spread of 20% between seeds and 30%
between layers, and similarities fluctuate by 30% of the distance of replicates. The column
"untrained encoder" is the similarity of the untrained encoder to its final state, which is .1 for
the decoder; "decoder takes" is the time that the decoder needs, divided by that of the encoder;
"epochs" is the length of training, which is measured at epochs {measured};
"nothing to learn" is the number of layers of the encoder that have nothing to learn; "falls in" is
what falls to a third, 1 - CKA or the tangent. An entry gives the percentage of studies that name
the encoder / the percentage of studies that name the decoder. Where the decoder takes as long as
the encoder, both are wrong.

The test assumes that the difference between the halves is Gaussian over seeds. If one half is late
in a few trainings only, the test is wrong more often than the table says. And layers that are
learned between two measured epochs are only as well known as these: measure where they are learned.

{table}

The wrong half is named in {worst:.1f}% of the studies of the worst row, also if the encoder is
nearly in its final state from the start, if most of its layers have nothing to learn, and whichever
of the two scales is even. The price is that much is not decided: where the decoder takes twice as
long in one scale, it need not do so in the other.
"""


def study(case: Case, *, seeds: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Similarities to the end `[epoch, seed, layer]`, the encoder's first, and of replicates."""
    spread = np.repeat(BETWEEN_SEEDS * random.standard_normal((seeds, 2)), LAYERS, axis=1)
    spread = spread + BETWEEN_LAYERS * random.standard_normal((seeds, 2 * LAYERS))
    times = TIME * np.repeat([1.0, case.decoder], LAYERS) * np.exp(spread)
    start = np.repeat([case.start, 0.1], LAYERS)
    start[: case.nothing] = 1
    epochs = np.array(EPOCHS[case.last])
    left = np.exp(-epochs[:, None, None] / times)
    left = (left - left[-1]) / (1 - left[-1])
    if case.even == "CKA":
        lacks = left * (1 - start)
    else:
        lacks = 1 - 1 / np.sqrt(1 + left**2 * (1 - tangent_scale(start)))
    # The last row is the replicate's.
    noise = random.standard_normal((len(epochs) + 1, seeds, 2 * LAYERS))
    distances = case.floor * np.abs(1 + FLUCTUATION * noise)
    similarity = 1 - lacks - distances[:-1]
    similarity[-1] = 1
    return similarity, 1 - distances[-1]


def rates(case: Case, *, seeds: int, studies: int) -> dict[str, Any]:
    """Shares of studies that name a half."""
    random, named = np.random.default_rng((CASES.index(case), seeds)), []
    for _ in range(studies):
        drawn = study(case, seeds=seeds, random=random)
        orders = []
        for scaled in (drawn, map(tangent_scale, drawn)):
            epochs = learning_epochs(EPOCHS[case.last], *scaled).epoch
            halves = (mean_over_layers(half) for half in np.split(epochs, 2, axis=1))
            orders.append(learning_order(*halves, np.arange(seeds)))
        named.append(of_both(*orders).first)
    shares = {half: named.count(half) / studies for half in ("encoder", "decoder")}
    return {"case": case._asdict(), "seeds": seeds, **shares}


def records(studies: int) -> list[dict[str, Any]]:
    """Simulate studies for all cases and numbers of seeds."""
    return [rates(case, seeds=seeds, studies=studies) for case in CASES for seeds in SEEDS]


def rows(studies: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A case, and "encoder / decoder" for every number of seeds."""
    return [
        {
            "decoder takes": f"{case.decoder:g}",
            "untrained encoder": f"{case.start:g}",
            "nothing to learn": str(case.nothing),
            "epochs": str(case.last),
            "falls in": case.even,
        }
        | {
            f"{one['seeds']} seeds": f"{100 * one['encoder']:.1f} / {100 * one['decoder']:.1f}"
            for one in studies
            if one["case"] == case._asdict()
        }
        for case in CASES
    ]


def section(studies: list[dict[str, Any]]) -> str:
    """The section of docs/statistics.md."""
    same = [one["encoder"] + one["decoder"] for one in studies if one["case"]["decoder"] == 1]
    return _TEXT.format(
        table=markdown_table(rows(studies)),
        worst=100 * max(same),
        measured=" or at ".join(", ".join(map(str, each)) for each in EPOCHS.values()),
    )
