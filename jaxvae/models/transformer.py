"""A vision transformer as an encoder, and its mirror as a decoder.

The image is cut into square patches, each a token; pre-norm blocks of self-attention
and a two-layer network let the tokens see each other (Dosovitskiy et al. 2021, "An
image is worth 16x16 words"). The residual branches start with a variance of
`1 / (2 * depth)`, so that all of them together add as much as one layer would and
the blocks differ from the start. Everything is deterministic: there is no dropout.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvae.models.networks import Taps
from jaxvae.models.sizes import refuse_indivisible
from jaxvae.typing import ImageShape


class TransformerBlock(nn.Module):
    """`x + attention(norm(x))`, then the same with two dense layers and a GELU between.

    Attributes:
        heads: number of heads of the attention, which divides the width of the tokens.
        depth: number of blocks in the network, for the initial scale of the branches.
    """

    heads: int
    depth: int

    @nn.compact
    def __call__(self, tokens: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """The tokens after attention and a network of each, as many and as wide as before."""
        width = tokens.shape[-1]
        last = nn.initializers.variance_scaling(0.5 / self.depth, "fan_in", "truncated_normal")
        attention = nn.MultiHeadDotProductAttention(
            num_heads=self.heads, out_kernel_init=last, deterministic=True
        )
        tokens = tokens + attention(nn.LayerNorm()(tokens))
        # Flat, because the weight gradient of a product over two axes takes longer.
        branch = nn.LayerNorm()(tokens).reshape(-1, width)
        branch = nn.gelu(nn.Dense(4 * width)(branch))
        branch = nn.Dense(width, kernel_init=last)(branch)
        return tokens + branch.reshape(tokens.shape)


class TransformerEncoder(nn.Module):
    """Patches -> tokens with learned positions -> blocks -> the mean of the tokens.

    The positions take the place of a bias.

    Attributes:
        patch: height and width of a patch; those of the images must be multiples.
        width: width of a token, a multiple of `heads`.
        depth: number of blocks.
        heads: number of heads of the attention.
    """

    patch: int = 8
    width: int = 128
    depth: int = 4
    heads: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> tuple[Array, Taps]:
        """Features `[b, width]`; taps of the embedding and of every block, `[b, t, width]`."""
        del train
        _check(images.shape[1:3], self.patch, self.width, self.heads)
        tokens = nn.Dense(self.width, use_bias=False)(_to_patches(images, self.patch))
        positions = self.param("positions", _POSITIONS, tokens.shape[1:], jnp.float32)
        tokens, taps = _blocks(tokens + positions[None], self.depth, self.heads)
        return jnp.mean(tokens, axis=1), taps


class TransformerDecoder(nn.Module):
    """Latents -> one token per patch with learned positions -> blocks -> patches -> image.

    The positions take the place of a bias.

    Attributes:
        image_shape: `(h, w, c)` of the logits.
        patch: height and width of a patch, a divisor of both `h` and `w`.
        width: width of a token, a multiple of `heads`.
        depth: number of blocks.
        heads: number of heads of the attention.
    """

    image_shape: ImageShape
    patch: int = 8
    width: int = 128
    depth: int = 4
    heads: int = 4

    @nn.compact
    def __call__(self, latents: Float[Array, "b k"], *, train: bool) -> tuple[Array, Taps]:
        """Logits `[b, h, w, c]`; taps of the embedding and of every block, `[b, t, width]`."""
        del train
        height, width, channels = self.image_shape
        _check((height, width), self.patch, self.width, self.heads)
        shape = (height // self.patch * (width // self.patch), self.width)
        positions = self.param("positions", _POSITIONS, shape, jnp.float32)
        tokens = nn.Dense(shape[0] * shape[1], use_bias=False)(latents)
        tokens = tokens.reshape(len(latents), *shape) + positions[None]
        tokens, taps = _blocks(tokens, self.depth, self.heads)
        patches = nn.Dense(self.patch**2 * channels)(tokens)
        return _to_images(patches, self.patch, self.image_shape), taps


_POSITIONS = nn.initializers.normal(0.02)


def _blocks(tokens: Float[Array, "b t d"], depth: int, heads: int) -> tuple[Array, Taps]:
    """The normalized tokens after the blocks, and the tokens before and after each."""
    taps = {"1": tokens}
    for index in range(2, depth + 2):
        tokens = taps[str(index)] = TransformerBlock(heads, depth)(tokens)
    return nn.LayerNorm()(tokens), taps


def _to_patches(images: Float[Array, "b h w c"], patch: int) -> Float[Array, "b t patch*patch*c"]:
    """Square patches row by row, each with its pixels row by row."""
    batch, height, width, channels = images.shape
    rows, columns = height // patch, width // patch
    split = images.reshape(batch, rows, patch, columns, patch, channels)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)


def _to_images(
    patches: Float[Array, "b t patch*patch*c"], patch: int, image_shape: ImageShape
) -> Float[Array, "b h w c"]:
    """The inverse of `_to_patches`."""
    height, width, channels = image_shape
    split = patches.reshape(-1, height // patch, width // patch, patch, patch, channels)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(-1, *image_shape)


def _check(size: tuple[int, ...], patch: int, width: int, heads: int) -> None:
    refuse_indivisible(size, patch, "for patches of that size")
    if width % heads:
        raise ValueError(f"expected a width divisible by {heads} heads, got {width}")
