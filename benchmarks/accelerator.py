"""What a GPU or TPU is worth knowing for, in the order of its worth, within some minutes.

    python -m benchmarks.accelerator [--minutes 25] [--only PIECE ...] [--out DIR]

- `metrics`: TwoNN, the imbalance, Gride, CKA and Procrustes at sizes that fill the device;
  the first call, which compiles, apart; the bare product that bounds them from below, and
  the share of the device's float32 peak that the products in them reach.
- `steps`: a training step of every network, in milliseconds and images a second.
- `ensembles`: eight members of one network, one by one and in every way that
  `train_ensemble` has.

Every result is saved as soon as it is there, in DIR/accelerator.json. No piece is begun, and
no row within one, once the minutes are over. Needs the core's packages and rich.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from benchmarks import measure
from benchmarks.ensembles import LOOP, Network, first_seconds
from benchmarks.ensembles import measured as measured_ensemble
from benchmarks.metrics import PAPER, PEAKS
from benchmarks.peers.clouds import KINDS
from benchmarks.peers.jaxvae import BLOCKS, bare_product
from jaxvae import metrics
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.places import place
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.training import train

RESULTS = Path(__file__).parent / "results"
REPEATS = 5
Record = dict[str, Any]


class Metric(NamedTuple):
    """A metric on a kind of cloud of `benchmarks.peers.clouds`."""

    work: str
    function: Callable[..., Any]
    cloud: tuple[Any, ...]


METRICS = (
    Metric("TwoNN, n = 20,000, d = 50", metrics.two_nn, ("gaussian", 20_000, 50)),
    Metric("TwoNN, n = 20,000, d = 1,024", metrics.two_nn, ("gaussian", 20_000, 1024)),
    Metric("TwoNN, n = 10,000, d = 784", metrics.two_nn, ("gaussian", 10_000, 784)),
    Metric(
        "II of 7 spaces, n = 50,000",
        lambda *spaces: metrics.imbalance_matrix(spaces),
        ("layers", 50_000),
    ),
    Metric(
        "II of 7 spaces, n = 10,000",
        lambda *spaces: metrics.imbalance_matrix(spaces),
        ("layers", 10_000),
    ),
    Metric("Gride to rank 64, n = 10,000, d = 784", metrics.gride, ("gaussian", 10_000, 784)),
    Metric(
        "CKA of 13 taps, n = 5,000",
        lambda *spaces: metrics.cka_matrix(spaces),
        ("taps", 5000, *PAPER),
    ),
    Metric(
        "Procrustes of 13 taps, n = 5,000",
        lambda *spaces: metrics.procrustes_matrix(spaces),
        ("taps", 5000, *PAPER),
    ),
    Metric("TwoNN, n = 10,000, d = 50: clusters", metrics.two_nn, ("clusters", 10_000, 50)),
    Metric(
        "II, n = 10,000, d = 50: clusters",
        metrics.information_imbalance,
        ("clusters", 10_000, 50),
    ),
    Metric("II, n = 10,000, d = 50: grid", metrics.information_imbalance, ("grid", 10_000, 50)),
)


def timed(call: Callable[[], Any], repeats: int = REPEATS) -> Record:
    """Seconds of the first call, and of later ones."""
    first = first_seconds(call)
    times = measure.interleaved_times({"": call}, repeats)[""]
    return {"first_seconds": first, "seconds": times, "median": statistics.median(times)}


def metric_rows() -> Iterator[Record]:
    """Every metric beside its product."""
    peak = PEAKS.get(jax.devices()[0].device_kind)
    held: dict[tuple[Any, ...], list[Any]] = {}
    for metric in METRICS:
        if metric.cloud not in held:
            kind, *sizes = metric.cloud
            held = {metric.cloud: [jnp.asarray(space) for space in KINDS[kind](*sizes)]}
        spaces = held[metric.cloud][: 1 if metric.function is metrics.two_nn else None]
        row = {"work": metric.work} | timed(lambda f=metric.function, s=spaces: f(*s))
        if metric.cloud[0] in ("gaussian", "layers"):
            products = {
                block: timed(lambda b=block, s=spaces: bare_product(*s, block=b))["median"]
                for block in BLOCKS
                if len(spaces[0]) % block == 0
            }
            row["product"] = min(products.values())
            row["products"] = row["median"] / row["product"]
        operations = sum(2 * len(space) ** 2 * space.shape[1] for space in spaces)
        row["share_of_peak"] = peak and operations / row["median"] / peak
        value = jax.tree.leaves(metric.function(*spaces))[0]
        yield row | {"value": np.asarray(value, np.float64).tolist()}


class Step(NamedTuple):
    """A network and what it is trained on."""

    network: str
    size: int
    batch: int
    steps: int


STEPS = (
    Step("convolutional_vae", 32, 256, 200),
    Step("compact_vae", 64, 64, 400),
    Step("dense_vae", 28, 128, 400),
    Step("wide_dense_vae", 64, 64, 400),
    Step("residual_vae", 64, 64, 200),
    Step("transformer_vae", 64, 64, 200),
)


def step_rows() -> Iterator[Record]:
    """An epoch of every network, as users run it."""
    for case in STEPS:
        config = RunConfig(network=case.network, batch_size=case.batch)
        model = build_model(config, (case.size, case.size, 1))
        trainer = build_trainer(config, model, dataset_size=case.steps * case.batch)
        images = Network(case.network, case.size, case.batch).images(case.steps)
        state = trainer.init(jax.random.key(0))

        epoch = partial(train, trainer, state, images, epochs=1, batch_size=case.batch)
        row = timed(epoch, 3)
        yield {
            **case._asdict(),
            **row,
            "work": f"step of {case.network}, {case.size} x {case.size}, batch {case.batch}",
            "note": f"{1e3 * row['median'] / case.steps:.3f} ms a step",
            "milliseconds_per_step": 1e3 * row["median"] / case.steps,
            "images_per_second": case.steps * case.batch / row["median"],
        }


ENSEMBLES = (
    (Network("convolutional_vae", size=32, batch=256), 60, ("map", "vmap")),
    (Network("dense_vae", size=28, batch=128), 300, ("map", "vmap")),
    (Network("compact_vae", size=64, batch=64), 150, ("map", "vmap", "unrolled")),
)


def ensemble_rows() -> Iterator[Record]:
    """Eight members of every network."""
    for network, steps, ways in ENSEMBLES:
        for way in ways:
            row = measured_ensemble(network, 8, steps, (way,), 2)
            ours, loop = (row["milliseconds_per_step_and_model"][each] for each in (way, LOOP))
            yield row | {
                "work": f"8 x {network.name}, {way}",
                "median": ours * 1e-3 * 8 * steps,
                "first_seconds": row["compilation_seconds"][way],
                "note": f"{ours:.3f} ms a step and model, {loop:.3f} one by one",
            }


PIECES: dict[str, Callable[[], Iterator[Record]]] = {
    "metrics": metric_rows,
    "steps": step_rows,
    "ensembles": ensemble_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=25.0, help="begin nothing after these")
    parser.add_argument("--only", nargs="+", choices=list(PIECES), default=list(PIECES))
    parser.add_argument("--out", type=place, default=RESULTS, help="folder to write to")
    options = parser.parse_args()
    console, described, records = Console(width=120), machine(), []
    ends = time.monotonic() + 60 * options.minutes
    for piece in options.only:
        rows = PIECES[piece]()
        while time.monotonic() < ends:
            try:
                row = next(rows, None)
            except Exception as error:  # one that fails must not take the others along
                console.print(f"{piece}: {type(error).__name__}: {str(error)[:300]}")
                break
            if row is None:
                break
            records.append({"piece": piece} | row)
            measure.save(options.out / "accelerator.json", described, records)
            told = [f"{row['median']:.4g} s", f"first {row['first_seconds']:.1f} s"]
            told += [f"{row['products']:.2f} products"] if "products" in row else []
            told += [f"{row['share_of_peak']:.0%} of peak"] if row.get("share_of_peak") else []
            told += [row["note"]] if "note" in row else []
            console.print(f"{row['work']}: {', '.join(told)}")


if __name__ == "__main__":
    main()
