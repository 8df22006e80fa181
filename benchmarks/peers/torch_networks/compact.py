"""The convolutional VAE of Higgins et al. (2017): `compact_vae`."""

from collections import OrderedDict

from torch import nn

from benchmarks.peers.torch_networks.layers import FromImage, ToImage, Vae


def compact_vae(size: int, latents: int) -> Vae:
    small = (64, size // 16, size // 16)
    encoder = OrderedDict(
        DownConvolution_0=nn.Conv2d(1, 32, 4, 2, 1),
        relu_0=nn.ReLU(),
        DownConvolution_1=nn.Conv2d(32, 32, 4, 2, 1),
        relu_1=nn.ReLU(),
        DownConvolution_2=nn.Conv2d(32, 64, 2, 2),
        relu_2=nn.ReLU(),
        DownConvolution_3=nn.Conv2d(64, 64, 2, 2),
        relu_3=nn.ReLU(),
        Dense_0=FromImage(small, 256),
        relu_4=nn.ReLU(),
    )
    decoder = OrderedDict(
        Dense_0=nn.Linear(latents, 256),
        relu_0=nn.ReLU(),
        Dense_1=ToImage(256, small),
        relu_1=nn.ReLU(),
        UpConvolution_0=nn.ConvTranspose2d(64, 64, 4, 2, 1),
        relu_2=nn.ReLU(),
        UpConvolution_1=nn.ConvTranspose2d(64, 32, 4, 2, 1),
        relu_3=nn.ReLU(),
        UpConvolution_2=nn.ConvTranspose2d(32, 32, 4, 2, 1),
        relu_4=nn.ReLU(),
        UpConvolution_3=nn.ConvTranspose2d(32, 1, 4, 2, 1),
    )
    heads = nn.Linear(256, latents), nn.Linear(256, latents)
    return Vae(nn.Sequential(encoder), *heads, nn.Sequential(decoder))
