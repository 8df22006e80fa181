"""The fully connected VAEs: `dense_vae` and `wide_dense_vae`."""

from collections import OrderedDict

from torch import nn

from benchmarks.peers.torch_networks.layers import FromImage, ToImage, Vae


def dense_vae(size: int, latents: int) -> Vae:
    encoder = OrderedDict(
        Dense_0=FromImage((1, size, size), 512),
        relu_0=nn.ReLU(),
        Dense_1=nn.Linear(512, 256),
        relu_1=nn.ReLU(),
    )
    decoder = OrderedDict(
        Dense_0=nn.Linear(latents, 256),
        relu_0=nn.ReLU(),
        Dense_1=nn.Linear(256, 512),
        relu_1=nn.ReLU(),
        Dense_2=ToImage(512, (1, size, size)),
    )
    heads = nn.Linear(256, latents), nn.Linear(256, latents)
    return Vae(nn.Sequential(encoder), *heads, nn.Sequential(decoder))


def wide_dense_vae(size: int, latents: int, width: int = 1200) -> Vae:
    encoder = OrderedDict(
        Dense_0=FromImage((1, size, size), width),
        relu_0=nn.ReLU(),
        Dense_1=nn.Linear(width, width),
        relu_1=nn.ReLU(),
    )
    decoder = OrderedDict(
        Dense_0=nn.Linear(latents, width),
        tanh_0=nn.Tanh(),
        Dense_1=nn.Linear(width, width),
        tanh_1=nn.Tanh(),
        Dense_2=nn.Linear(width, width),
        tanh_2=nn.Tanh(),
        Dense_3=ToImage(width, (1, size, size)),
    )
    heads = nn.Linear(width, latents), nn.Linear(width, latents)
    return Vae(nn.Sequential(encoder), *heads, nn.Sequential(decoder))
