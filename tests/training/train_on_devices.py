"""Train on four simulated devices, and write what became of it: python train_on_devices.py DIR."""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.analysis import evaluate
from jaxvae.models import convolutional_vae, dense_vae
from jaxvae.objectives import beta_tc_vae, beta_vae
from jaxvae.runs import checkpoint
from jaxvae.training import (
    Member,
    batches,
    init_ensemble,
    place_images,
    train,
    train_ensemble,
    vae_trainer,
    windows,
)
from jaxvae.training.members import ensemble_shapes
from jaxvae.training.memory import tree_bytes
from jaxvae.training.mesh import rows_of

COUNT, BATCH, EPOCHS = 43, 8, 2
SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
DENSE = dense_vae(image_shape=SHAPE, latents=3, widths=(6,))
CONVOLUTIONAL = convolutional_vae(image_shape=SHAPE, latents=3, widths=(4, 6))
ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=1e-2)
DENSE_TRAINER = vae_trainer(DENSE, beta_vae, ADAM, coefficients={"beta": 1.0})
TRAINERS = {
    "dense": DENSE_TRAINER,
    # Batch normalization has the moments of the whole batch, and this objective compares all of
    # its images with each other.
    "pairs": vae_trainer(CONVOLUTIONAL, partial(beta_tc_vae, dataset_size=COUNT), optax.sgd(1e-2)),
}


def mesh_of(*shape):
    devices = np.array(jax.devices()[: int(np.prod(shape))]).reshape(shape)
    return jax.sharding.Mesh(devices, [f"axis {number}" for number in range(len(shape))])


def numbers(tree):
    leaves = [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for leaf in jax.tree.leaves(tree)
    ]
    return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in leaves])


def of_batches(name, mesh=None, storage=None, epochs=EPOCHS, start=None):
    trainer = TRAINERS[name]
    state = trainer.init(jax.random.key(0)) if start is None else start
    images = place_images(IMAGES, mesh=mesh, storage=storage)
    return train(trainer, state, images, epochs=epochs, batch_size=BATCH, mesh=mesh)


def members_of(count):
    # One fails: its device leaves the loop, and the others go on.
    return [
        Member(jax.random.key(seed), 3, learning_rate=1e30 if seed == 1 else None)
        for seed in range(count)
    ]


def of_members(count, mesh=None, storage=None, epochs=EPOCHS, start=None):
    if start is None:
        start = init_ensemble(lambda latents: DENSE_TRAINER, members_of(count))
    images = place_images(IMAGES, mesh=mesh, storage=storage)
    return train_ensemble(DENSE_TRAINER, start, images, epochs=epochs, batch_size=BATCH, mesh=mesh)


def held_states(count, mesh):
    """Of how many states the last device holds the bytes at most, as members are saved or done."""

    def held():
        arrays = [
            jax.random.key_data(each) if jnp.issubdtype(each.dtype, jax.dtypes.prng_key) else each
            for each in jax.live_arrays()
        ]
        shards = [shard for array in arrays for shard in array.addressable_shards]
        own = [each.data for each in shards if each.device == mesh.devices.flat[-1]]
        # Asked for, a shard is an array of its own with the same bytes.
        return sum({each.unsafe_buffer_pointer(): each.nbytes for each in own}.values())

    windows._SAVE_SECONDS, before, seen = 0.0, held(), []
    start = init_ensemble(lambda latents: DENSE_TRAINER, members_of(count))
    options = {"epochs": EPOCHS, "batch_size": BATCH, "mesh": mesh}
    done = train_ensemble(
        DENSE_TRAINER, start, IMAGES, save=lambda saved: seen.append(held()), **options
    )
    seen.append(held())
    assert len(seen) > 1
    assert len(done.failed) == count
    return (max(seen) - before) / tree_bytes(jax.eval_shape(DENSE_TRAINER.init, jax.random.key(0)))


def shapes():
    """Of what is saved on four devices: a state, and three members."""
    return {
        "state": jax.eval_shape(DENSE_TRAINER.init, jax.random.key(0)),
        "members": ensemble_shapes(lambda latents: DENSE_TRAINER, members_of(3)),
    }


def main(out):
    # Three batches of one model, and one of every member, are laid out at a time.
    batches._PIECE_BYTES = 3 * BATCH * IMAGES[0].size
    four, square, two = mesh_of(4), mesh_of(2, 2), mesh_of(2)
    results = {}
    for name in TRAINERS:
        results[f"{name} one"] = of_batches(name)
        results[f"{name} everywhere"] = of_batches(name, square)
    for storage in ("split", "host"):
        results[f"dense {storage}"] = of_batches("dense", four, storage)
    second = jax.devices()[1]
    start = jax.device_put(DENSE_TRAINER.init(jax.random.key(0)), second)
    # What has to go from one device to another would be refused.
    with jax.transfer_guard_device_to_device("disallow_explicit"):
        results["dense of a state on the second"] = of_batches("dense", None, "host", start=start)
        with jax.default_device(second):
            results["dense on the second"] = of_batches("dense", None, "host")
    results["4 members one"] = of_members(4)
    # Members have no part in each other.
    results["3 members one"] = rows_of(results["4 members one"], slice(3))
    for count in (4, 3):
        results[f"{count} members everywhere"] = of_members(count, square)
    for storage in ("split", "host"):
        results[f"3 members {storage}"] = of_members(3, two, storage)
    # As the mesh of `jax.make_mesh` has it: its axes are explicit, and it may be set for all.
    explicit = jax.make_mesh((4,), ("x",))
    with jax.set_mesh(explicit):
        results["dense in a set mesh"] = of_batches("dense", explicit)
        results["3 members in a set mesh"] = of_members(3, explicit)
    spread = jax.device_put(
        IMAGES[:40], jax.sharding.NamedSharding(explicit, jax.sharding.PartitionSpec("x"))
    )
    trainer, first = DENSE_TRAINER, DENSE_TRAINER.init(jax.random.key(0))
    for name, images in {"of the host": IMAGES[:40], "spread": spread}.items():
        state = train(trainer, first, images, epochs=EPOCHS, batch_size=BATCH)
        seen = evaluate(DENSE, state.variables, images, key=jax.random.key(1), batch_size=12)
        results[f"images {name}"] = state, seen.distortion
    half = {"state": of_batches("dense", square, epochs=1)}
    half["members"] = of_members(3, square, epochs=1)
    for name, tree in half.items():
        checkpoint.save(out / name, 1, tree)
        results[f"half {name}"] = tree
    loaded = {name: checkpoint.load(out / name, 1, like) for name, like in shapes().items()}
    results["dense resumed"] = of_batches("dense", two, start=loaded["state"])
    results["3 members resumed"] = of_members(3, two, start=loaded["members"])
    results["held of 5 on 4"] = np.float64(held_states(5, square))
    np.savez(out / "results.npz", **{name: numbers(tree) for name, tree in results.items()})
    shardings = {
        "state": of_batches("dense", square).variables,
        "members": of_members(4, square).states.variables,
    }
    for name, tree in shardings.items():
        for leaf in jax.tree.leaves(tree):
            print(name, len(leaf.devices()), "replicated" if leaf.is_fully_replicated else "split")
    try:
        train(DENSE_TRAINER, half["state"], IMAGES, epochs=1, batch_size=6, mesh=four)
    except ValueError as error:
        print("refused", error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
