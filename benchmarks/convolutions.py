"""Training steps with the matrix-product convolutions against flax's own.

    python -m benchmarks.convolutions [--batch N] [--out FILE]

One step is the forward pass of a convolutional autoencoder and the gradients of its
summed squared error with respect to the parameters, on the networks of two papers.
It is timed alone, inside `lax.scan`, and vmapped over an ensemble; times are per step
and per member. Both candidates start from the same parameters, and their results are
compared before anything is timed. Under three minutes on two quiet cores, most of it
in the peer's scan; eight with `--batch 256`, the batch of the bottleneck paper.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path
from jaxvae.models.layers import DownConvolution, UpConvolution

STEPS = 3
MEMBERS = 4
# Small enough that no step changes the numbers' scale, large enough that a loop cannot
# be replaced by its first step.
RATE = 1e-9
OURS, PEER = "jaxvae", "flax"
RESULTS = Path(__file__).parent / "results" / "convolutions.json"

Parameters = Any
Layer = Callable[..., nn.Module]


class Network(NamedTuple):
    """Channels of the encoder, mirrored by the decoder, and the images it sees."""

    name: str
    channels: tuple[int, ...]
    size: int


class Case(NamedTuple):
    """One way to run a step, and how many steps of one model it makes."""

    name: str
    steps: int
    repeats: int


NETWORKS = (
    Network("learning dynamics", (32, 32, 64, 64), size=64),
    Network("bottleneck", (64, 128, 256, 256), size=32),
)
# The peer's scan is minutes a call at batch 256: two show a ratio of ten well enough.
CASES = (
    Case("alone", steps=1, repeats=5),
    Case(f"scan over {STEPS} steps", steps=STEPS, repeats=2),
    Case(f"vmap over {MEMBERS} members", steps=MEMBERS, repeats=3),
)


class Autoencoder(nn.Module):
    """Strided convolutions down to the last channels, and the mirror image back up."""

    channels: tuple[int, ...]
    down: Layer
    up: Layer

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Reconstruct the images."""
        x = images
        for index, features in enumerate(self.channels):
            x = nn.relu(self.down(features, name=f"down{index}")(x))
        for index, features in enumerate(self.channels[-2::-1]):
            x = nn.relu(self.up(features, name=f"up{index}")(x))
        return self.up(images.shape[-1], name="output")(x)


def flax_down(features: int, name: str) -> nn.Module:
    return nn.Conv(features, (4, 4), (2, 2), padding=1, name=name)


def flax_up(features: int, name: str) -> nn.Module:
    return nn.ConvTranspose(features, (4, 4), (2, 2), padding="SAME", name=name)


def autoencoders(network: Network) -> dict[str, Autoencoder]:
    """The two candidates, whose parameters are interchangeable."""
    return {
        OURS: Autoencoder(network.channels, DownConvolution, UpConvolution),
        PEER: Autoencoder(network.channels, flax_down, flax_up),
    }


def squared_error(parameters: Parameters, model: Autoencoder, images: Array) -> Array:
    reconstruction: Any = model.apply(parameters, images)
    return jnp.sum((reconstruction - images) ** 2)


def training_step(model: Autoencoder, parameters: Parameters, images: Array) -> Parameters:
    gradients = jax.grad(squared_error)(parameters, model, images)
    return jax.tree.map(lambda value, slope: value - RATE * slope, parameters, gradients)


def runs(
    model: Autoencoder, parameters: Parameters, images: Array
) -> dict[str, Callable[[], Parameters]]:
    """The step in every case, as compiled functions of nothing, in the order of `CASES`."""

    def step(parameters: Parameters, images: Array) -> Parameters:
        return training_step(model, parameters, images)

    def scan(parameters: Parameters, images: Array) -> Parameters:
        return lax.scan(lambda p, _: (step(p, images), None), parameters, None, length=STEPS)[0]

    members = jax.tree.map(lambda value: jnp.stack([value] * MEMBERS), (parameters, images))
    alone, looped, mapped = jax.jit(step), jax.jit(scan), jax.jit(jax.vmap(step))
    calls = (
        lambda: alone(parameters, images),
        lambda: looped(parameters, images),
        lambda: mapped(*members),
    )
    return {case.name: call for case, call in zip(CASES, calls, strict=True)}


def check_agreement(network: Network, parameters: Parameters, images: Array) -> None:
    """Compare the gradients of both candidates on a few images."""
    gradients = jax.jit(jax.grad(squared_error), static_argnums=1)
    models = autoencoders(network).values()
    ours, theirs = (gradients(parameters, model, images[:2]) for model in models)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        # Loose enough for the TF32 and bfloat16 products of an accelerator.
        np.testing.assert_allclose(one, other, rtol=0, atol=0.03 * float(jnp.abs(other).max()))


def record(
    network: Network, case: Case, batch: int, times: dict[str, list[float]]
) -> dict[str, Any]:
    """Seconds of each call, and milliseconds per step of one model."""
    per_step = {name: 1e3 * statistics.median(t) / case.steps for name, t in times.items()}
    return {
        "network": network._asdict(),
        "case": case._asdict(),
        "batch": batch,
        "seconds_per_call": times,
        "milliseconds_per_step": per_step,
        "ratio": per_step[PEER] / per_step[OURS],
    }


def measured(network: Network, batch: int, console: Console) -> list[dict[str, Any]]:
    images = jax.random.uniform(jax.random.key(0), (batch, network.size, network.size, 1))
    models = autoencoders(network)
    parameters = models[OURS].init(jax.random.key(1), images[:1])
    check_agreement(network, parameters, images)
    candidates = {name: runs(model, parameters, images) for name, model in models.items()}
    records = []
    for case in CASES:
        console.print(f"{network.name}: {case.name} ...", end=" ")
        calls = {name: of_case[case.name] for name, of_case in candidates.items()}
        times = measure.interleaved_times(calls, case.repeats)
        records.append(record(network, case, batch, times))
        console.print(f"{records[-1]['ratio']:.1f} times faster")
    return records


def table(records: list[dict[str, Any]]) -> Table:
    result = Table(title="Milliseconds per training step and model (median)")
    for heading in ("network", "case", OURS, PEER, "ratio"):
        result.add_column(heading, justify="left" if heading in ("network", "case") else "right")
    for row in records:
        times = row["milliseconds_per_step"]
        cells = (f"{times[OURS]:.1f}", f"{times[PEER]:.1f}", f"{row['ratio']:.1f}")
        result.add_row(row["network"]["name"], row["case"]["name"], *cells)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=as_path, default=RESULTS, help="JSON file to write")
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    options = parser.parse_args()
    console, described = Console(), machine()
    records = [row for network in NETWORKS for row in measured(network, options.batch, console)]
    measure.save(options.out, described, records)
    console.print(table(records))
    console.print(
        f"{described['cpu']} x {described['cpu_count']}, {described['device']}: {options.out}"
    )


if __name__ == "__main__":
    main()
