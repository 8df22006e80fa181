"""The same computation many times in a row, with other parameters each time, compiled once."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

State = TypeVar("State")
_KEPT, _LANES = "kept", 128


def packed(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """Values as they are kept for a gradient: images without columns, all others as they are.

    A TPU fills up the last axis of what it keeps to 128, and would take for it few columns or
    channels: the last axis are the channels, if there are 128 or as many as examples, or else the
    examples.
    """
    if values.ndim < 3:
        return values
    if _are_many(values.shape):
        return values.reshape(len(values), -1, values.shape[-1])
    return jnp.moveaxis(values, 0, -1).reshape(-1, len(values))


def unpacked(values: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """What was `packed`, in its shape."""
    if len(shape) < 3 or _are_many(shape):
        return values.reshape(shape)
    return jnp.moveaxis(values.reshape(*shape[1:], shape[0]), -1, 0)


def kept(values: Array) -> Array:
    """Values within a step of `repeat` that are kept for its gradient, not computed again."""
    return unpacked(checkpoint_name(packed(values), _KEPT), values.shape)


def repeat(
    step: Callable[[State, Any], tuple[State, Any]], state: State, given: Any, count: int
) -> tuple[State, list[Any]]:
    """The state after so many steps, and what each of them made.

    For the gradient of several steps, all is computed again but for their states and what is
    `kept`.

    Args:
        step: `(state, given) -> (state, made)`, of which the state keeps its shapes and dtypes.
        state: before the first step.
        given: tree of arrays `[count, ...]`, of which every step is given its own.
        count: number of steps.
    """
    if count == 1:
        state, made = step(state, jax.tree.map(lambda leaf: leaf[0], given))
        return state, [made]
    like, made_like = jax.eval_shape(step, state, jax.tree.map(lambda leaf: leaf[0], given))

    def packing(state: Any, given: Any) -> Any:
        return _packed(step(_unpacked(state, like), given))

    policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
    again = jax.checkpoint(packing, policy=policy, prevent_cse=False)
    last, every = lax.scan(again, _packed(state), given)
    return _unpacked(last, like), [_unpacked(made, made_like) for made in unstack(every, count)]


def unstack(tree: Any, count: int) -> list[Any]:
    """Trees of the parts of arrays `[count, ...]`."""
    leaves, structure = jax.tree.flatten(tree)
    # Split at once: the gradient is then one concatenation, and not a sum of `count` arrays.
    split = [[jnp.squeeze(part, 0) for part in jnp.split(leaf, count)] for leaf in leaves]
    return [jax.tree.unflatten(structure, parts) for parts in zip(*split, strict=True)]


def _are_many(shape: tuple[int, ...]) -> bool:
    """Whether channels are the better last axis than examples."""
    batch, *_, channels = shape
    return channels >= min(_LANES, batch)


def _packed(tree: Any) -> Any:
    return jax.tree.map(packed, tree)


def _unpacked(tree: Any, like: Any) -> Any:
    return jax.tree.map(lambda leaf, like: unpacked(leaf, like.shape), tree, like)
