"""Training in PyTorch, eager: the VAEs of `benchmarks.training`, layer for layer.

A model is loaded with the parameters of ours, each array where PyTorch wants it, so that
losses can be compared. Its images stay on the device as bytes, as ours do, and every batch
is drawn there; nothing in the loop waits for the device. `nn.Sequential` and `optim.Adam`
as the manual has them, in the memory format and with the Adam of the variant.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.worker import Work, serve, versions

CPU = not torch.cuda.is_available()
DEVICE = "cpu" if CPU else "cuda"
DEFAULT_THREADS = torch.get_num_threads()
# On a GPU they do not matter.
THREADS = sorted({DEFAULT_THREADS, os.cpu_count() or 1}) if CPU else [DEFAULT_THREADS]
BETA, LEARNING_RATE = 4.0, 1e-4

Vae = nn.ModuleDict


class Variant(NamedTuple):
    """One way to run the same step; `fused` is one kernel for all of Adam."""

    channels_last: bool
    fused: bool
    threads: int

    @property
    def name(self) -> str:
        """What the table says."""
        words = ["channels last"] * self.channels_last + ["fused Adam"] * self.fused
        # PyTorch takes fewer threads than there are cores on some machines.
        words += [f"{self.threads} threads"] * (len(THREADS) > 1)
        return ", ".join(words) or "plain"


class Run(NamedTuple):
    """A model that is being trained."""

    vae: Vae
    adam: torch.optim.Adam
    variant: Variant
    batch_size: int


def vae_of(encoder: nn.Sequential, decoder: nn.Sequential, features: int, latents: int) -> Vae:
    mean, log_variance = nn.Linear(features, latents), nn.Linear(features, latents)
    return nn.ModuleDict(
        {"encoder": encoder, "mean": mean, "log_variance": log_variance, "decoder": decoder}
    )


def compact(size: int, latents: int) -> Vae:
    small, relu = size // 16, nn.ReLU
    encoder = nn.Sequential(
        *(nn.Conv2d(1, 32, 4, 2, 1), relu(), nn.Conv2d(32, 32, 4, 2, 1), relu()),
        *(nn.Conv2d(32, 64, 2, 2), relu(), nn.Conv2d(64, 64, 2, 2), relu()),
        *(nn.Flatten(), nn.Linear(64 * small**2, 256), relu()),
    )
    decoder = nn.Sequential(
        *(nn.Linear(latents, 256), relu(), nn.Linear(256, 64 * small**2), relu()),
        nn.Unflatten(1, (64, small, small)),
        *(nn.ConvTranspose2d(64, 64, 4, 2, 1), relu(), nn.ConvTranspose2d(64, 32, 4, 2, 1), relu()),
        *(nn.ConvTranspose2d(32, 32, 4, 2, 1), relu(), nn.ConvTranspose2d(32, 1, 4, 2, 1)),
    )
    return vae_of(encoder, decoder, 256, latents)


def dense(
    size: int, latents: int, *, down: tuple[int, ...], up: tuple[int, ...], act: type[nn.Module]
) -> Vae:
    def layers(widths: tuple[int, ...], activation: type[nn.Module]) -> Iterator[nn.Module]:
        for inputs, outputs in pairwise(widths):
            yield from (nn.Linear(inputs, outputs), activation())

    encoder = nn.Sequential(nn.Flatten(), *layers((size**2, *down), nn.ReLU))
    decoder = nn.Sequential(
        *layers((latents, *up), act),
        *(nn.Linear(up[-1], size**2), nn.Unflatten(1, (1, size, size))),
    )
    return vae_of(encoder, decoder, down[-1], latents)


NETWORKS: dict[str, Callable[[int, int], Vae]] = {
    "compact_vae": compact,
    "wide_dense_vae": partial(dense, down=(1200,) * 2, up=(1200,) * 3, act=nn.Tanh),
    "dense_vae": partial(dense, down=(512, 256), up=(256, 512), act=nn.ReLU),
}


def loss_of(vae: Vae, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    features = vae["encoder"](images)
    mean, log_variance = vae["mean"](features), vae["log_variance"](features)
    logits = vae["decoder"](mean + torch.exp(log_variance / 2) * noise)
    nll = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    kl = -0.5 * torch.sum(1 + log_variance - mean**2 - torch.exp(log_variance))
    return (nll + BETA * kl) / len(images)


def step(run: Run, batch: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """One step of Adam from bytes `[b, 1, h, w]`; the loss before it."""
    images = batch.to(torch.float32).div_(255)
    if run.variant.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    run.adam.zero_grad(set_to_none=True)
    loss = loss_of(run.vae, images, noise)
    loss.backward()
    run.adam.step()
    return loss.detach()


def fill(vae: Vae, arrays: Iterator[torch.Tensor]) -> None:
    """The kernel and bias of every layer, in the order in which they are applied."""
    layers = [
        module
        for module in vae.modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    shape = next(m.unflattened_size for m in vae.modules() if isinstance(m, nn.Unflatten))
    for layer in layers:
        kernel, bias = next(arrays), next(arrays)
        if layer is linear[0]:
            kernel = channels_first(kernel, shape)
        if layer is linear[-1]:
            kernel, bias = channels_first(kernel.T, shape).T, channels_first(bias, shape)
        layer.weight.data.copy_(weight(layer, kernel))
        layer.bias.data.copy_(bias)


def channels_first(rows: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Rows for the pixels of an image `[h, w, c]` in the order of `[c, h, w]`."""
    channels, height, width = shape
    return rows.unflatten(0, (height, width, channels)).movedim(2, 0).flatten(0, 2)


def weight(module: nn.Module, kernel: torch.Tensor) -> torch.Tensor:
    """A kernel `[in, out]` or `[k, k, in, out]` of ours in PyTorch's order."""
    match module:
        case nn.Conv2d():
            return kernel.permute(3, 2, 0, 1)
        case nn.ConvTranspose2d():
            return kernel.flip(0, 1).permute(2, 3, 0, 1)
    return kernel.T


def load(
    network: str,
    variant: Variant,
    images: torch.Tensor,
    noise: torch.Tensor,
    *parameters: torch.Tensor,
) -> list[float]:
    """Start anew from these parameters: losses of steps on the same batch, with noise `[s, b, k]`.

    What follows goes on from there.
    """
    torch.set_num_threads(variant.threads)
    vae = NETWORKS[network](images.shape[1], noise.shape[2])
    fill(vae, iter(parameters))
    vae.to(DEVICE)
    if variant.channels_last:
        vae.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(vae.parameters(), lr=LEARNING_RATE, fused=variant.fused)
    run = RUNS[network, variant] = Run(vae, adam, variant, noise.shape[1])
    return [float(step(run, batch_of(images, slice(noise.shape[1])), of_step)) for of_step in noise]


def train(network: str, variant: Variant, images: torch.Tensor) -> float:
    """One epoch of whole batches in a random order; the mean loss."""
    torch.set_num_threads(variant.threads)
    run = RUNS[network, variant]
    latents = run.vae["mean"].out_features
    batches = torch.randperm(len(images), device=DEVICE).split(run.batch_size)
    total = torch.zeros((), device=DEVICE)
    for indices in batches:
        noise = torch.randn(run.batch_size, latents, device=DEVICE)
        total += step(run, batch_of(images, indices), noise)
    return float(total) / len(batches)


def batch_of(images: torch.Tensor, indices: torch.Tensor | slice) -> torch.Tensor:
    return images[indices].permute(0, 3, 1, 2)


def variants(network: str) -> list[Variant]:
    """Every layout that the network has, with either Adam, on every number of threads."""
    layouts = (False, True) if network == "compact_vae" else (False,)
    return [Variant(*choice) for choice in product(layouts, (False, True), THREADS)]


def on_device(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(DEVICE)


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
