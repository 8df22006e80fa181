"""The programs of training of every network: a step, an epoch, an ensemble, several devices."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.aot.parts import Part, Program, parts_of, whole
from benchmarks.aot.recording import placed
from benchmarks.aot.targets import Target
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.choices import default_objective, named_network
from jaxvae.runs.config import RunConfig
from jaxvae.training import Member, Trainer, init_ensemble, train, train_ensemble

# Latents of the members of an ensemble, all alike.
MEMBERS = (10,) * 8
# Those of the bottleneck paper.
BOTTLENECKS = (2, 4, 8, 16, 32, 64, 128)
# Forty layers of the width that very deep VAEs have for images of 32 x 32 (Child 2021).
DEEP = {
    "blocks": (2, 4, 8, 10, 16),
    "channels": 384,
    "latent_channels": 16,
    "compute_dtype": "bfloat16",
    "remat": True,
}


class Network(NamedTuple):
    """A network by its name in `jaxvae.models`, and what it is trained on."""

    network: str
    shape: tuple[int, int, int]
    batch: int
    images: int = 10_000
    options: Mapping[str, Any] | None = None

    def trainer(self, latents: int | None = None) -> Trainer:
        """The trainer of a network, as the command line builds it."""
        config = RunConfig(
            network=self.network,
            latents=latents,
            options=self.options or {},
            objective=default_objective(named_network(self.network)),
            coefficients={"beta": 1.0},
            batch_size=self.batch,
        )
        return build_trainer(config, build_model(config, self.shape), dataset_size=self.images)

    def step(self, target: Target) -> Iterator[Part]:
        """One step on one device."""
        trainer = self.trainer()
        return whole(trainer.step, (_state(trainer), self._batch()), target)

    def epoch(self, target: Target) -> Iterator[Part]:
        """The programs that `train` runs in an epoch."""
        return self.one_by_one((None,), target)

    def one_by_one(self, sizes: Sequence[int | None], target: Target) -> Iterator[Part]:
        """The programs that `train` runs in an epoch of models of several sizes, one by one."""

        def run() -> None:
            for trainer in map(self.trainer, sizes):
                state = trainer.init(jax.random.key(0))
                train(trainer, state, self._all_images(), epochs=1, batch_size=self.batch)

        return parts_of(run, target, is_computed=False)

    def ensemble(self, sizes: Sequence[int], target: Target) -> Iterator[Part]:
        """The programs that `train_ensemble` runs in an epoch of members of these sizes."""
        trainer_of = cache(self.trainer)
        members = [Member(jax.random.key(seed), size) for seed, size in enumerate(sizes)]

        def run() -> None:
            ensemble = init_ensemble(trainer_of, members)
            trainer = trainer_of(max(sizes))
            train_ensemble(trainer, ensemble, self._all_images(), epochs=1, batch_size=self.batch)

        return parts_of(run, target, is_computed=False)

    def parallel(self, target: Target) -> Iterator[Part]:
        """One step whose batch is split over all devices."""
        trainer, mesh = self.trainer(), Mesh(np.array(target.devices), "batch")
        everywhere = NamedSharding(mesh, PartitionSpec())
        split = NamedSharding(mesh, PartitionSpec("batch"))
        given = placed(_state(trainer), everywhere), placed(self._batch(), split)
        step = jax.jit(trainer.step, out_shardings=everywhere)
        yield Part("step", 1, None, lambda: step.lower(*given))

    def _all_images(self) -> np.ndarray:
        return np.zeros((self.images, *self.shape), np.uint8)

    def _batch(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.batch, *self.shape), jnp.uint8)


def _state(trainer: Trainer) -> Any:
    return jax.eval_shape(trainer.init, jax.random.key(0))


NETWORKS = {
    "dense_vae": Network("dense_vae", (28, 28, 1), 128, 60_000),
    "wide_dense_vae": Network("wide_dense_vae", (64, 64, 1), 64),
    "convolutional_vae": Network("convolutional_vae", (32, 32, 1), 256, 48_000),
    "compact_vae": Network("compact_vae", (32, 32, 1), 64),
    "residual_vae": Network("residual_vae", (64, 64, 1), 64),
    "transformer_vae": Network("transformer_vae", (64, 64, 1), 64),
    "one_layer_hvae": Network("one_layer_hvae", (32, 32, 3), 128),
    "two_layer_hvae": Network("two_layer_hvae", (32, 32, 3), 128),
    "deep_hvae": Network("deep_hvae", (32, 32, 3), 64),
}
# A device has sixteen images, as in Child (2021).
FORTY_LAYERS = Network("deep_hvae", (32, 32, 3), 16, 50_000, DEEP)


def training_programs() -> dict[str, Program]:
    """The programs of training by name, those of small networks first."""
    steps = {f"{name}, step": network.step for name, network in NETWORKS.items()}
    epochs = {f"{name}, epoch": network.epoch for name, network in NETWORKS.items()}
    together = {
        f"{name}, {len(MEMBERS)} members": partial(NETWORKS[name].ensemble, MEMBERS)
        for name in ("dense_vae", "compact_vae", "convolutional_vae")
    }
    padded = {
        f"{name}, 2 to 128 latents, {how}": partial(programs, BOTTLENECKS)
        for name in ("dense_vae", "convolutional_vae")
        for how, programs in (
            ("one by one", NETWORKS[name].one_by_one),
            ("as one ensemble", NETWORKS[name].ensemble),
        )
    }
    parallel = {
        f"{name}, step on all devices": NETWORKS[name].parallel
        for name in ("dense_vae", "convolutional_vae")
    }
    deep = {"deep_hvae, 40 layers, bfloat16, step": FORTY_LAYERS.step}
    return steps | epochs | together | padded | parallel | deep
