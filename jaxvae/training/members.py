"""Many models as one state: seeds, coefficients, learning rates and bottleneck sizes.

A member of a smaller bottleneck lives in the arrays of the largest: what it lacks is zero
and stays zero. Its state is that of the model alone, padded; cut back by `take_member`, it
is an ordinary state again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import refuse_no_key
from jaxvae.training.refusals import refuse_dependent_keys, refuse_far_starts, refuse_negative
from jaxvae.training.trainer import Trainer, TrainState
from jaxvae.typing import Key

TrainerOf = Callable[[int], Trainer]


class Member(NamedTuple):
    """One model of an ensemble.

    Attributes:
        key: key of its parameters, noise and batches, of the generator threefry, JAX's default:
            with rbg or unsafe_rbg, members that are trained together would depend on each other.
        latents: size of its bottleneck.
        coefficients: coefficients of its objective, where they differ from the trainer's.
        learning_rate: where it differs from the trainer's, whose optimizer must then hold
            it in its state: `optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)`, a
            number and no schedule.
    """

    key: Key
    latents: int
    coefficients: Mapping[str, float | Sequence[float]] = MappingProxyType({})
    learning_rate: float | None = None


class Ensemble(NamedTuple):
    """The state of m members that are trained together.

    Attributes:
        states: a `TrainState` whose arrays are `[m, ...]`.
        failed: `[m]`, the step at which the loss of a member was NaN or infinite, where
            it has stopped; -1 for the others.
    """

    states: TrainState
    failed: Int[Array, " m"]


class Sized(Protocol):
    """Anything with a number of latents, such as a `Member`."""

    @property
    def latents(self) -> int:
        """Size of its bottleneck."""
        ...


M = TypeVar("M", bound=Sized)
T = TypeVar("T")


def group_members(
    members: Sequence[M], *, size_of: Callable[[int], float] = float
) -> list[tuple[M, ...]]:
    """Members that share a program: none is padded to more than twice its own size.

    Args:
        members: in the order in which they are to be in their groups.
        size_of: `latents -> size` of a model, such as its parameters, of which the bottleneck
            may be few; by default the latents, which bounds the padding of any model.

    Returns:
        Groups from the smallest to the largest bottleneck, members in the order given.
    """
    sizes = sorted({member.latents for member in members}, reverse=True)
    groups: list[tuple[M, ...]] = []
    while sizes:
        taken = {size for size in sizes if 2 * size_of(size) >= size_of(sizes[0])}
        groups.insert(0, tuple(member for member in members if member.latents in taken))
        sizes = [size for size in sizes if size not in taken]
    return groups


def init_ensemble(
    trainer_of: TrainerOf, members: Sequence[Member], *, room: int | None = None
) -> Ensemble:
    """The members before their first step.

    Args:
        trainer_of: `latents -> Trainer` of a model with so many, called once for each size. The
            arrays that grow with the latents must do so at the end of an axis, as in dense
            layers. Of members of different size the optimizer must treat every number by itself,
            as Adam and SGD do; Adafactor takes means over whole axes, with what is padded.
        members: at least one.
        room: latents that the arrays have room for; None for those of the largest member.

    Raises:
        ValueError: for no member, too little room, what is no key, a key of another generator
            than a `Member` takes, a coefficient that the trainer has not, that is negative or not
            finite (of an objective of jaxvae) or has a number for other layers, a multiplier that
            starts outside of its bounds, as in `vae_trainer`, and a learning rate that is
            negative, not finite, or that the optimizer does not hold in its state.
    """
    largest = _room(members, room)
    for member in members:
        refuse_no_key(member.key)
        refuse_dependent_keys(member.key)
    # Every new trainer would be compiled, though it is that of another member of the same size.
    made = cache(trainer_of)
    shapes = jax.eval_shape(made(largest).init, members[0].key)
    padded = [_pad(_set_apart(made(member.latents), member), shapes) for member in members]
    states = stack(padded)
    if any(member.latents < largest for member in members):
        sizes = jnp.array([member.latents for member in members])
        states = states._replace(present=jnp.arange(largest) < sizes[:, None])
    # The steps at which members failed have the dtype that training gives them, or the second call
    # would be compiled anew.
    return Ensemble(states, jnp.full(len(members), -1, jnp.int32))


def ensemble_shapes(
    trainer_of: TrainerOf, members: Sequence[Member], *, room: int | None = None
) -> Ensemble:
    """Shapes and types of `init_ensemble`, such as `checkpoint.load` takes them."""
    largest, count = _room(members, room), len(members)
    # All members have the arrays of the largest, whose initialization alone is traced.
    states = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype),
        jax.eval_shape(trainer_of(largest).init, members[0].key),
    )
    if any(member.latents < largest for member in members):
        states = states._replace(present=jax.ShapeDtypeStruct((count, largest), jnp.bool))
    failed: Any = jax.ShapeDtypeStruct((count,), jnp.int32)
    return Ensemble(states, failed)


def take_member(ensemble: Ensemble, index: int, trainer: Trainer) -> TrainState:
    """The state of one member as if it had been trained alone.

    Args:
        ensemble: where all stand.
        index: which member.
        trainer: trainer of a model with its own latents; with that of the largest member, the state
            stays as it is padded.

    Raises:
        ValueError: for a member that is not there, and a trainer of more latents than the arrays
            have room for.
    """
    members = len(ensemble.failed)
    refusal = f"expected a member from 0 to {members - 1}, got {index}"
    index = as_count(index, refusal, least=0, most=members - 1)
    state = unstack_one(ensemble.states, index)._replace(present=None)
    shapes = jax.eval_shape(trainer.init, state.key)
    taken = cut(state, shapes)
    if jax.tree.map(jnp.shape, taken) != jax.tree.map(jnp.shape, shapes):
        raise ValueError("expected a trainer of a member, got one of a larger or another model")
    return taken


def cut(tree: T, shapes: T) -> T:
    """Arrays without what a member lacks: the beginnings that have these shapes."""
    return jax.tree.map(_cut, tree, shapes)


def _room(members: Sequence[Member], room: int | None) -> int:
    if not members:
        raise ValueError("expected at least one member, got none")
    largest = max(member.latents for member in members)
    refusal = f"expected room for the {largest} latents of the largest member, got {room}"
    return as_count(largest if room is None else room, refusal, least=largest)


def _set_apart(trainer: Trainer, member: Member) -> TrainState:
    """A first state with the coefficients and the learning rate of a member."""
    state = trainer.init(member.key)
    unknown = set(member.coefficients) - set(state.coefficients)
    if unknown:
        raise ValueError(
            f"expected coefficients among {sorted(state.coefficients)}, got {sorted(unknown)}"
        )
    refuse_negative(member.coefficients, trainer.nonnegative)
    given = {
        name: _of_layers(name, value, jnp.shape(state.coefficients[name]))
        for name, value in member.coefficients.items()
    }
    coefficients = state.coefficients | given
    # Those of the trainer were checked with targets that only the trainer knows.
    if given.keys() & {"targets", *trainer.multipliers}:
        refuse_far_starts(coefficients, trainer.multipliers)
    state = state._replace(coefficients=coefficients)
    if member.learning_rate is None:
        return state
    if not 0 <= member.learning_rate < math.inf:
        raise ValueError(f"expected a learning rate of at least 0, got {member.learning_rate}")
    held = optax.tree.get_all_with_path(state.optimizer_state, "learning_rate")
    # A schedule holds its own state under the same name, and overwrites the number in every step.
    if not held or not all(isinstance(value, jax.Array) for _, value in held):
        raise ValueError(
            "expected an optimizer that holds its learning rate as a number, such as "
            "optax.inject_hyperparams(optax.adam)(learning_rate=1e-3), for members with their "
            "own, got one that does not"
        )
    optimizer_state = optax.tree.set(
        state.optimizer_state, learning_rate=jnp.float32(member.learning_rate)
    )
    return state._replace(optimizer_state=optimizer_state)


def _of_layers(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """A coefficient; one number may stand for all layers."""
    number = jnp.asarray(value, jnp.float32)
    if number.shape not in ((), shape):
        wanted = f"or {shape[0]}, one for every layer" if shape else "for the one layer"
        raise ValueError(f"expected one number for {name}, {wanted}, got {value}")
    return jnp.broadcast_to(number, shape)


@jax.jit
def stack(trees: list[T]) -> T:
    """Arrays `[m, ...]` of m trees of arrays, in one program."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def unstack_one(trees: T, index: int) -> T:
    """One of the trees that were stacked."""
    return jax.tree.map(lambda leaf: leaf[index], trees)


def _pad(state: Any, shapes: Any) -> Any:
    """Zeros after the end of every array that is smaller than its shape."""

    def padded(leaf: Array, shape: jax.ShapeDtypeStruct) -> Array:
        if leaf.shape == shape.shape:
            return leaf
        missing = [(0, more - own) for own, more in zip(leaf.shape, shape.shape, strict=True)]
        return jnp.pad(leaf, missing)

    return jax.tree.map(padded, state, shapes)


def _cut(leaf: Array, shape: jax.ShapeDtypeStruct) -> Array:
    if leaf.shape == shape.shape:
        return leaf
    return leaf[tuple(slice(size) for size in shape.shape)]
