"""Ensembles in one program against one model after another: milliseconds per step and model.

    python -m benchmarks.ensembles [--networks NAME ...] [--members M ...] [--ways WAY ...]
    python -m benchmarks.ensembles --sweep [--steps N] [--ways WAY ...]

Two, four and eight members of three networks, which differ in their seeds, are trained by
`train` one after another, and together in each way that `train_ensemble` can run them: their
arrays batched (`vmap`), and in a loop on the device (`map`). All take turns, A B C A B C, over
the same number of steps; compilation is counted apart. Expected: where one model fills the
device, as a convolutional one fills a few cores, batching gains nothing; on a GPU eight members
take much less than eight times as long. Minutes on two quiet cores.

`--sweep` is the one of the bottleneck paper: 7 bottlenecks from 2 to 128 and 5 seeds of the
convolutional VAE, on as many images of the same size as MNIST has there, 48,000 of 32 x 32,
for 200 epochs, in the groups that share a program. A few hundred steps of each group are
timed, and all of them extrapolated. Meant for a GPU; minutes there, a long hour on two cores.
"""

import argparse
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from jaxvae.bench.timing import machine, seconds_of
from jaxvae.commands.arguments.paths import as_path
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.training import (
    Ensemble,
    Member,
    Trainer,
    group_members,
    init_ensemble,
    train,
    train_ensemble,
)
from jaxvae.training.ensemble import WAYS

RESULTS = Path(__file__).parent / "results" / "ensembles.json"
LOOP = "one by one"
MEMBERS = (2, 4, 8)
LATENTS = 10
# One call trains all members for about so long.
SECONDS = 2.0
FEWEST_STEPS, MOST_STEPS = 2, 1000
REPEATS = 3
BOTTLENECKS, SEEDS, EPOCHS, SWEEP_IMAGES = (2, 4, 8, 16, 32, 64, 128), 5, 200, 48_000

Train = Callable[[], Any]


class Network(NamedTuple):
    """A network by its name in `jaxvae.models`, and what it is trained on."""

    name: str
    size: int
    batch: int

    def images(self, steps: int) -> Array:
        """An epoch of so many steps; how long these take does not depend on what they show."""
        shape = (steps * self.batch, self.size, self.size, 1)
        return jnp.asarray(np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8))


NETWORKS = (
    Network("dense_vae", size=28, batch=128),
    Network("compact_vae", size=64, batch=64),
    Network("convolutional_vae", size=32, batch=64),
)
SWEPT = Network("convolutional_vae", size=32, batch=256)


@cache
def trainer_of(network: Network, latents: int) -> Trainer:
    """The trainer of a network, as the command line builds it."""
    config = RunConfig(network=network.name, latents=latents, batch_size=network.batch)
    vae = build_model(config, (network.size, network.size, 1))
    return build_trainer(config, vae, dataset_size=SWEEP_IMAGES)


def seeds(count: int, latents: int = LATENTS) -> list[Member]:
    return [Member(key, latents) for key in jax.random.split(jax.random.key(0), count)]


def epoch_of(network: Network, ensemble: Ensemble, images: Array, way: str) -> Train:
    """An epoch of all members in one way."""
    latents = ensemble.states.variables.params["mean"]["kernel"].shape[-1]
    return partial(
        train_ensemble,
        trainer_of(network, latents),
        ensemble,
        images,
        epochs=1,
        batch_size=network.batch,
        way=way,
    )


def step_seconds(network: Network) -> float:
    """Roughly, of one model."""
    trainer, batch = trainer_of(network, LATENTS), network.images(1)
    state, step = trainer.init(jax.random.key(0)), jax.jit(trainer.step)
    times = measure.interleaved_times({"": lambda: step(state, batch)[1]}, 3)
    return min(times[""])


def measured(
    network: Network, count: int, steps: int, ways: Iterable[str], repeats: int
) -> dict[str, Any]:
    """Time so many members, one by one and together, in turns."""
    trainer, images = trainer_of(network, LATENTS), network.images(steps)
    start = init_ensemble(lambda latents: trainer, seeds(count))
    states = [trainer.init(member.key) for member in seeds(count)]
    candidates: dict[str, Train] = {
        LOOP: lambda: [
            train(trainer, state, images, epochs=1, batch_size=network.batch).variables
            for state in states
        ]
    }
    candidates |= {way: epoch_of(network, start, images, way) for way in ways}
    first = {way: seconds_of(candidates[way]) for way in ways}
    times = measure.interleaved_times(candidates, repeats)
    per_step = {
        name: 1e3 * statistics.median(seconds) / (steps * count) for name, seconds in times.items()
    }
    return network._asdict() | {
        "latents": LATENTS,
        "members": count,
        "steps": steps,
        "compilation_seconds": {way: first[way] - statistics.median(times[way]) for way in ways},
        "seconds_per_call": times,
        "milliseconds_per_step_and_model": per_step,
        "speedup": {way: per_step[LOOP] / per_step[way] for way in ways},
    }


def compare(options: argparse.Namespace, console: Console, save: Callable[..., None]) -> Table:
    """Every network and number of members."""
    records = []
    for network in (each for each in NETWORKS if each.name in options.networks):
        seconds = step_seconds(network)
        for count in options.members:
            wanted = options.steps or int(SECONDS / (seconds * count))
            steps = max(FEWEST_STEPS, min(MOST_STEPS, wanted))
            console.print(f"{network.name}: {count} members, {steps} steps ...", end=" ")
            records.append(measured(network, count, steps, options.ways, options.repeats))
            gains = records[-1]["speedup"].items()
            console.print(", ".join(f"{way} {gain:.2f}" for way, gain in gains))
            save(records)
    return comparison(records, options.ways)


def comparison(records: Sequence[dict[str, Any]], ways: Sequence[str]) -> Table:
    result = Table(
        title="Milliseconds per step and model (median); times as fast as one by one; to compile"
    )
    for heading in ("network", "images", "batch", "members", LOOP, *ways):
        result.add_column(heading, justify="left" if heading == "network" else "right")
    for row in records:
        times, size = row["milliseconds_per_step_and_model"], row["size"]
        cells = [
            f"{times[way]:.3g} ({row['speedup'][way]:.2f}), {row['compilation_seconds'][way]:.0f} s"
            for way in ways
        ]
        about = (row["name"], f"{size} x {size}", str(row["batch"]), str(row["members"]))
        result.add_row(*about, f"{times[LOOP]:.3g}", *cells)
    return result


def sweep_groups() -> list[tuple[Member, ...]]:
    """The models of the paper's sweep that share a program."""
    return group_members([member for size in BOTTLENECKS for member in seeds(SEEDS, size)])


def measured_group(group: Sequence[Member], way: str, steps: int) -> dict[str, Any]:
    """Time so many steps of a group in one way, extrapolated to all epochs."""
    start = init_ensemble(partial(trainer_of, SWEPT), group)
    call = epoch_of(SWEPT, start, SWEPT.images(steps), way)
    first = seconds_of(call)
    seconds = measure.interleaved_times({way: call}, 1)[way][0]
    every = EPOCHS * (SWEEP_IMAGES // SWEPT.batch)
    return SWEPT._asdict() | {
        "bottlenecks": sorted({member.latents for member in group}),
        "members": len(group),
        "way": way,
        "steps": steps,
        "compilation_seconds": first - seconds,
        "seconds": seconds,
        "milliseconds_per_step_and_model": 1e3 * seconds / (steps * len(group)),
        "extrapolated_seconds": seconds / steps * every + first - seconds,
    }


def sweep(options: argparse.Namespace, console: Console, save: Callable[..., None]) -> Table:
    """The paper's sweep, group by group, extrapolated."""
    records: list[dict[str, Any]] = []
    for group, way in product(sweep_groups(), options.ways):
        sizes = sorted({member.latents for member in group})
        console.print(f"{len(group)} models of {sizes} latents, {way} ...", end=" ")
        records.append(measured_group(group, way, options.steps or 300))
        console.print(f"{records[-1]['milliseconds_per_step_and_model']:.3g} ms")
        save(records)
    return extrapolation(records, options.ways)


def extrapolation(records: Sequence[dict[str, Any]], ways: Sequence[str]) -> Table:
    title = f"{EPOCHS} epochs of {SWEEP_IMAGES:,} images, extrapolated; compilation included"
    result = Table(title=title)
    for heading in ("bottlenecks", "models", "way", "ms per step and model", "to compile", "hours"):
        left = heading in ("bottlenecks", "way")
        result.add_column(heading, justify="left" if left else "right")
    for row in records:
        sizes = ", ".join(map(str, row["bottlenecks"]))
        per_step = f"{row['milliseconds_per_step_and_model']:.3g}"
        hours, compiling = row["extrapolated_seconds"] / 3600, f"{row['compilation_seconds']:.0f} s"
        result.add_row(sizes, str(row["members"]), row["way"], per_step, compiling, f"{hours:.2f}")
    result.add_section()
    for way in ways:
        hours = sum(row["extrapolated_seconds"] for row in records if row["way"] == way) / 3600
        result.add_row("all", str(len(BOTTLENECKS) * SEEDS), way, "", "", f"{hours:.2f}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [network.name for network in NETWORKS]
    parser.add_argument("--networks", nargs="+", choices=names, default=names)
    parser.add_argument("--members", nargs="+", type=int, default=list(MEMBERS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument(
        "--steps", type=int, help="in a call (default: two seconds; 300 in a sweep)"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help="calls of each")
    parser.add_argument("--sweep", action="store_true", help="the bottleneck paper's, extrapolated")
    parser.add_argument("--out", type=as_path, help="JSON file to write")
    options = parser.parse_args()
    console, described = Console(), machine()
    console.width = max(console.width, 120)
    out = options.out or RESULTS.with_stem("sweep" if options.sweep else RESULTS.stem)
    # After every row: what is done is not lost with the rest.
    save = partial(measure.save, out, described)
    console.print((sweep if options.sweep else compare)(options, console, save))
    console.print(f"{described['cpu']} x {described['cpu_count']}, {described['device']}: {out}")


if __name__ == "__main__":
    main()
