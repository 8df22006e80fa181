"""Measurements of a GPU or TPU, the most important ones first, within some minutes.

    python -m benchmarks.accelerator [--minutes 25] [--only PIECE ...] [--out DIR]

- `exactness`: the reference cases of the tests, with the tolerances of the tests.
- `metrics`: TwoNN, the imbalance, Gride, CKA and Procrustes at sizes that fill the device;
  the first call, which compiles, apart; the bare product that bounds them from below, and
  the share of the device's float32 peak that the products in them reach.
- `products`: of those, the time and the largest error by the algorithm of XLA, in units of 2^-24 of
  the sum of both squared norms, which `jaxvae.geometry` bounds.
- `singular`: singular values by the algorithm of JAX, and what the sum of them is wrong by.
- `steps`: a training step of every network, in milliseconds and images a second.
- `convolutions`: the same of those with convolutions, as matrix products and in XLA's own
  operation, in turns.
- `ensembles`: eight members of one network, one by one and in every way that
  `train_ensemble` has.
- `sweep`: models an hour of the bottleneck paper's sweep, group by group, extrapolated from
  some hundred steps.
- `paper`: `python -m experiments.bottleneck paper-mnist` with one seed, as far as the minutes
  reach; it goes on from DIR/paper-mnist. Needs MNIST and what records and figures need.

Every result is saved as soon as it is there, in DIR/accelerator.json; the same command on the same
device and versions leaves out what is there. No row is begun once the minutes are over. All but
`paper` need the core's packages and rich.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.console import Console

from benchmarks import measure
from benchmarks.ensembles import (
    EPOCHS,
    LOOP,
    Network,
    measured_group,
    sweep_groups,
)
from benchmarks.ensembles import measured as measured_ensemble
from benchmarks.exactness import Case, cases, deviation
from benchmarks.metrics import PAPER, PEAKS
from benchmarks.peers.clouds import KINDS
from benchmarks.peers.jaxvae import BLOCKS, bare_product
from jaxvae import metrics
from jaxvae.bench.timing import machine, seconds_of
from jaxvae.commands.arguments.paths import as_path
from jaxvae.platforms import Convolutions, convolutions_as, svd
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.training import Member, train
from jaxvae.training.ensemble import WAYS

RESULTS = Path(__file__).parent / "results"
REPEATS = 5
# A group of the paper's sweep is trained for so many steps.
_SWEEP_STEPS = 300
Record = dict[str, Any]
# What is measured, and how: made one by one, so that what is there is not measured again.
Rows = Iterator[tuple[str, Callable[[], Record]]]


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
    first = seconds_of(call)
    times = measure.interleaved_times({"": call}, repeats)[""]
    return {"first_seconds": first, "seconds": times, "median": statistics.median(times)}


def exactness_rows() -> Rows:
    """The rows of all reference cases."""
    for case in cases():

        def row(case: Case = case) -> Record:
            start = time.perf_counter()
            worst = deviation(case)
            return {
                "median": time.perf_counter() - start,
                "share_of_tolerance": worst,
                "exact": worst <= 1,
                "note": f"{'within' if worst <= 1 else 'BEYOND'} the tolerance: {worst:.3g} of it",
            }

        yield f"reference case {case.name}", row


def metric_rows() -> Rows:
    """Every metric beside its product."""
    peak = PEAKS.get(jax.devices()[0].device_kind)

    @lru_cache(maxsize=1)
    def clouds(kind: str, *sizes: Any) -> list[Any]:
        return [jnp.asarray(space) for space in KINDS[kind](*sizes)]

    for metric in METRICS:

        def row(metric: Metric = metric) -> Record:
            spaces = clouds(*metric.cloud)[: 1 if metric.function is metrics.two_nn else None]
            times = timed(lambda: metric.function(*spaces))
            if metric.cloud[0] in ("gaussian", "layers"):
                products = {
                    block: timed(lambda b=block: bare_product(*spaces, block=b))["median"]
                    for block in BLOCKS
                    if len(spaces[0]) % block == 0
                }
                times["product"] = min(products.values())
                times["products"] = times["median"] / times["product"]
            operations = sum(2 * len(space) ** 2 * space.shape[1] for space in spaces)
            times["share_of_peak"] = peak and operations / times["median"] / peak
            value = jax.tree.leaves(metric.function(*spaces))[0]
            return times | {"value": np.asarray(value, np.float64).tolist()}

        yield metric.work, row


PRODUCTS: dict[str, Any] = {"HIGHEST": lax.Precision.HIGHEST} | {
    name: lax.DotAlgorithmPreset[name]
    for name in ("TF32_TF32_F32", "TF32_TF32_F32_X3", "BF16_BF16_F32_X6", "BF16_BF16_F32_X9")
}


def product_rows() -> Rows:
    """Products of 4,096 points with 20,000, by their algorithm; a device has some of them."""
    for width, (name, precision) in product((50, 1024), PRODUCTS.items()):

        def row(width: int = width, precision: Any = precision) -> Record:
            points = np.random.default_rng(0).standard_normal((20_000, width), dtype=np.float32)
            given = jnp.asarray(points)
            multiply = jax.jit(partial(jnp.einsum, "bd,nd->bn", precision=precision))
            times = timed(lambda: multiply(given[:4096], given))
            some, wide = np.asarray(multiply(given[:256], given), np.float64), np.float64(points)
            norms = np.sum(wide**2, axis=1)
            errors = 2 * np.abs(some - wide[:256] @ wide.T) / (norms[:256, None] + norms) * 2**24
            operations = 2 * 4096 * len(points) * width
            return times | {
                "teraflops": operations / times["median"] / 1e12,
                "largest_error": float(errors.max()),
                "note": f"largest error {errors.max():.0f} units",
            }

        yield f"4,096 x 20,000 products of {width} features, {name}", row


def singular_rows() -> Rows:
    """Singular values of square matrices, by their algorithm; a device has some of them."""
    algorithms = lax.linalg.SvdAlgorithm
    for size, algorithm in product((50, 150, 500), (*algorithms, None)):

        def row(size: int = size, algorithm: Any = algorithm) -> Record:
            matrix = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
            values = svd if algorithm is None else partial(lax.linalg.svd, algorithm=algorithm)
            alone: dict[str, Any] = {"vectors" if algorithm is None else "compute_uv": False}
            decompose, given = jax.jit(partial(values, **alone)), jnp.asarray(matrix)
            times = timed(lambda: decompose(given))
            exact = np.linalg.svd(np.float64(matrix), compute_uv=False).sum()
            error = abs(np.asarray(decompose(given), np.float64).sum() / exact - 1)
            return times | {
                "relative_error_of_the_sum": error,
                "note": f"the sum is wrong by {error:.1e} of it",
            }

        name = "jaxvae's" if algorithm is None else algorithm.name
        yield f"singular values of {size} x {size}, {name}", row


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


def epoch_of(case: Step) -> Callable[[], Any]:
    """An epoch as users run it; a program of its own."""
    config = RunConfig(network=case.network, batch_size=case.batch)
    model = build_model(config, (case.size, case.size, 1))
    trainer = build_trainer(config, model, dataset_size=case.steps * case.batch)
    images = Network(case.network, case.size, case.batch).images(case.steps)
    state = trainer.init(jax.random.key(0))
    return partial(train, trainer, state, images, epochs=1, batch_size=case.batch)


def step_rows() -> Rows:
    """An epoch of every network."""
    for case in STEPS:

        def row(case: Step = case) -> Record:
            times = timed(epoch_of(case), 3)
            return {
                **case._asdict(),
                **times,
                "note": f"{1e3 * times['median'] / case.steps:.3f} ms a step",
                "milliseconds_per_step": 1e3 * times["median"] / case.steps,
                "images_per_second": case.steps * case.batch / times["median"],
            }

        yield f"step of {case.network}, {case.size} x {case.size}, batch {case.batch}", row


CONVOLUTIONAL = ("convolutional_vae", "compact_vae", "residual_vae")


def convolution_rows() -> Rows:
    """An epoch of every network with convolutions, with those of either kind."""
    for case in (each for each in STEPS if each.network in CONVOLUTIONAL):

        def row(case: Step = case) -> Record:
            epochs = {
                kind: partial(epoch_with, kind, epoch_of(case)) for kind in get_args(Convolutions)
            }
            first = sum(seconds_of(epoch) for epoch in epochs.values())
            times = measure.interleaved_times(epochs, 3)
            median = {kind: statistics.median(each) for kind, each in times.items()}
            per_step = {kind: 1e3 * each / case.steps for kind, each in median.items()}
            return {
                **case._asdict(),
                "seconds": times,
                "median": min(median.values()),
                "first_seconds": first,
                "milliseconds_per_step": per_step,
                "native_over_products": median["native"] / median["products"],
                "note": ", ".join(
                    f"{kind} {each:.3f} ms a step" for kind, each in per_step.items()
                ),
            }

        yield f"convolutions of {case.network}, {case.size} x {case.size}, batch {case.batch}", row


def epoch_with(kind: Convolutions, epoch: Callable[[], Any]) -> Any:
    with convolutions_as(kind):
        return epoch()


ENSEMBLES = (
    (Network("convolutional_vae", size=32, batch=256), 60),
    (Network("dense_vae", size=28, batch=128), 300),
    (Network("compact_vae", size=64, batch=64), 150),
)


def ensemble_rows() -> Rows:
    """Eight members of every network."""
    for (network, steps), way in product(ENSEMBLES, WAYS):

        def row(network: Network = network, steps: int = steps, way: str = way) -> Record:
            times = measured_ensemble(network, 8, steps, (way,), 2)
            per_step = times["milliseconds_per_step_and_model"]
            return times | {
                "median": per_step[way] * 1e-3 * 8 * steps,
                "first_seconds": times["compilation_seconds"][way],
                "note": f"{per_step[way]:.3f} ms a step and model, {per_step[LOOP]:.3f} one by one",
            }

        yield f"8 x {network.name}, {way}", row


def sweep_rows() -> Rows:
    """The groups of the bottleneck paper's sweep."""
    for group in sweep_groups():
        sizes = ", ".join(str(size) for size in sorted({member.latents for member in group}))

        def row(group: Sequence[Member] = group) -> Record:
            times = measured_group(group, "vmap", _SWEEP_STEPS)
            hours = times["extrapolated_seconds"] / 3600
            return times | {
                "median": times["seconds"],
                "first_seconds": times["compilation_seconds"] + times["seconds"],
                "models_per_hour": len(group) / hours,
                "note": f"{len(group) / hours:.3g} models an hour",
            }

        yield f"{len(group)} models of {sizes} latents, {EPOCHS} epochs", row


def paper_rows(out: Path, ends: float) -> Rows:
    """The sweep of MNIST, until the minutes are over."""

    def row() -> Record:
        words = ["-m", "experiments.bottleneck", "paper-mnist", "--seeds", "0", "--out"]
        start = time.monotonic()
        with subprocess.Popen([sys.executable, *words, str(out / "paper-mnist")]) as process:
            try:
                status = process.wait(max(1.0, ends - start))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                status = process.wait()
        # 130: it was interrupted, saved, and goes on when it is called again.
        if status not in (0, 130):
            raise RuntimeError(f"it ended with status {status}")
        done = len(list((out / "paper-mnist" / "runs").rglob("*.npz")))
        return {
            "median": time.monotonic() - start,
            "runs": done,
            "note": f"{done} runs are done",
            "again": status != 0,
        }

    yield "paper-mnist, one seed", row


PIECES = (
    "exactness",
    "metrics",
    "products",
    "singular",
    "steps",
    "convolutions",
    "ensembles",
    "sweep",
    "paper",
)


def rows_of(piece: str, out: Path, ends: float) -> Rows:
    """The rows of a piece."""
    plain = {
        "exactness": exactness_rows,
        "metrics": metric_rows,
        "products": product_rows,
        "singular": singular_rows,
        "steps": step_rows,
        "convolutions": convolution_rows,
        "ensembles": ensemble_rows,
        "sweep": sweep_rows,
    }
    return paper_rows(out, ends) if piece == "paper" else plain[piece]()


def held(path: Path, described: Record) -> list[Record]:
    """The rows of a file that are of the same device and versions.

    Raises:
        ValueError: for a file of another one.
    """
    if not path.exists():
        return []
    saved = json.loads(path.read_text(encoding="utf-8"))
    for key in ("device", "device_count", "jax", "jaxvae"):
        if saved["machine"].get(key) != described[key]:
            raise ValueError(
                f"expected a file of {key} {described[key]}, got {saved['machine'].get(key)}: "
                f"remove {path}, or choose another folder by --out"
            )
    return [record for record in saved["records"] if not record.get("again")]


def as_line(row: Record) -> str:
    """A row as a line of text."""
    words = [f"{row['median']:.4g} s"]
    words += [f"first {row['first_seconds']:.1f} s"] if "first_seconds" in row else []
    words += [f"{row['products']:.2f} products"] if "products" in row else []
    words += [f"{row['share_of_peak']:.0%} of peak"] if row.get("share_of_peak") else []
    words += [row["note"]] if "note" in row else []
    return f"{row['work']}: {', '.join(words)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="begin nothing after these")
    parser.add_argument("--only", nargs="+", choices=PIECES, default=PIECES)
    parser.add_argument("--out", type=as_path, default=RESULTS, help="folder to write to")
    options = parser.parse_args()
    console, described = Console(width=120), machine()
    file, ends = options.out / "accelerator.json", time.monotonic() + 60 * options.minutes
    try:
        records = held(file, described)
    except ValueError as error:
        sys.exit(f"error: {error}")
    works = {record["work"] for record in records}
    for piece in options.only:
        for work, row in rows_of(piece, options.out, ends):
            if work in works:
                continue
            if time.monotonic() > ends:
                console.print(f"{work}: left, the minutes are over")
                continue
            try:
                records.append({"piece": piece, "work": work} | row())
            except Exception as error:  # one that fails must not take the others along
                console.print(f"{work}: {type(error).__name__}: {str(error)[:300]}")
                continue
            measure.save(file, described, records)
            console.print(as_line(records[-1]), highlight=False)
    console.print(f"{described['device']}: {len(records)} results in {file}", highlight=False)


if __name__ == "__main__":
    main()
