"""Many models in one program: seeds, coefficients, learning rates and bottleneck sizes.

A member of a smaller bottleneck lives in the arrays of the largest: what it lacks is zero
and stays zero. Its state is that of the model alone, padded; cut back by `take_member`, it
is an ordinary state again.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, UInt8

from jaxvae.platforms import choices_for
from jaxvae.training.batches import Batches, Plan, pieces
from jaxvae.training.epochs import Progress, epoch_order, named, run_steps, whole_batches
from jaxvae.training.mesh import AXIS, cut_off, dealt, everywhere, put
from jaxvae.training.placed import PlacedImages, place_images
from jaxvae.training.processes import are_several
from jaxvae.training.trainer import Trainer, TrainState, refuse_negative
from jaxvae.training.windows import Window, saving, windows
from jaxvae.typing import ArrayLike, Key

TrainerOf = Callable[[int], Trainer]


class Member(NamedTuple):
    """One model of an ensemble.

    Attributes:
        key: of its parameters, noise and batches.
        latents: size of its bottleneck.
        coefficients: of its objective, where they differ from the trainer's.
        learning_rate: where it differs from the trainer's, whose optimizer must then hold
            it in its state: `optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)`.
    """

    key: Key
    latents: int
    coefficients: Mapping[str, float | Sequence[float]] = MappingProxyType({})
    learning_rate: float | None = None


class Ensemble(NamedTuple):
    """Where m members stand.

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
        trainer_of: `latents -> Trainer` of a model with so many. The arrays that grow with
            the latents must do so at the end of an axis, as in dense layers.
        members: at least one.
        room: latents that the arrays have room for; None for those of the largest member.

    Raises:
        ValueError: for no member, a coefficient that the trainer has not or that is negative,
            and a learning rate that the optimizer does not hold in its state.
    """
    largest = room or _largest(members)
    shapes = jax.eval_shape(trainer_of(largest).init, members[0].key)
    padded = [_pad(_set_apart(trainer_of(member.latents), member), shapes) for member in members]
    states = _stack(padded)
    if any(member.latents < largest for member in members):
        sizes = jnp.array([member.latents for member in members])
        states = states._replace(present=jnp.arange(largest) < sizes[:, None])
    # Of the dtype that training gives it, or the second call would be compiled anew.
    return Ensemble(states, jnp.full(len(members), -1, jnp.int32))


def ensemble_shapes(
    trainer_of: TrainerOf, members: Sequence[Member], *, room: int | None = None
) -> Ensemble:
    """Shapes and types of `init_ensemble`, such as `checkpoint.load` takes them."""
    largest, count = room or _largest(members), len(members)
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
        trainer: of a model with its own latents; with that of the largest member, the state
            stays as it is padded.
    """
    state = _member(ensemble.states, index)._replace(present=None)
    return cut(state, jax.eval_shape(trainer.init, state.key))


def cut(tree: T, shapes: T) -> T:
    """Arrays without what a member lacks: the beginnings that have these shapes."""
    return jax.tree.map(_cut, tree, shapes)


def train_ensemble(
    trainer: Trainer,
    ensemble: Ensemble,
    images: UInt8[ArrayLike, "n h w c"] | PlacedImages,
    *,
    epochs: int,
    batch_size: int,
    report: Callable[[Progress], None] = lambda progress: None,
    save: Callable[[Ensemble], None] = lambda ensemble: None,
    way: str | None = None,
    mesh: Mesh | None = None,
) -> Ensemble:
    """Train all members until `epochs` epochs are complete, counted from the start.

    Member i has the numbers of the model that is trained alone with its key. A member
    whose loss becomes NaN or infinite stops there and is marked; the others go on.

    Args:
        trainer: of a model with the latents that the arrays have room for.
        ensemble: where to go on.
        images: as for `train`.
        epochs: total number of epochs to reach.
        batch_size: images a step and member.
        report: called about twice a second, with means over the members that go on.
        save: as in `train`.
        way: how members share the device, of `WAYS`: `vmap` batches their arrays, `map`
            runs them one after another, `unrolled` puts them side by side in the program.
            By default `map` on CPU, where one model fills the cores, and `vmap` elsewhere.
        mesh: devices that share the members, each training its own by itself; all its axes
            are used. Any number of members will do, and fills all devices where it is a
            multiple of theirs. The numbers are those of one device, bitwise with `map`.

    Returns:
        The members after their last step; with a mesh, on its devices.

    Raises:
        ValueError: for images that the trainer does not take, a batch larger than the data,
            and another way.
    """
    placed = place_images(images, trainer.image_shape, mesh=mesh)
    per_epoch = whole_batches(placed.n, batch_size)
    chosen = way or choices_for(ensemble).way
    if chosen not in WAYS:
        raise ValueError(f"expected a way among {', '.join(WAYS)}, got {way}")
    members = len(ensemble.failed)
    if placed.mesh is not None:
        ensemble = _spread(ensemble, mesh=placed.mesh)
    run = partial(_run_members, trainer, batch_size=batch_size, way=chosen, mesh=placed.mesh)
    orders = partial(_orders, ensemble.states.key, n=placed.n)
    plan = Plan(int(jnp.max(ensemble.states.step)), epochs * per_epoch, per_epoch, batch_size)
    batches = pieces(placed, orders, plan, members=len(ensemble.failed))
    own = partial(_first, members=members, mesh=placed.mesh)
    together = are_several(placed.mesh)
    with saving(lambda ensemble: save(own(ensemble)), together=together) as saver:
        for window, count, seconds in windows(run, batches, ensemble, saver, together=together):
            ensemble = window.state
            report(_progress(window, members, count, count * batch_size / seconds))
    return own(ensemble)


Run = Callable[[TrainState, Array, Array], Window]


def _one_after_another(run: Run) -> Run:
    return lambda *members: lax.map(lambda member: run(*member), members)


def _unrolled(run: Run) -> Run:
    def over(states: TrainState, orders: Array, alive: Array) -> Window:
        members = [
            run(jax.tree.map(lambda leaf, i=i: leaf[i], states), orders[i], alive[i])
            for i in range(len(orders))
        ]
        return _stack(members)

    return over


# `benchmarks/ensembles.py` compares them.
WAYS: dict[str, Callable[[Run], Run]] = {
    "vmap": jax.vmap,
    "map": _one_after_another,
    "unrolled": _unrolled,
}


@partial(jax.jit, static_argnames=("trainer", "batch_size", "way", "mesh"))
def _run_members(
    trainer: Trainer,
    ensemble: Ensemble,
    batches: Batches,
    count: Int[Array, ""],
    *,
    batch_size: int,
    way: str,
    mesh: Mesh | None,
) -> Window:
    """`run_steps` of every member; the last loss tells who failed."""

    def run_all(states: TrainState, alive: Array, batches: Batches, count: Array) -> Window:
        def run(state: TrainState, own: Array, alive: Array) -> Window:
            its = batches._replace(own=own)
            return run_steps(trainer, state, its, count=count, batch_size=batch_size, alive=alive)

        return WAYS[way](run)(states, batches.own, alive)

    if mesh is not None:
        every: Any = PartitionSpec()
        each: Any = PartitionSpec(AXIS)
        run_all = jax.shard_map(
            run_all,
            mesh=mesh,
            in_specs=(each, each, Batches(every, each, every), every),
            out_specs=each,
            # A member that has failed leaves its loop before the others.
            check_vma=False,
        )
    state, total, last = run_all(ensemble.states, ensemble.failed < 0, batches, count)
    failed = jnp.where(jnp.isfinite(last[0]), ensemble.failed, state.step - 1)
    if mesh is not None:
        failed, total, last = lax.with_sharding_constraint((failed, total, last), everywhere(mesh))
    return Window(Ensemble(state, failed), total, last)


@partial(jax.jit, static_argnames="n")
def _orders(keys: Key, epoch: Int[Array, ""], n: int) -> Int[Array, "m n"]:
    return jax.vmap(lambda key: epoch_order(key, epoch, n))(keys)


def _spread(ensemble: Ensemble, mesh: Mesh) -> Ensemble:
    """Members on the devices, as many on each: copies of the last, which do nothing, fill up."""
    failed: Any = np.zeros(-(-len(ensemble.failed) // mesh.size) * mesh.size, np.int32)
    failed[: len(ensemble.failed)] = ensemble.failed
    return Ensemble(dealt(ensemble.states, mesh), put(failed, everywhere(mesh)))


def _first(ensemble: Ensemble, members: int, mesh: Mesh | None) -> Ensemble:
    """The members, without what fills up the devices."""
    if mesh is None or len(ensemble.failed) == members:
        return ensemble
    return cut_off(put(ensemble, everywhere(mesh)), members)


def _progress(window: Window, members: int, count: int, images_per_second: float) -> Progress:
    """Means over the members that go on; NaN when none does."""
    alive = np.asarray(window.state.failed < 0)[:members]
    total = jax.tree.map(lambda leaf: np.asarray(leaf)[:members][alive].sum(axis=0), window.total)
    means = named(total, (alive.sum() or np.nan) * count)
    return Progress(
        int(jnp.max(window.state.states.step)),
        images_per_second * int(alive.sum()),
        means.pop("loss"),
        means,
        int((~alive).sum()),
    )


def _largest(members: Sequence[Member]) -> int:
    if not members:
        raise ValueError("expected at least one member, got none")
    return max(member.latents for member in members)


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
        # One number may stand for all layers.
        name: jnp.broadcast_to(jnp.asarray(value, jnp.float32), jnp.shape(state.coefficients[name]))
        for name, value in member.coefficients.items()
    }
    state = state._replace(coefficients=state.coefficients | given)
    if member.learning_rate is None:
        return state
    try:
        optimizer_state = optax.tree.set(
            state.optimizer_state, learning_rate=jnp.float32(member.learning_rate)
        )
    except KeyError as error:
        raise ValueError(
            "expected an optimizer that holds its learning rate, such as "
            "optax.inject_hyperparams(optax.adam)(learning_rate=1e-3), for members with their "
            "own, got one that does not"
        ) from error
    return state._replace(optimizer_state=optimizer_state)


@jax.jit
def _stack(trees: list[TrainState]) -> TrainState:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def _member(states: TrainState, index: int) -> TrainState:
    return jax.tree.map(lambda leaf: leaf[index], states)


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
