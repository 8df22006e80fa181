"""A training step against PyTorch's: the same network, loss, optimizer and parameters.

    python -m benchmarks.training [--quick] [--only NETWORK ...] [--peers DIR] [--out FILE]

In batches of 64 images of 64 x 64 pixels the convolutional VAE of Locatello et al. (2019), the
fully connected one of 1200 units, the residual and the transformer VAE; in batches of 128 a
small fully connected VAE on 28 x 28 pixels and the two-layer hierarchy on 32 x 32; in batches
of 32 the deep hierarchy, 15 layers on 32 x 32: the loss of a beta-VAE, Adam. Ours is timed as
users run it, in `train`, and as the jitted step alone, called from Python. PyTorch is in an
environment of its own that pip fills, with both memory formats of convolutions, both of its
Adams, its default and the machine's number of threads, eager and, where there is a C++ compiler,
compiled by `torch.compile`; the fastest of these is the peer. All draw random batches of bytes
that are on the device already, and the noise too.

Before anything is timed, PyTorch is given our parameters, and the losses of ten steps on
the same batch and noise are compared: this holds the gradients and the optimizer to ours,
too. Where they differ, nothing is timed. Then all take turns, A B C A B C; times are medians
of epochs, in milliseconds per step; and beside them the seconds of all cores together, which
another program on the machine disturbs less. (Threads of PyTorch spin while they wait for one
another: where other programs hold the cores, its own are more than its work takes. Run it with
`taskset -c 0` then: all have one thread, and the file of results says that they had one core.)
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from operator import le
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.peers.environments import PEERS, Answer, PeerError, Worker, install
from benchmarks.peers.worker import cores
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path
from jaxvae.data import load
from jaxvae.data.cache import cache_directory
from jaxvae.models import HVAE, VAE
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from jaxvae.training import Trainer, TrainState, train

RESULTS = Path(__file__).parent / "results" / "training.json"
INSIDE, ALONE, PEER = "jaxvae, train", "jaxvae, step alone", "PyTorch"
# `benchmarks/peers/torch_training.py` has the same.
BETA, LEARNING_RATE = 4.0, 1e-4
CHECKED_STEPS = 10
# First losses may differ by the first share of themselves, and all losses by the second of their
# range. On an accelerator products may be rounded to TF32 or bfloat16. (In the two-layer hierarchy
# a first layer that is not trained is off by 8e-4 of the range.)
TOLERANCES = {"cpu": (1e-6, 1e-4)}
ACCELERATOR_TOLERANCES = (1e-3, 1e-1)

# Every candidate has the seconds of each of its epochs.
Times = dict[str, list[float]]
Candidates = dict[str, Callable[[], Any]]


class Case(NamedTuple):
    """A network, the images it sees, and how much of it is timed.

    Attributes:
        network: its name in `jaxvae.models`.
        size: height and width of the images.
        batch: images a step.
        steps: in an epoch, which is timed as a whole.
        most: how many of the peer's steps ours may take.
        objective: its name in `jaxvae.objectives`.
    """

    network: str
    size: int
    batch: int
    steps: int
    most: float
    objective: str = "beta_vae"


CASES = (
    Case("compact_vae", size=64, batch=64, steps=50, most=1.0),
    Case("wide_dense_vae", size=64, batch=64, steps=50, most=1.1),
    Case("dense_vae", size=28, batch=128, steps=500, most=1.1),
    Case("residual_vae", size=64, batch=64, steps=20, most=1.0),
    Case("transformer_vae", size=64, batch=64, steps=20, most=1.1),
    Case("two_layer_hvae", size=32, batch=128, steps=50, most=1.0, objective="hierarchical_vae"),
    Case("deep_hvae", size=32, batch=32, steps=10, most=1.0, objective="hierarchical_vae"),
)


def model_and_trainer(case: Case) -> tuple[VAE | HVAE, Trainer]:
    """The model and the trainer of a network, as the command line builds them."""
    config = RunConfig(
        network=case.network,
        objective=case.objective,
        coefficients={"beta": BETA},
        learning_rate=LEARNING_RATE,
        batch_size=case.batch,
    )
    vae = build_model(config, (case.size, case.size, 1))
    return vae, build_trainer(config, vae, dataset_size=case.steps * case.batch)


def sprites(case: Case) -> np.ndarray:
    """The images of one epoch of sprites."""
    dataset = load("sprites", image_size=case.size, train_size=case.steps * case.batch, test_size=1)
    return np.asarray(dataset.train.images)


def losses(trainer: Trainer, state: TrainState, batch: Array) -> list[float]:
    """The losses of the first steps on one batch."""
    step, values = jax.jit(trainer.step), []
    for _ in range(CHECKED_STEPS):
        state, loss, _ = step(state, batch)
        values.append(float(loss))
    return values


def noise_of(state: TrainState, batch: int, latents: int) -> np.ndarray:
    """The noise that the first steps of `vae_trainer` draw, `[s, b, k]`."""
    keys = [jax.random.fold_in(state.key, step) for step in range(CHECKED_STEPS)]
    return np.stack([jax.random.normal(key, (latents, batch)).T for key in keys])


def by_layer(params: Any) -> dict[str, np.ndarray]:
    """Every parameter by its path; what several layers keep in one array, layer by layer."""
    layers = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/").removeprefix("network/")
        stack, _, kind = name.rpartition("_")
        parts = enumerate(np.asarray(leaf)) if kind in ("kernel", "bias") else ()
        layers |= {f"{stack}/{index}/{kind}": part for index, part in parts} or {name: leaf}
    return layers


def saved(
    folder: Path, images: np.ndarray, noise: np.ndarray, parameters: dict[str, np.ndarray]
) -> list[Path]:
    """A file for each."""
    folder.mkdir()
    paths = [folder / name for name in ("images.npy", "noise.npy", "parameters.npz")]
    for path, array in zip(paths, (images, noise), strict=False):
        np.save(path, array)
    np.savez(paths[-1], **parameters)
    return paths


def disagreement(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Largest difference of first losses and of losses, relative to the first and to their range.

    Noise may move the losses of a hierarchy more than ten steps lower them.
    """
    off = np.abs(np.subtract(ours, theirs))
    return float(off[0] / ours[0]), float(off.max() / np.ptp(ours))


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
    images, (vae, trainer) = sprites(case), model_and_trainer(case)
    state = trainer.init(jax.random.key(0))
    noise, parameters = noise_of(state, case.batch, vae.latents), by_layer(state.variables.params)
    files = saved(folder / case.network, images, noise, parameters)
    expected = losses(trainer, state, jnp.asarray(images[: case.batch]))
    tolerances = TOLERANCES.get(jax.default_backend(), ACCELERATOR_TOLERANCES)
    differences, candidates = {}, ours(case, trainer, state, images)
    for variant in worker.described["variants"][case.network]:
        answer = worker.call(f"load {case.network}: {variant}", files)
        differences[variant] = disagreement(expected, answer.value)
        if not all(map(le, differences[variant], tolerances)):
            raise PeerError(f"{case.network}, {variant}: losses {answer.value}, ours {expected}")
        call = partial(worker.call, f"train {case.network}: {variant}", files[:1])
        candidates[f"{PEER}, {variant}"] = call
    console.print(f"{case.network}: losses agree", end="; ")
    agreement = {"losses": expected, "loss_differences": differences}
    return record(case, *in_turns(candidates, repeats)) | agreement


def in_turns(candidates: Candidates, repeats: int) -> tuple[Times, Times]:
    """Seconds of every epoch, by the clock and of all cores together."""
    of_cores: Times = {name: [] for name in candidates}

    def counted(name: str) -> None:
        start = time.process_time()
        result = jax.block_until_ready(candidates[name]())
        # The peer counts its own.
        own = time.process_time() - start
        of_cores[name].append(result.cpu_seconds if isinstance(result, Answer) else own)

    calls = {name: partial(counted, name) for name in candidates}
    times = measure.interleaved_times(calls, repeats)
    # The first one is a warm-up there.
    return times, {name: each[1:] for name, each in of_cores.items()}


def record(case: Case, times: Times, of_cores: Times) -> dict[str, Any]:
    """Milliseconds per step, relative to the fastest of the peer's, and the target."""
    per_step, cores = (
        {name: 1e3 * statistics.median(t) / case.steps for name, t in each.items()}
        for each in (times, of_cores)
    )
    fastest = min((name for name in per_step if name.startswith(PEER)), key=per_step.__getitem__)
    ratios, core_ratios = (
        {name: time / each[fastest] for name, time in each.items()} for each in (per_step, cores)
    )
    got = ratios[INSIDE]
    return case._asdict() | {
        "seconds_per_epoch": times,
        "cpu_seconds_per_epoch": of_cores,
        "milliseconds_per_step": per_step,
        "cpu_milliseconds_per_step": cores,
        "fastest_peer": fastest,
        "ratio": ratios,
        "cpu_ratio": core_ratios,
        "target": {"at_most": case.most, "got": got, "met": got <= case.most},
    }


def table(records: list[dict[str, Any]]) -> Table:
    result = Table(title="Milliseconds per training step (median)")
    numbers = "ms", "of PyTorch's", "CPU time", "target", "met"
    for heading in ("network", "images", "batch", "who", *numbers):
        result.add_column(heading, justify="left" if heading in ("network", "who") else "right")
    for row in records:
        size, times = row["size"], row["milliseconds_per_step"]
        about = [row["network"], f"{size} x {size}", str(row["batch"])]
        for name, milliseconds in times.items():
            shares = [f"{row[kind][name]:.2f}" for kind in ("ratio", "cpu_ratio")]
            cells = *about, name, f"{milliseconds:.2f}", *shares, *verdict(name, row)
            result.add_row(*cells, end_section=name == list(times)[-1])
            about = [""] * 3
    return result


def verdict(name: str, row: dict[str, Any]) -> tuple[str, str]:
    if name != INSIDE:
        return "", ""
    return f"at most {row['target']['at_most']:g}", "yes" if row["target"]["met"] else "NO"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps, to try the script")
    networks = [case.network for case in CASES]
    parser.add_argument("--only", nargs="+", choices=networks, default=networks)
    parser.add_argument(
        "--peers", type=as_path, default=cache_directory() / "peers", help="PyTorch's environment"
    )
    parser.add_argument("--repeats", type=int, default=5, help="epochs timed of every candidate")
    parser.add_argument("--out", type=as_path, help="JSON file to write")
    options = parser.parse_args()
    console, described = Console(), machine() | {"cores": cores()}
    console.width = max(console.width, 110)
    whole = options.only == networks and not options.quick
    out = options.out or (RESULTS if whole else RESULTS.with_stem("training-part"))
    peer = next(each for each in PEERS if each.name == PEER)
    try:
        python = install(peer, options.peers.absolute())
        worker, records = Worker(peer._replace(module="torch_training"), python), []
        console.print(f"{PEER}: {worker.described}", highlight=False)
        with tempfile.TemporaryDirectory() as folder:
            for case in (each for each in CASES if each.network in options.only):
                few = case._replace(steps=case.steps // 5)
                sized, repeats = (few, 2) if options.quick else (case, options.repeats)
                records.append(measured(sized, worker, Path(folder), repeats, console))
                console.print(f"{records[-1]['ratio'][INSIDE]:.2f} of {PEER}'s time")
                measure.save(out, described | {"peers": {PEER: worker.described}}, records)
        worker.close()
    except PeerError as error:
        parser.exit(1, f"{PEER}: {error}\n")
    console.print(table(records))
    console.print(f"{described['cpu']} x {described['cores']}, {described['device']}: {out}")


if __name__ == "__main__":
    main()
