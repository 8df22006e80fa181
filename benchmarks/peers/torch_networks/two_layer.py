"""The two-layer hierarchy of Xiao and Bamler (2023): `two_layer_hvae`, for sides of 32 pixels."""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_networks.layers import FromImage, ToImage, rate, rate_between, sample

CHANNELS, TOP = 32, 32
SMALL = (CHANNELS, 4, 4)
SIZE = CHANNELS * 4 * 4


def down(inputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, CHANNELS, 4, 2, 1)


def up(outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(CHANNELS, outputs, 4, 2, 1)


def log_variance_of(raw: torch.Tensor) -> torch.Tensor:
    return 2 * functional.softplus(raw).log()


class TwoLayerHvae(nn.Module):
    """z_2 from the images; z_1 from the images and z_2; the images from z_1."""

    def __init__(self) -> None:
        super().__init__()
        for index, inputs in enumerate((1, CHANNELS, CHANNELS)):
            self.add_module(f"top_features_{index}", down(inputs))
        self.top_mean, self.top_deviation = FromImage(SMALL, TOP), FromImage(SMALL, TOP)
        self.bottom_features_0, self.bottom_features_1 = down(1), down(CHANNELS)
        self.from_top, self.spread = ToImage(TOP, SMALL), up(CHANNELS)
        self.joined = down(2 * CHANNELS)
        self.bottom_mean = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.bottom_deviation = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.prior_hidden = nn.Linear(TOP, SIZE // 2)
        self.prior_mean = ToImage(SIZE // 2, SMALL)
        self.prior_deviation = ToImage(SIZE // 2, SMALL)
        for index, outputs in enumerate((CHANNELS, CHANNELS, 1)):
            self.add_module(f"decoder_{index}", up(outputs))

    def through(self, hidden: torch.Tensor, *names: str) -> torch.Tensor:
        """Layers of these names, with a ReLU after each."""
        for name in names:
            hidden = functional.relu(self.get_submodule(name)(hidden))
        return hidden

    def forward(
        self, images: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and rate."""
        hidden = self.through(images, "top_features_0", "top_features_1", "top_features_2")
        mean, log_variance = self.top_mean(hidden), log_variance_of(self.top_deviation(hidden))
        top, total = sample(mean, log_variance, noise[:, :TOP]), rate(mean, log_variance)

        seen = self.through(images, "bottom_features_0", "bottom_features_1")
        hidden = torch.cat([seen, self.through(top, "from_top", "spread")], 1)
        hidden = self.through(hidden, "joined")
        mean = self.bottom_mean(hidden)
        log_variance = log_variance_of(self.bottom_deviation(hidden))
        hidden = self.through(top, "prior_hidden")
        prior = self.prior_mean(hidden), log_variance_of(self.prior_deviation(hidden))
        total = total + rate_between(mean, log_variance, *prior)

        of_pixels = noise[:, TOP:].unflatten(1, (4, 4, CHANNELS)).permute(0, 3, 1, 2)
        bottom = sample(mean, log_variance, of_pixels)
        return self.decoder_2(self.through(bottom, "decoder_0", "decoder_1")), total


def two_layer_hvae(size: int, latents: int) -> TwoLayerHvae:
    del size, latents
    return TwoLayerHvae()
