"""Training in PyTorch: the networks of `benchmarks.training`, layer for layer.

A network is loaded with the parameters of ours, each array where PyTorch wants it, so that
losses can be compared. Its images stay on the device as bytes, as ours do, and every batch
is drawn there; nothing in the loop waits for the device. Modules and `optim.Adam` as the
manual has them, in the memory format, with the Adam and the compiler of the variant.
"""

import shutil
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_networks.compact import compact_vae
from benchmarks.peers.torch_networks.deep import deep_hvae
from benchmarks.peers.torch_networks.dense import dense_vae, wide_dense_vae
from benchmarks.peers.torch_networks.layers import fill
from benchmarks.peers.torch_networks.residual import residual_vae
from benchmarks.peers.torch_networks.transformer import transformer_vae
from benchmarks.peers.torch_networks.two_layer import two_layer_hvae
from benchmarks.peers.worker import Work, cores, serve, versions

CPU = not torch.cuda.is_available()
DEVICE = "cpu" if CPU else "cuda"
DEFAULT_THREADS = torch.get_num_threads()
# On a GPU the number of threads does not matter.
THREADS = sorted({DEFAULT_THREADS, cores()}) if CPU else [DEFAULT_THREADS]
BETA, LEARNING_RATE = 4.0, 1e-4
# Networks are built for the side of an image and a number of latents.
NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    builder.__name__: builder
    for builder in (
        *(compact_vae, wide_dense_vae, dense_vae, residual_vae, transformer_vae),
        *(two_layer_hvae, deep_hvae),
    )
}
# All networks of one class count as one function, of which few versions are compiled by default.
torch._dynamo.config.recompile_limit = 100


class Variant(NamedTuple):
    """One way to run the same step; `fused` is one kernel for all of Adam."""

    channels_last: bool
    fused: bool
    compiled: bool
    threads: int

    @property
    def name(self) -> str:
        """The name in the table."""
        words = ["channels last"] * self.channels_last + ["fused Adam"] * self.fused
        words += ["compiled"] * self.compiled
        # PyTorch takes fewer threads than there are cores on some machines.
        words += [f"{self.threads} threads"] * (len(THREADS) > 1)
        return ", ".join(words) or "plain"


class Run(NamedTuple):
    """A network that is being trained."""

    network: nn.Module
    adam: torch.optim.Adam
    variant: Variant
    batch_size: int
    latents: int


def loss_of(network: nn.Module, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    logits, rate = network(images, noise)
    nll = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return (nll + BETA * rate) / len(images)


def step(run: Run, batch: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """One step of Adam from bytes `[b, 1, h, w]`; the loss before it."""
    images = batch.to(torch.float32).div_(255)
    if run.variant.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    run.adam.zero_grad(set_to_none=True)
    loss = loss_of(run.network, images, noise)
    loss.backward()
    run.adam.step()
    return loss.detach()


def load(
    name: str,
    variant: Variant,
    images: torch.Tensor,
    noise: torch.Tensor,
    parameters: dict[str, torch.Tensor],
) -> list[float]:
    """Start anew from these parameters: losses of steps on the same batch, with noise `[s, b, k]`.

    What follows goes on from there.
    """
    torch.set_num_threads(variant.threads)
    _, batch_size, latents = noise.shape
    network = NETWORKS[name](images.shape[1], latents)
    fill(network, parameters)
    network.to(DEVICE)
    if variant.channels_last:
        network.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=variant.fused)
    if variant.compiled:
        network.compile(dynamic=False)
    run = RUNS[name, variant] = Run(network, adam, variant, batch_size, latents)
    return [float(step(run, batch_of(images, slice(batch_size)), of_step)) for of_step in noise]


def train(name: str, variant: Variant, images: torch.Tensor) -> float:
    """One epoch of whole batches in a random order; the mean loss."""
    torch.set_num_threads(variant.threads)
    run = RUNS[name, variant]
    batches = torch.randperm(len(images), device=DEVICE).split(run.batch_size)
    total = torch.zeros((), device=DEVICE)
    for indices in batches:
        noise = torch.randn(run.batch_size, run.latents, device=DEVICE)
        total += step(run, batch_of(images, indices), noise)
    return float(total) / len(batches)


def batch_of(images: torch.Tensor, indices: torch.Tensor | slice) -> torch.Tensor:
    return images[indices].permute(0, 3, 1, 2)


def variants(network: str) -> list[Variant]:
    """Every layout that the network has, either Adam, and compiled where there is a compiler."""
    layouts = (False,) if network in ("wide_dense_vae", "dense_vae", "transformer_vae") else BOTH
    ways = [(False, False), (True, False)] + [(True, True)] * bool(shutil.which("g++"))
    return [
        Variant(layout, *way, threads) for layout, way, threads in product(layouts, ways, THREADS)
    ]


def on_device(given: Any) -> Any:
    """An array, or several by name."""
    if isinstance(given, dict):
        return {name: on_device(array) for name, array in given.items()}
    return torch.from_numpy(np.array(given)).to(DEVICE)


BOTH = (False, True)
RUNS: dict[tuple[str, Variant], Run] = {}


if __name__ == "__main__":
    works: dict[str, Work] = {}
    for network in NETWORKS:
        for variant in variants(network):
            works[f"load {network}: {variant.name}"] = partial(load, network, variant)
            works[f"train {network}: {variant.name}"] = partial(train, network, variant)
    described = versions("torch", "numpy") | {
        "device": DEVICE,
        "threads": THREADS,
        "variants": {network: [each.name for each in variants(network)] for network in NETWORKS},
    }
    serve(works, described, on_device)
