"""Many models trained in one program, on one device or several."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, UInt8

from jaxvae.platforms import choices_for, jit_steps
from jaxvae.training.batches import Batches, Plan, pieces
from jaxvae.training.epochs import (
    epoch_order,
    named,
    run_steps,
    whole_batches,
    whole_epochs,
)
from jaxvae.training.members import Ensemble
from jaxvae.training.mesh import AXIS, dealt, everywhere, on_its_own_mesh, put, rows_of
from jaxvae.training.placed import PlacedImages, place_images
from jaxvae.training.processes import are_several
from jaxvae.training.progress import Progress, Stretch, now_and_then
from jaxvae.training.refusals import refuse_dependent_keys
from jaxvae.training.trainer import Trainer, TrainState
from jaxvae.training.windows import Window, saving, windows
from jaxvae.typing import ArrayLike, Key


@on_its_own_mesh
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

    Member i has the numbers of the model that is trained alone with its key: with `map` to the last
    digit if it has as many latents as there is room for, else to rounding. A member whose loss
    becomes NaN or infinite stops there and is marked; the others go on. Training ends where none
    is left.

    Args:
        trainer: trainer of a model with the latents that the arrays have room for.
        ensemble: where to go on.
        images: as for `train`.
        epochs: total number of epochs to reach.
        batch_size: images a step and member.
        report: called about twice a second, and at the end unless training is interrupted, with
            means over the members that go on.
        save: as in `train`.
        way: how members share the device, of `WAYS`: `vmap` batches their arrays, `map`
            runs them one after another. By default `map` on CPU, where batches are no
            faster, and `vmap` elsewhere.
        mesh: devices that share the members, each training its own by itself; all its axes
            are used. Any number of members will do, and fills all devices where it is a
            multiple of theirs. The numbers are those of one device, bitwise with `map`.

    Returns:
        The members after their last step; with a mesh, split over its devices where these share
        them evenly, else on the host. `save` is given them in the same place.

    Raises:
        ValueError: for images that the trainer does not take, a batch larger than the data,
            another way, parts of an epoch, devices of several processes, keys of another
            generator than a `Member` takes, and members with other names or shapes than those of
            the trainer.
    """
    if are_several(mesh):
        raise ValueError(
            "expected devices of this process for an ensemble, got some of other processes; "
            "members are independent, so give every process members of its own, as sweeps do"
        )
    placed = place_images(images, trainer.image_shape, mesh=mesh)
    per_epoch = whole_batches(placed.n, batch_size)
    refuse_dependent_keys(ensemble.states.key)
    members = len(ensemble.failed)
    if placed.mesh is not None:
        ensemble = _spread(ensemble, mesh=placed.mesh)
    chosen = way or choices_for(ensemble).way
    if chosen not in WAYS:
        raise ValueError(f"expected a way among {', '.join(WAYS)}, got {way}")
    run = partial(_run_members, trainer, batch_size=batch_size, way=chosen, mesh=placed.mesh)
    orders = partial(_orders, ensemble.states.key, n=placed.n)
    last = whole_epochs(epochs) * per_epoch
    first = int(jnp.max(ensemble.states.step))
    plan = Plan(first, last if _goes_on(ensemble) else first, per_epoch, batch_size)
    batches = pieces(placed, orders, plan, members=len(ensemble.failed))
    own = partial(_first, members=members, mesh=placed.mesh)
    saving_own = saving(lambda ensemble: save(own(ensemble)))
    with saving_own as saver, now_and_then(report) as tell:
        for window, count, seconds in windows(run, batches, ensemble, saver):
            ensemble = window.state
            progress = _progress(window, members, count, count * batch_size / seconds)
            tell(Stretch(progress, count, seconds))
            if not _goes_on(ensemble):
                break
    return own(ensemble)


Run = Callable[[TrainState, Array, Array], Window]


def _one_after_another(run: Run) -> Run:
    return lambda *members: lax.map(lambda member: run(*member), members)


# `benchmarks/ensembles.py` compares them.
WAYS: dict[str, Callable[[Run], Run]] = {"vmap": jax.vmap, "map": _one_after_another}


@jit_steps(static_argnames=("trainer", "batch_size", "way", "mesh"))
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
        by_member: Any = PartitionSpec(AXIS)
        run_all = jax.shard_map(
            run_all,
            mesh=mesh,
            in_specs=(by_member, by_member, Batches(every, by_member, every), every),
            out_specs=by_member,
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


def _goes_on(ensemble: Ensemble) -> bool:
    """Whether there is a member that has not failed."""
    return bool(np.any(np.asarray(ensemble.failed) < 0))


def _spread(ensemble: Ensemble, mesh: Mesh) -> Ensemble:
    """Members on the devices, as many on each: copies of the last, which do nothing, fill up."""
    failed: Any = np.zeros(-(-len(ensemble.failed) // mesh.size) * mesh.size, np.int32)
    failed[: len(ensemble.failed)] = ensemble.failed
    return Ensemble(dealt(ensemble.states, mesh), put(failed, everywhere(mesh)))


def _first(ensemble: Ensemble, members: int, mesh: Mesh | None) -> Ensemble:
    """The members, without what fills up the devices."""
    if mesh is None or len(ensemble.failed) == members:
        return ensemble
    # Of no array devices hold parts of different size: each would have to hold all members.
    return rows_of(ensemble, slice(members))


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
