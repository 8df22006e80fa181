"""A training step against PyTorch's: the same network, loss, optimizer and parameters.

    python -m benchmarks.training [--quick] [--peers DIR] [--out FILE]

The convolutional VAE of Locatello et al. (2019) on 64 x 64 images and the fully connected
one of 1200 units, in batches of 64, and a small fully connected one on 28 x 28 images, in
batches of 128: beta-VAE loss, Adam. Ours is timed as users run it, in `train`, and as the
jitted step alone, called from Python. PyTorch is eager, in an environment of its own that
pip fills, with both memory formats of convolutions, both of its Adams, and its default and
the machine's number of threads; the fastest of these is the peer. All draw random batches
of bytes that are on the device already, and the noise too.

Before anything is timed, PyTorch is given our parameters, and the losses of ten steps on
the same batch and noise are compared: this holds the gradients and the optimizer to ours,
too. Where they differ, nothing is timed. Then all take turns, A B C A B C; times are medians
of epochs, in milliseconds per step. Expected on a CPU: the convolutional step at most 1.3
times PyTorch's, the others faster. Three minutes on two quiet cores; one with `--quick`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from operator import le
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.peers.environments import PEERS, PeerError, Worker, install
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.places import place
from jaxvae.data import load
from jaxvae.data.cache import cache_directory
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.training import Trainer, TrainState, train
from jaxvae.typing import Array

RESULTS = Path(__file__).parent / "results" / "training.json"
INSIDE, ALONE, PEER = "jaxvae, train", "jaxvae, step alone", "PyTorch"
# As benchmarks/peers/torch_training.py has them.
BETA, LEARNING_RATE, LATENTS = 4.0, 1e-4, 10
CHECKED_STEPS = 10
# Of the first loss, and of what all steps take off it. On an accelerator products may be
# rounded to TF32 or bfloat16.
TOLERANCES = {"cpu": (1e-6, 1e-3)}
ACCELERATOR_TOLERANCES = (1e-3, 1e-1)

Parameters = dict[str, Any]
Candidates = dict[str, Callable[[], Any]]


class Case(NamedTuple):
    """A network, the images it sees, and how much of it is timed.

    Attributes:
        network: its name in `jaxvae.models`.
        size: height and width of the images.
        batch: images a step.
        steps: in an epoch, which is timed as a whole.
        most: how many of the peer's steps ours may take.
        layers: in the order in which they are applied.
    """

    network: str
    size: int
    batch: int
    steps: int
    most: float
    layers: tuple[str, ...]


def numbered(layer: str, count: int) -> list[str]:
    return [f"{layer}_{index}" for index in range(count)]


def dense_layers(encoder: int, decoder: int) -> tuple[str, ...]:
    down, up = numbered("encoder/Dense", encoder), numbered("decoder/Dense", decoder)
    return (*down, "mean", "log_variance", *up)


COMPACT_LAYERS = (
    *numbered("encoder/DownConvolution", 4),
    "encoder/Dense_0",
    *("mean", "log_variance"),
    *numbered("decoder/Dense", 2),
    *numbered("decoder/UpConvolution", 4),
)
CASES = (
    Case("compact_vae", size=64, batch=64, steps=50, most=1.3, layers=COMPACT_LAYERS),
    Case("wide_dense_vae", size=64, batch=64, steps=50, most=1.0, layers=dense_layers(2, 4)),
    Case("dense_vae", size=28, batch=128, steps=500, most=1.0, layers=dense_layers(2, 3)),
)


def trainer_of(case: Case) -> Trainer:
    """As the command line builds it."""
    config = RunConfig(
        network=case.network,
        latents=LATENTS,
        objective="beta_vae",
        coefficients={"beta": BETA},
        learning_rate=LEARNING_RATE,
        batch_size=case.batch,
    )
    vae = build_model(config, (case.size, case.size, 1))
    return build_trainer(config, vae, dataset_size=case.steps * case.batch)


def sprites(case: Case) -> np.ndarray:
    """One epoch of images."""
    dataset = load("sprites", image_size=case.size, train_size=case.steps * case.batch, test_size=1)
    return np.asarray(dataset.train.images)


def losses(trainer: Trainer, state: TrainState, batch: Array) -> list[float]:
    """Of the first steps on one batch."""
    step, found = jax.jit(trainer.step), []
    for _ in range(CHECKED_STEPS):
        state, loss, _ = step(state, batch)
        found.append(float(loss))
    return found


def noise_of(state: TrainState, batch: int) -> np.ndarray:
    """What the first steps of `vae_trainer` draw, `[s, b, k]`."""
    keys = [jax.random.fold_in(state.key, step) for step in range(CHECKED_STEPS)]
    return np.stack([jax.random.normal(key, (LATENTS, batch)).T for key in keys])


def saved(
    folder: Path, case: Case, state: TrainState, images: np.ndarray
) -> tuple[list[Path], Path]:
    """The files of the check, images, noise and parameters; and the first of them."""
    folder.mkdir()
    arrays = [images, noise_of(state, case.batch)]
    for name in case.layers:
        layer: Parameters = state.variables.params
        for part in name.split("/"):
            layer = layer[part]
        arrays += [layer["kernel"], layer["bias"]]
    paths = [folder / f"{index:02}.npy" for index in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths, paths[0]


def disagreement(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Largest difference of first losses and of losses, relative to the first and to the fall."""
    off = np.abs(np.subtract(ours, theirs))
    return float(off[0] / ours[0]), float(off.max() / (ours[0] - ours[-1]))


def ours(case: Case, trainer: Trainer, state: TrainState, images: np.ndarray) -> Candidates:
    """An epoch of ours, in `train` and step by step."""
    on_device = jnp.asarray(images)
    batches = [on_device[start:][: case.batch] for start in range(0, len(images), case.batch)]
    step = jax.jit(trainer.step)

    def alone() -> Any:
        after = state
        for batch in batches:
            after, loss, _ = step(after, batch)
        return after.variables.params, loss

    def inside() -> Any:
        return train(trainer, state, on_device, epochs=1, batch_size=case.batch).variables

    return {INSIDE: inside, ALONE: alone}


def measured(
    case: Case, worker: Worker, folder: Path, repeats: int, console: Console
) -> dict[str, Any]:
    """The agreement with the peer, and the times of everyone in turns.

    Raises:
        PeerError: where a loss differs from ours.
    """
    images, trainer = sprites(case), trainer_of(case)
    state = trainer.init(jax.random.key(0))
    files, only_images = saved(folder / case.network, case, state, images)
    expected = losses(trainer, state, jnp.asarray(images[: case.batch]))
    tolerances = TOLERANCES.get(jax.default_backend(), ACCELERATOR_TOLERANCES)
    differences, candidates = {}, ours(case, trainer, state, images)
    for variant in worker.described["variants"][case.network]:
        answer = worker.call(f"load {case.network}: {variant}", files)
        differences[variant] = disagreement(expected, answer.value)
        if not all(map(le, differences[variant], tolerances)):
            raise PeerError(f"{case.network}, {variant}: losses {answer.value}, ours {expected}")
        call = partial(worker.call, f"train {case.network}: {variant}", [only_images])
        candidates[f"{PEER}, {variant}"] = call
    console.print(f"{case.network}: losses agree", end="; ")
    times = measure.interleaved_times(candidates, repeats)
    return record(case, times, expected, differences)


def record(
    case: Case,
    times: dict[str, list[float]],
    losses: list[float],
    differences: dict[str, tuple[float, float]],
) -> dict[str, Any]:
    """Milliseconds per step, ours relative to the fastest of the peer's, and the target."""
    per_step = {name: 1e3 * statistics.median(t) / case.steps for name, t in times.items()}
    fastest = min((name for name in per_step if name.startswith(PEER)), key=per_step.__getitem__)
    ratio = per_step[INSIDE] / per_step[fastest]
    return case._asdict() | {
        "latents": LATENTS,
        "losses": losses,
        "loss_differences": differences,
        "seconds_per_epoch": times,
        "milliseconds_per_step": per_step,
        "fastest_peer": fastest,
        "ratio": {INSIDE: ratio, ALONE: per_step[ALONE] / per_step[fastest]},
        "target": {"at_most": case.most, "got": ratio, "met": ratio <= case.most},
    }


def table(records: list[dict[str, Any]]) -> Table:
    result = Table(title="Milliseconds per training step (median)")
    for heading in ("network", "images", "batch", "who", "ms", "of PyTorch's", "target", "met"):
        result.add_column(heading, justify="left" if heading in ("network", "who") else "right")
    for row in records:
        size, times = row["size"], row["milliseconds_per_step"]
        about = [row["network"], f"{size} x {size}", str(row["batch"])]
        for name, time in times.items():
            share = f"{time / times[row['fastest_peer']]:.2f}"
            end = name == list(times)[-1]
            result.add_row(*about, name, f"{time:.2f}", share, *verdict(name, row), end_section=end)
            about = [""] * 3
    return result


def verdict(name: str, row: dict[str, Any]) -> tuple[str, str]:
    if name != INSIDE:
        return "", ""
    return f"at most {row['target']['at_most']:g}", "yes" if row["target"]["met"] else "NO"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps, to try the script")
    parser.add_argument(
        "--peers", type=place, default=cache_directory() / "peers", help="PyTorch's environment"
    )
    parser.add_argument("--repeats", type=int, default=5, help="epochs timed of every candidate")
    parser.add_argument("--out", type=place, help="JSON file to write")
    options = parser.parse_args()
    console, described = Console(), machine()
    console.width = max(console.width, 110)
    out = options.out or RESULTS.with_stem("training-quick" if options.quick else RESULTS.stem)
    peer = next(each for each in PEERS if each.name == PEER)
    try:
        python = install(peer, options.peers.absolute())
        worker, records = Worker(peer._replace(module="torch_training"), python), []
        console.print(f"{PEER}: {worker.described}", highlight=False)
        with tempfile.TemporaryDirectory() as folder:
            for case in CASES:
                few = case._replace(steps=case.steps // 5)
                sized, repeats = (few, 2) if options.quick else (case, options.repeats)
                records.append(measured(sized, worker, Path(folder), repeats, console))
                console.print(f"{records[-1]['ratio'][INSIDE]:.2f} of {PEER}'s time")
                measure.save(out, described | {"peers": {PEER: worker.described}}, records)
        worker.close()
    except PeerError as error:
        parser.exit(1, f"{PEER}: {error}\n")
    console.print(table(records))
    console.print(f"{described['cpu']} x {described['cpu_count']}, {described['device']}: {out}")


if __name__ == "__main__":
    main()
