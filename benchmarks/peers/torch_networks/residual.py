"""The residual convolutional VAE: `residual_vae`."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_networks.layers import FromImage, ToImage, Vae

WIDTHS = (32, 32, 64, 64)


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.SameConvolution_0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.SameConvolution_1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        branch = functional.relu(self.SameConvolution_0(hidden))
        return functional.relu(hidden + self.SameConvolution_1(branch))


def residual_vae(size: int, latents: int) -> Vae:
    small = (WIDTHS[-1], size // 16, size // 16)
    down, up = (1, *WIDTHS), (*WIDTHS[::-1], 1)
    encoder: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(4):
        encoder[f"DownConvolution_{index}"] = nn.Conv2d(*down[index : index + 2], 4, 2, 1)
        encoder[f"relu_{index}"] = nn.ReLU()
        encoder[f"ResidualBlock_{index}"] = ResidualBlock(down[index + 1])
    decoder = OrderedDict(Dense_0=ToImage(latents, small), relu=nn.ReLU())
    for index in range(4):
        decoder[f"ResidualBlock_{index}"] = ResidualBlock(up[index])
        decoder[f"UpConvolution_{index}"] = nn.ConvTranspose2d(*up[index : index + 2], 4, 2, 1)
        decoder[f"relu_{index}"] = nn.ReLU() if index < 3 else nn.Identity()
    heads = FromImage(small, latents), FromImage(small, latents)
    return Vae(nn.Sequential(encoder), *heads, nn.Sequential(decoder))
