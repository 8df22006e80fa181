"""The small vision transformer and its mirror: `transformer_vae`."""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.torch_networks.layers import Together, Vae

PATCH, WIDTH, DEPTH, HEADS = 8, 128, 4, 4


class Attention(Together):
    """Self-attention, with one product for queries, keys and values."""

    def __init__(self) -> None:
        super().__init__(WIDTH, WIDTH, ("query", "key", "value"))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        together = super().forward(tokens).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        query, key, value = together.transpose(1, 3).unbind(2)
        seen = functional.scaled_dot_product_attention(query, key, value)
        return self.out(seen.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and two dense layers, each after a normalization and beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.LayerNorm_0 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.MultiHeadDotProductAttention_0 = Attention()
        self.LayerNorm_1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.Dense_0, self.Dense_1 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        tokens = tokens + self.MultiHeadDotProductAttention_0(self.LayerNorm_0(tokens))
        hidden = self.Dense_0(self.LayerNorm_1(tokens))
        return tokens + self.Dense_1(functional.gelu(hidden, approximate="tanh"))


class Blocks(nn.Module):
    """Learned positions, the blocks, and a normalization."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(count, WIDTH))
        for index in range(DEPTH):
            self.add_module(f"TransformerBlock_{index}", TransformerBlock())
        self.LayerNorm_0 = nn.LayerNorm(WIDTH, eps=1e-6)

    def transformed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        tokens = tokens + self.positions
        for index in range(DEPTH):
            tokens = getattr(self, f"TransformerBlock_{index}")(tokens)
        return self.LayerNorm_0(tokens)


class Encoder(Blocks):
    """Patches -> the mean of the tokens."""

    def __init__(self, size: int) -> None:
        super().__init__((size // PATCH) ** 2)
        self.Dense_0 = nn.Linear(PATCH**2, WIDTH, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of gray images."""
        side = images.shape[-1] // PATCH
        patches = images.reshape(-1, side, PATCH, side, PATCH).transpose(2, 3)
        return self.transformed(self.Dense_0(patches.reshape(-1, side**2, PATCH**2))).mean(1)


class Decoder(Blocks):
    """Latents -> patches."""

    def __init__(self, size: int, latents: int) -> None:
        self.side = size // PATCH
        super().__init__(self.side**2)
        self.Dense_0 = nn.Linear(latents, self.side**2 * WIDTH, bias=False)
        self.Dense_1 = nn.Linear(WIDTH, PATCH**2)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Logits of gray images."""
        tokens = self.Dense_0(latents).unflatten(1, (-1, WIDTH))
        patches = self.Dense_1(self.transformed(tokens))
        split = patches.unflatten(2, (PATCH, PATCH)).unflatten(1, (self.side, self.side))
        return split.transpose(2, 3).reshape(len(latents), 1, *[self.side * PATCH] * 2)


def transformer_vae(size: int, latents: int) -> Vae:
    heads = nn.Linear(WIDTH, latents), nn.Linear(WIDTH, latents)
    return Vae(Encoder(size), *heads, Decoder(size, latents))
