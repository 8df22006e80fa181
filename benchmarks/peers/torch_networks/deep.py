"""The top-down residual hierarchy after Child (2021): `deep_hvae`."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_networks.layers import rate_between, sample

CHANNELS, INNER, LATENT_CHANNELS, BLOCKS = 64, 16, 8, 3
LOG_VARIANCE_BOUND = 7.0


class Branches(nn.Module):
    """For every layer of these sides convolutions 1, k, k and 1, each after a GELU."""

    def __init__(self, sides: list[int], inputs: int, features: int) -> None:
        super().__init__()
        self.sizes = [3 if side > 2 else 1 for side in sides]
        self.enter = nn.ModuleList(nn.Conv2d(inputs, INNER, 1) for _ in sides)
        for size in (1, 3):
            convolutions = [
                nn.Conv2d(INNER, INNER, size, padding=size // 2)
                for _ in range(2 * self.sizes.count(size))
            ]
            self.add_module(f"middle_{size}", nn.ModuleList(convolutions))
        self.leave = nn.ModuleList(nn.Conv2d(INNER, features, 1) for _ in sides)

    def forward(self, index: int, hidden: torch.Tensor) -> torch.Tensor:
        """What the branch of this index gives."""
        size = self.sizes[index]
        first = 2 * self.sizes[:index].count(size)
        middle = self.get_submodule(f"middle_{size}")
        for layer in (self.enter[index], *middle[first : first + 2], self.leave[index]):
            hidden = layer(functional.gelu(hidden, approximate="tanh"))
        return hidden


class DeepHvae(nn.Module):
    """Streams down to the top and up to the pixels, to which branches add."""

    def __init__(self, size: int) -> None:
        super().__init__()
        resolutions = [1] + [side for side in (4, 8, 16, 32, 64) if side <= size]
        c, k = CHANNELS, LATENT_CHANNELS
        self.sides = [side for side in resolutions for _ in range(BLOCKS)]
        self.entry = nn.Conv2d(1, c, 3, padding=1)
        self.encoder = Branches(self.sides[::-1], c, c)
        self.posteriors = Branches(self.sides, 2 * c, 2 * k)
        self.priors = Branches(self.sides, c, 2 * k + c)
        self.sample = nn.ModuleList(nn.Conv2d(k, c, 1) for _ in self.sides)
        self.decoder = Branches(self.sides, c, c)
        for side in resolutions:
            constant = nn.Parameter(torch.empty(1, c, side, side))
            self.register_parameter(f"constant_{side}", constant)
        self.leave = nn.Conv2d(c, 1, 1)

    def forward(
        self, images: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and rate."""
        features = self.encoded(images)
        hidden = self.constant_1.expand(len(images), -1, -1, -1)
        total, start = torch.zeros((), device=images.device), 0
        for index, (side, below) in enumerate(pairwise([*self.sides, self.sides[-1]])):
            k, stop = LATENT_CHANNELS, start + LATENT_CHANNELS * side**2
            prior_mean, prior_raw, residual = self.priors(index, hidden).split(
                [k, k, CHANNELS], dim=1
            )
            seen = torch.cat([hidden, features[side]], dim=1)
            mean, raw = self.posteriors(index, seen).split(k, dim=1)
            log_variance = bounded(raw)
            total = total + rate_between(mean, log_variance, prior_mean, bounded(prior_raw))
            part = noise[:, start:stop].unflatten(1, (side, side, k)).permute(0, 3, 1, 2)
            latents = self.sample[index](sample(mean, log_variance, part))
            hidden = hidden + residual + latents
            hidden = hidden + self.decoder(index, hidden)
            if below > side:
                hidden = functional.interpolate(hidden, scale_factor=below // side)
                hidden = hidden + self.get_parameter(f"constant_{below}")
            start = stop
        return self.leave(hidden), total

    def encoded(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """The stream after all blocks of a resolution, by its side."""
        hidden, features = self.entry(images), {}
        for index, side in enumerate(reversed(self.sides)):
            if hidden.shape[-1] > side:
                hidden = functional.avg_pool2d(hidden, hidden.shape[-1] // side)
            hidden = features[side] = hidden + self.encoder(index, hidden)
        return features


def bounded(raw: torch.Tensor) -> torch.Tensor:
    return LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)


def deep_hvae(size: int, latents: int) -> DeepHvae:
    del latents
    return DeepHvae(size)
