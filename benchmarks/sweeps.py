"""A bottleneck sweep of ten thousand runs, merged: files, seconds, and peak memory.

    python -m benchmarks.sweeps [--runs N] [--out FILE]

The records that 10,000 runs of the dense network on MNIST would leave, 20 bottlenecks by 500
seeds, measured at 10 epochs, are written with random numbers by the functions that write real
ones: one file a run, one checkpoint a unit, units as they are without `--members`. Then, each in
a process of its own whose peak memory the kernel counts: `done_runs`, as a process finds when it
joins a sweep what there is to do, for the first time and once more; and the merge, `gather` and
`records.nc`. Expected: at most 12,000 files; a merge in less than a minute and 1 GiB, what Python
and JAX themselves take included. Several minutes on two cores, most of
them for writing, and 4 GB on the disk.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from benchmarks import measure
from experiments.bottleneck.config import Config, compared_seeds, run_name
from experiments.bottleneck.records import gather
from experiments.bottleneck.sweep import EXPERIMENT
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path
from jaxvae.files.whole import write_whole
from jaxvae.runs import checkpoint
from jaxvae.runs.checkpoint import SNAPSHOTS
from jaxvae.runs.sweep_run import UNITS, Place, model_of, program_of
from jaxvae.sweeps.records import done_runs, write_arrays, write_run
from jaxvae.sweeps.sweep import MADE_OF, Sweep

RESULTS = Path(__file__).parent / "results" / "sweeps.json"
RUNS, SIZES = 10_000, tuple(range(2, 42, 2))
IMAGE_SHAPE, EXAMPLES = (28, 28, 1), 10
LAYERS = [
    "input", "encoder/1", "encoder/2", "mean", "log_variance", "sample", "decoder/1", "decoder/2",
    "output",
]  # fmt: skip
GIB = 2**30
MOST_FILES, MOST_SECONDS, MOST_BYTES = 12_000, 60.0, GIB


def config_of(runs: int) -> Config:
    """A sweep of so many runs, measured at ten epochs."""
    seeds = tuple(range(runs // len(SIZES)))
    return Config(bottlenecks=SIZES, seeds=seeds, epochs=9, snapshots=tuple(range(9)))


def record(config: Config, latents: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """The arrays of a run, as `experiments.bottleneck.measuring` makes them."""
    epochs, layers = len(config.measured_epochs), len(LAYERS)

    def numbers(*shape: int, dtype: type = np.float32) -> np.ndarray:
        return random.random(shape, np.float32).astype(dtype)

    def pictures() -> np.ndarray:
        return random.integers(0, 256, (EXAMPLES, *IMAGE_SHAPE), np.uint8)

    ranks = np.array([2, 4, 8, 16, 32])
    return {
        "epoch": np.array(config.measured_epochs),
        "intrinsic_dimension": numbers(epochs, layers),
        "intrinsic_dimension_stderr": numbers(epochs, layers),
        "distinct_points": np.full((epochs, layers), config.points),
        "imbalance": numbers(epochs, layers, layers),
        "reconstruction": numbers(epochs),
        "kl": numbers(epochs),
        "active_units": np.ones(epochs, int),
        "failed": np.zeros(epochs, bool),
        "layer": np.array(LAYERS),
        **{f"example_{name}": pictures() for name in ("input", "reconstruction", "sample")},
        **{f"scale_{name}": numbers(layers, len(ranks)) for name in (
            "dimension", "dimension_stderr", "radius"
        )},
        "far_neighbor": ranks,
        **{name: numbers(config.points, latents) for name in ("mean", "sample")},
    }  # fmt: skip


def write_sweep(config: Config, sweep: Sweep) -> None:
    """All that a finished sweep leaves besides its report."""
    random = np.random.default_rng(0)
    for unit in sweep.units:
        if unit.needs:
            continue
        folder = sweep.out / UNITS / unit.name
        model = model_of(program_of(sweep.runs[unit.runs[0]], unit.latents), IMAGE_SHAPE)
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        stacked = jax.tree.map(lambda leaf: jnp.zeros((2, *leaf.shape), leaf.dtype), shapes)
        checkpoint.save(folder / SNAPSHOTS, config.epochs, stacked)
        for index, name in enumerate(unit.runs):
            run = sweep.runs[name]
            write_run(
                sweep.out,
                name,
                record(config, run.latents or 0, random),
                config=run,
                image_shape=IMAGE_SHAPE,
                place=Place(folder.name, index, len(unit.runs), unit.latents),
                scratch=folder,
            )
    (between,) = sweep.afterwards
    compared = len(config.bottlenecks) * len(compared_seeds(config))
    values = random.random((2, compared, compared))
    made = {"imbalance_between": values, MADE_OF: between.unit.name}
    write_arrays(between.file, made, scratch=sweep.out)


def find_done(config: Config, sweep: Sweep) -> dict[str, float]:
    """Seconds to find what is done, first and then."""
    names = [run_name(size, seed) for size in config.bottlenecks for seed in config.seeds]
    times = []
    for _ in range(2):
        start = time.perf_counter()
        done = done_runs(sweep.out, names)
        times.append(time.perf_counter() - start)
    if len(done) != len(names):
        raise SystemExit(f"expected {len(names)} runs that are done, found {len(done)}")
    return {"seconds": times[0], "seconds_again": times[1]}


def merge(config: Config, sweep: Sweep) -> dict[str, float]:
    """Seconds to gather all records and to write them."""
    start = time.perf_counter()
    records = gather(config, sweep)
    gathered = time.perf_counter() - start
    write_whole(sweep.out / "records.nc", records.to_netcdf)
    return {"seconds": time.perf_counter() - start, "gather_seconds": gathered}


WORKS: Mapping[str, Callable[[Config, Sweep], dict[str, float]]] = {
    "done_runs": find_done,
    "merge": merge,
}


def alone(name: str, runs: int, out: Path) -> dict[str, Any]:
    """The measurement of one of `WORKS` in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.sweeps", "--work", name, "--folder", str(out)]
    done = subprocess.run(
        [*words, "--runs", str(runs)], check=True, stdout=subprocess.PIPE, text=True
    )
    return {"name": name, **json.loads(done.stdout.splitlines()[-1])}


def report(name: str, runs: int, out: Path) -> None:
    """Do one of `WORKS`, and print what it took."""
    config = config_of(runs)
    work = WORKS[name](config, EXPERIMENT.sweep(config, out))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"runs": runs, **work, "peak_bytes": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="a multiple of 20 (default: 10000)")
    parser.add_argument("--out", type=as_path, default=RESULTS, help="where the results go")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=as_path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        report(given.work, given.runs, given.folder)
        return
    console, described, config = Console(), machine(), config_of(given.runs)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "sweep")
        sweep = EXPERIMENT.sweep(config, out)
        start = time.perf_counter()
        write_sweep(config, sweep)
        files = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
        written = {
            "name": "files",
            "runs": given.runs,
            "units": len(sweep.units),
            "count": len(files),
            "bytes": sum(files),
            "seconds": time.perf_counter() - start,
        }
        records = [written, *(alone(name, given.runs, out) for name in WORKS)]
    merged = records[-1]
    for each in records:
        console.print(each)
    measure.save(given.out, described, records)
    if given.runs <= RUNS and not (
        len(files) <= MOST_FILES
        and merged["seconds"] < MOST_SECONDS
        and merged["peak_bytes"] < MOST_BYTES
    ):
        raise SystemExit("expected fewer files, seconds or bytes than that")


if __name__ == "__main__":
    main()
