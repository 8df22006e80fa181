"""What the networks share: layers of flattened images, a VAE, rates, and our parameters.

A network is a module `(images [b, c, h, w], noise [b, k]) -> (logits, rate)`, the rate in nats
summed over the batch. Its layers have the names of ours.
"""

import math

import torch
from torch import nn

# Channels, height and width.
Images = tuple[int, int, int]


class FromImage(nn.Linear):
    """A layer of all pixels of an image `[c, h, w]`."""

    def __init__(self, shape: Images, features: int) -> None:
        super().__init__(math.prod(shape), features)
        self.shape = shape

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Rows of features."""
        return super().forward(images.flatten(1))


class ToImage(nn.Linear):
    """A layer that gives all pixels of an image `[c, h, w]`."""

    def __init__(self, features: int, shape: Images) -> None:
        super().__init__(features, math.prod(shape))
        self.shape = shape

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Images."""
        return super().forward(rows).unflatten(1, self.shape)


class Together(nn.Linear):
    """Several of our layers, of the same input and as many features each, as one product."""

    def __init__(self, inputs: int, features: int, parts: tuple[str, ...]) -> None:
        super().__init__(inputs, features * len(parts))
        self.parts = parts


class Vae(nn.Module):
    """One bottleneck between an encoder and a decoder."""

    def __init__(
        self, encoder: nn.Module, mean: nn.Linear, log_variance: nn.Linear, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mean, self.log_variance = mean, log_variance

    def forward(
        self, images: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and rate."""
        features = self.encoder(images)
        mean, log_variance = self.mean(features), self.log_variance(features)
        return self.decoder(sample(mean, log_variance, noise)), rate(mean, log_variance)


def sample(mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return mean + torch.exp(log_variance / 2) * noise


def rate(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL divergence from N(0, 1), nats, the sum of all."""
    return torch.sum(mean**2 + torch.expm1(log_variance) - log_variance) / 2


def rate_between(
    mean: torch.Tensor,
    log_variance: torch.Tensor,
    prior_mean: torch.Tensor,
    prior_log_variance: torch.Tensor,
) -> torch.Tensor:
    """KL divergence from another Gaussian: the same in its units."""
    shift = (mean - prior_mean) * torch.exp(-prior_log_variance / 2)
    return rate(shift, log_variance - prior_log_variance)


def fill(network: nn.Module, arrays: dict[str, torch.Tensor]) -> None:
    """Give every layer our parameters, by their names.

    Raises:
        KeyError: for a name that the network has in addition.
        ValueError: for one that it lacks.
        RuntimeError: for another shape.
    """
    state, unused = {}, dict(arrays)
    for name, module in network.named_modules():
        for own, _ in module.named_parameters(recurse=False):
            ours = [ours_by(unused, module, own, f"{name}.{part}") for part in parts_of(module)]
            state[f"{name}.{own}".strip(".")] = torch.cat(ours)
    if unused:
        raise ValueError(f"expected a network with {sorted(unused)}")
    network.load_state_dict(state)


def parts_of(module: nn.Module) -> tuple[str, ...]:
    return module.parts if isinstance(module, Together) else ("",)


def ours_by(
    arrays: dict[str, torch.Tensor], module: nn.Module, own: str, name: str
) -> torch.Tensor:
    """Take our array for a layer's own parameter of this name, in PyTorch's order of axes."""
    ours = {"weight": "scale" if isinstance(module, nn.LayerNorm) else "kernel"}.get(own, own)
    array = arrays.pop("/".join(filter(None, [*name.split("."), ours])))
    match module, ours:
        case nn.Conv2d(), "kernel":
            array = array.permute(3, 2, 0, 1)
        case nn.ConvTranspose2d(), "kernel":
            array = array.flip(0, 1).permute(2, 3, 0, 1)
        case FromImage(), "kernel":
            array = channels_first(array, module.shape).T
        case ToImage(), "kernel" | "bias":
            array = channels_first(array.movedim(-1, 0), module.shape)
        case nn.Linear(), "kernel":
            array = array.reshape(module.in_features, -1).T
        case nn.Linear(), "bias":
            array = array.flatten()
        case _ if array.ndim == 3:
            # An image that is learned.
            array = array.permute(2, 0, 1)[None]
    return array


def channels_first(rows: torch.Tensor, shape: Images) -> torch.Tensor:
    """Rows for the pixels of an image `[h, w, c]` in the order of `[c, h, w]`."""
    channels, height, width = shape
    return rows.unflatten(0, (height, width, channels)).movedim(2, 0).flatten(0, 2)
