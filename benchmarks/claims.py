"""What the stored records of VAEs on MNIST decide, as docs/results/bottleneck.md has it.

    python -m benchmarks.claims [--sweeps N]

The records of `benchmarks/results/dense-mnist-h200.json` are those of three sweeps of dense VAEs by
`experiments.bottleneck`. Their two tables are printed, what the sweeps say of a second peak of the
ID and of a second phase of training, the limits behind it, in what share of simulated sweeps more
seeds would exclude a second phase, and, with `benchmarks/results/paper-mnist-h100.json`, all
numbers beside those of the paper. A minute or two on one core, most of it for simulated sweeps.

More seeds of one size are in `benchmarks/results/dense-mnist-l2-*.nc`, where `benchmarks.kept` adds
those of a folder of results. A second phase is read from them when there are eight seeds, as was
laid down before they were trained.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
import xarray as xr
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track

from experiments.bottleneck.claims import claims, courses, decoder_layers, peak_evidence
from jaxvae.analysis import Evidence, two_phases
from jaxvae.report.tables import markdown_table, mean_over_seeds

RESULTS = Path(__file__).parent / "results" / "dense-mnist-h200.json"
# The size of which there are trainings with every L2 penalty.
OF_EVERY_L2 = 32
# More seeds of this size, and how many of them decide.
OF_MORE_SEEDS, DECIDING = "dense-mnist-l2-*.nc", 8
SHOWN_EPOCHS = (20, 50, 100, 200)
SEEDS = (3, 5, 8, 10)
OF_THE_PAPERS_NETWORK = RESULTS.with_name("paper-mnist-h100.json")
_MODEL = ("l2", "bottleneck", "seed", "epoch")


class Numbers(NamedTuple):
    """The ID of input, sample, highest layer of the decoder and output, and Δ to the input."""

    input: float
    sample: float
    decoder: float
    output: float
    from_output: float
    from_sample: float


# Camboulin, Doimo and Glielmo (2024): on CIFAR-10 after 200 epochs, for every K, by their released
# numbers. K = 16 is left out: the IDs of its encoder
# stand still for 99 epochs.
PAPER = {
    2: Numbers(30.96, 1.98, 2.00, 2.00, 0.364, 0.366),
    4: Numbers(30.96, 3.98, 4.18, 4.13, 0.240, 0.243),
    8: Numbers(30.96, 8.09, 10.4, 9.36, 0.134, 0.158),
    32: Numbers(30.96, 24.7, 37.5, 21.8, 0.054, 0.198),
    64: Numbers(30.96, 38.7, 57.1, 23.2, 0.047, 0.291),
    128: Numbers(30.96, 59.0, 76.9, 24.7, 0.062, 0.448),
}


def stored_sweeps(path: Path = RESULTS) -> dict[float, xr.Dataset]:
    """The records of every L2 penalty, as those of an experiment; its null is an attribute."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    null = {int(size): value for size, value in stored["gaussian_dimension"].items()}
    sweeps = {}
    for l2 in sorted({record["l2"] for record in stored["records"]}):
        records = [record for record in stored["records"] if record["l2"] == l2]
        places = {name: sorted({record[name] for record in records}) for name in _MODEL[1:]}
        by_place = {tuple(record[name] for name in _MODEL[1:]): record for record in records}
        shape = tuple(len(values) for values in places.values())
        variables = {}
        for name in (name for name in records[0] if name not in _MODEL):
            values = np.array([by_place[place][name] for place in product(*places.values())])
            layer = ("layer",) * (values.ndim - 1)
            variables[name] = (tuple(places) + layer, values.reshape(shape + values.shape[1:]))
        coordinates = places | {"layer": stored["layers"]}
        sweeps[l2] = xr.Dataset(variables, coordinates, {"gaussian_dimension": null})
    return sweeps


def _sizes(sweeps: dict[float, xr.Dataset]) -> Iterator[tuple[dict[str, str], xr.Dataset]]:
    """The first cells of a row, and the records, of every L2 penalty and size."""
    for l2, records in sweeps.items():
        for size in records["bottleneck"].values:
            yield {"K": str(size), "L2": _penalty(l2)}, records.sel(bottleneck=size)


def _penalty(l2: float) -> str:
    return f"{l2:.1e}".replace("e-0", "e-").replace(".0e", "e") if l2 else "0"


def at_the_end(sweeps: dict[float, xr.Dataset]) -> str:
    """The table of the models at their last epoch."""
    rows = []
    for cells, of_all in _sizes(sweeps):
        of = of_all.isel(epoch=-1)
        dimension, imbalance = of["intrinsic_dimension"], of["imbalance_to_input"]
        decoder = dimension.sel(layer=decoder_layers(of))
        rows.append(
            cells
            | {
                "ID mean": mean_over_seeds(dimension.sel(layer="mean"), 1),
                "ID sample": mean_over_seeds(dimension.sel(layer="sample"), 1),
                "null": f"{of.attrs['gaussian_dimension'][int(cells['K'])]:.1f}",
                "largest ID in decoder": mean_over_seeds(decoder.max("layer"), 1),
                "Δ(output → input)": mean_over_seeds(imbalance.sel(layer="output"), 4),
                "Δ(sample → input)": mean_over_seeds(imbalance.sel(layer="sample"), 3),
                "active units": mean_over_seeds(of["active_units"], 1),
                "reconstruction, nats": mean_over_seeds(of["reconstruction"], 1),
                "KL, nats": mean_over_seeds(of["kl"], 1),
            }
        )
    return markdown_table(rows)


def over_training(sweeps: dict[float, xr.Dataset]) -> str:
    """The table of KL and of the imbalance from output to input at some epochs."""
    rows = []
    for cells, of in _sizes(sweeps):
        highest = int(of["kl"].mean("seed").idxmax())
        imbalance = of["imbalance_to_input"].sel(layer="output")
        rows.append(
            cells
            | {
                "highest KL, nats": (
                    f"{mean_over_seeds(of['kl'].sel(epoch=highest), 1)} (epoch {highest})"
                ),
                "KL at epoch 200": mean_over_seeds(of["kl"].sel(epoch=200), 1),
            }
            | {
                f"Δ(output → input) at epoch {epoch}": mean_over_seeds(
                    imbalance.sel(epoch=epoch), 4
                )
                for epoch in SHOWN_EPOCHS
            }
        )
    return markdown_table(rows)


def limits(sweeps: dict[float, xr.Dataset]) -> str:
    """The table of 95% limits behind the verdicts, in percent."""
    rows = []
    for l2, records in sweeps.items():
        found = {
            "peak, against input, sample, output": peak_evidence(records),
            "peak, against input, output": peak_evidence(records, ["input", "output"]),
            "second phase": two_phases(*courses(records)),
        }
        for place, (cells, _) in enumerate(_sizes({l2: records})):
            rows.append(cells | {name: _limit(each, place) for name, each in found.items()})
    return markdown_table(rows)


def _limit(evidence: Evidence, place: int) -> str:
    verdict = (
        "shown"
        if evidence.shown[place]
        else "excluded"
        if evidence.excluded[place]
        else "not decided"
    )
    return f"{evidence.share[place]:+.1%}, at most {evidence.upper[place]:+.1%}: {verdict}"


def sweeps_of_more_seeds(results: Path = RESULTS.parent) -> dict[float, xr.Dataset]:
    """The records of more seeds of one size, by L2 penalty."""
    sweeps = {}
    for path in sorted(results.glob(OF_MORE_SEEDS)):
        with xr.open_dataset(path) as opened:
            records = opened.load()
        sweeps[json.loads(records.attrs["settings"])["l2"]] = records
    return dict(sorted(sweeps.items()))


def more_seeds_of_one_size() -> str:
    """What the stored runs of more seeds say of a second phase, once there are enough."""
    parts = []
    for l2, records in sweeps_of_more_seeds().items():
        seeds, where = records.sizes["seed"], f"K = {OF_EVERY_L2}, L2 of {_penalty(l2)}"
        if seeds < DECIDING:
            parts.append(
                f"{where}: {seeds} of {DECIDING} seeds are trained, so nothing is read yet."
            )
        else:
            parts += [f"{where}, {seeds} seeds: {_limit(two_phases(*courses(records)), 0)}"]
            parts += [over_training({l2: records})]
    return "\n\n".join(parts)


def with_and_without_penalty(sweeps: dict[float, xr.Dataset]) -> str:
    """The table of models at their last epoch with the largest L2 and without, paired by seed."""
    largest = max(sweeps)
    without, penalized = (
        sweeps[l2].isel(epoch=-1).sel(bottleneck=OF_EVERY_L2) for l2 in (0.0, largest)
    )
    quantities: dict[str, tuple[int, Callable[[xr.Dataset], xr.DataArray]]] = {
        "negative ELBO, nats": (2, lambda of: of["reconstruction"] + of["kl"]),
        "reconstruction, nats": (2, lambda of: of["reconstruction"]),
        "KL, nats": (2, lambda of: of["kl"]),
        "Δ(output → input)": (4, lambda of: of["imbalance_to_input"].sel(layer="output")),
        "ID of the mean": (2, lambda of: of["intrinsic_dimension"].sel(layer="mean")),
    }
    rows = []
    for name, (digits, quantity) in quantities.items():
        one, other = (quantity(of).values for of in (without, penalized))
        chance = scipy.stats.ttest_rel(other, one).pvalue
        rows.append(
            {
                "at epoch 200": name,
                "L2 of 0": mean_over_seeds(one, digits),
                f"L2 of {_penalty(largest)}": mean_over_seeds(other, digits),
                "difference": mean_over_seeds(other - one, digits),
                "p": "< 0.001" if chance < 0.001 else f"{chance:.2f}",
            }
        )
    return markdown_table(rows, left=["at epoch 200"])


def decided_by(records: xr.Dataset, seeds: int, *, own: bool, sweeps: int) -> tuple[float, float]:
    """Shares of simulated sweeps that exclude a second phase for all sizes, and for one alone.

    The logarithms of imbalance and KL are normal around the measured means, independently at every
    epoch, with the variance that all sizes have together, or each size its own. The one size is
    `OF_EVERY_L2`.
    """
    random = np.random.default_rng(seeds)
    measured = [np.log(each) for each in courses(records)]
    means = [each.mean(axis=1, keepdims=True) for each in measured]
    variances = [each.var(axis=1, ddof=1, keepdims=True) for each in measured]
    if not own:
        variances = [np.broadcast_to(each.mean(axis=0), each.shape) for each in variances]
    one = list(records["bottleneck"].values).index(OF_EVERY_L2)
    shape = (len(means[0]), seeds, means[0].shape[2])
    of_all, alone = 0, 0
    for _ in range(sweeps):
        drawn = [
            np.exp(mean + np.sqrt(variance) * random.standard_normal(shape))
            for mean, variance in zip(means, variances, strict=True)
        ]
        of_all += bool(two_phases(*drawn).excluded.all())
        alone += bool(two_phases(*(each[[one]] for each in drawn)).excluded[0])
    return of_all / sweeps, alone / sweeps


def more_seeds(records: xr.Dataset, sweeps: int) -> str:
    """The table of the shares of simulated sweeps in which a second phase is excluded."""
    rows = []
    for seeds in track(SEEDS, "simulating more seeds", console=Console(stderr=True)):
        together, _ = decided_by(records, seeds, own=False, sweeps=sweeps)
        apart, alone = decided_by(records, seeds, own=True, sweeps=sweeps)
        rows.append(
            {
                "seeds": str(seeds),
                "all sizes, of one variance": f"{together:.0%}",
                "all sizes, each with its own": f"{apart:.0%}",
                f"K = {OF_EVERY_L2} alone, with its own": f"{alone:.0%}",
            }
        )
    return markdown_table(rows)


def beside_the_paper(sweeps: dict[float, xr.Dataset]) -> str:
    """The table of the paper's numbers and of those of both stored results at their last epochs."""
    rows = [_beside("paper, CIFAR-10", size, numbers) for size, numbers in PAPER.items()]
    for size, record in _of_the_papers_network():
        layers = record["layers"]
        to_input = [row[layers.index("input")] for row in record["imbalance"]]
        numbers = _measured(layers, record["intrinsic_dimension"], to_input)
        rows.append(_beside("same network, MNIST", size, numbers))
    of_dense = sweeps[0.0].isel(epoch=-1).mean("seed")
    for size in of_dense["bottleneck"].values:
        of = of_dense.sel(bottleneck=size)
        numbers = _measured(of["layer"].values, of["intrinsic_dimension"], of["imbalance_to_input"])
        rows.append(_beside("dense network, MNIST", int(size), numbers))
    return markdown_table(rows, left=["network, images"])


def by_layer() -> str:
    """The table of the ID of all layers of the paper's network at its last epochs."""
    rows = []
    for size, record in _of_the_papers_network():
        dimensions = (f"{value:.1f}" for value in record["intrinsic_dimension"])
        cells = {"K": str(size), "epoch": str(record["epoch"])}
        rows.append(cells | dict(zip(record["layers"], dimensions, strict=True)))
    return markdown_table(rows)


def _of_the_papers_network() -> list[tuple[int, dict[str, Any]]]:
    """The sizes, ascending, with the record of the last epoch of each."""
    stored = json.loads(OF_THE_PAPERS_NETWORK.read_text(encoding="utf-8"))
    records = sorted(stored["records"], key=lambda record: record["epoch"])
    return sorted({record["bottleneck"]: record for record in records}.items())


def _measured(
    layers: Sequence[str], dimensions: Sequence[float], to_input: Sequence[float]
) -> Numbers:
    dimension, imbalance = (
        dict(zip(layers, map(float, each), strict=True)) for each in (dimensions, to_input)
    )
    return Numbers(
        dimension["input"],
        dimension["sample"],
        max(value for layer, value in dimension.items() if layer.startswith("decoder/")),
        dimension["output"],
        imbalance["output"],
        imbalance["sample"],
    )


def _beside(network: str, size: int, numbers: Numbers) -> dict[str, str]:
    return {
        "network, images": network,
        "K": str(size),
        "K / ID input": f"{size / numbers.input:.2f}",
        "ID sample": f"{numbers.sample:.1f}",
        "largest ID in decoder": f"{numbers.decoder:.1f}",
        "the same / ID input": f"{numbers.decoder / numbers.input:.2f}",
        "ID output": f"{numbers.output:.1f}",
        "Δ(output → input)": f"{numbers.from_output:.3f}",
        "Δ(sample → input)": f"{numbers.from_sample:.3f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sweeps", type=int, default=2000, help="simulated for every number")
    given = parser.parse_args()
    sweeps = stored_sweeps()
    sections = ["# At the last epoch", at_the_end(sweeps), "# Over training", over_training(sweeps)]
    sections.append("# Claims")
    for l2, records in sweeps.items():
        sections += [f"L2 of {l2:g}:", *claims(records)]
    sections += ["# Limits", limits(sweeps)]
    sections += [
        "# A second phase excluded in simulated sweeps",
        more_seeds(sweeps[0.0], given.sweeps),
    ]
    more = sweeps_of_more_seeds()
    sections += ["# More seeds", more_seeds_of_one_size(), with_and_without_penalty(more)]
    sections += ["# The paper's network", by_layer()]
    sections += ["# Beside the numbers of the paper", beside_the_paper(sweeps)]
    Console().print(Markdown("\n\n".join(sections)))


if __name__ == "__main__":
    main()
