"""The configuration of a bottleneck sweep, its presets, and the runs that it consists of."""

import dataclasses
import math
from typing import TYPE_CHECKING

from jaxvae.commands.experiment import ImageSettings, option, require, require_least

if TYPE_CHECKING:
    from jaxvae.data import Dataset
    from jaxvae.runs.config import RunConfig

NETWORKS = ("dense", "convolutional")
# No more models are compared: their pairs grow as the square.
_MOST_COMPARED = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageSettings):
    """Which models are trained, on which data, and at which epochs they are measured."""

    data: str = option(
        "mnist", "data set: sprites, a TFDS name such as mnist, or the path of images"
    )
    train_size: int | None = option(None, "training images; all if not set", most="train")
    test_size: int | None = option(None, "held-out images; all if not set", most="test")
    points: int = option(
        2000, "distinct held-out images that every layer is measured on", most="test"
    )
    network: str = option("dense", f"one of {', '.join(NETWORKS)}")
    widths: tuple[int, ...] = option(
        (512, 256), "units of every dense layer, or channels of every convolution, of the encoder"
    )
    bottlenecks: tuple[int, ...] = option((2, 4, 8, 16, 32, 64), "bottleneck sizes K")
    seeds: tuple[int, ...] = option(
        (0, 1, 2), "seeds; every size is trained once with each, such as 0..4"
    )
    epochs: int = option(15, "passes over the training images")
    snapshots: tuple[int, ...] = option(
        (0, 1, 2, 5, 10), "epochs at which models are measured, besides the last one"
    )
    batch_size: int = option(128, "training images in every step")
    learning_rate: float = option(1e-3, "learning rate of Adam")
    l2: float = option(
        0.0, "L2 penalty (weight decay), added to the gradient of the mean loss before Adam"
    )
    epsilon: float = option(1e-8, "epsilon of Adam, which divides by sqrt(second moment) + epsilon")
    beta: float = option(1.0, "beta, the weight of the KL divergence in the loss")

    def __post_init__(self) -> None:
        networks = list(NETWORKS)
        require(self, "network", f"among {networks}", self.network in networks)
        require_least(self, 1, "epochs", "batch_size")
        require_least(self, 3, "points")
        for name, zero in (
            ("learning_rate", False),
            ("epsilon", False),
            ("beta", True),
            ("l2", True),
        ):
            value = getattr(self, name)
            allowed = math.isfinite(value) and (value > 0 or (zero and value == 0))
            kind = "finite and not negative" if zero else "finite and positive"
            require(self, name, kind, allowed)
        require_least(self, 1, "bottlenecks", "widths")
        require_least(self, 0, "snapshots", "seeds")
        for name in ("bottlenecks", "seeds"):
            require(self, name, "of at least one", bool(getattr(self, name)))
        # One order, so that records and figures read from small to large.
        for name in ("bottlenecks", "snapshots", "seeds"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Snapshots within the run, and its last epoch."""
        return (*(epoch for epoch in self.snapshots if epoch < self.epochs), self.epochs)


# The paper's loss is the sum over a batch, ours is the mean. Adam takes the same steps for both,
# if what is added to the gradient and to its root mean square is divided by the batch size too.
_PAPER_BATCH = 256
_PAPER = Config(
    image_size=32,
    points=5000,
    network="convolutional",
    widths=(64, 128, 256, 256),
    bottlenecks=(2, 4, 8, 16, 32, 64, 128),
    seeds=(0, 1, 2),
    epochs=200,
    snapshots=(0, 1, 2, 5, 10, 20, 50, 75, 100, 150),
    batch_size=_PAPER_BATCH,
    l2=1e-4 / _PAPER_BATCH,
    epsilon=1e-8 / _PAPER_BATCH,
)


PRESETS = {
    "smoke": Config(
        train_size=2000, points=500, bottlenecks=(2, 8), seeds=(0, 1), epochs=2, snapshots=(0,)
    ),
    "demo": Config(
        data="sprites",
        image_size=32,
        train_size=10_000,
        test_size=2000,
        widths=(128, 64),
        points=1000,
        bottlenecks=(2, 4, 8, 16),
        # With two, a size that varies more than the others would exclude nothing.
        seeds=(0, 1, 2),
        epochs=7,
        snapshots=(0, 1, 3),
        learning_rate=2e-3,
    ),
    "mnist": Config(),
    "paper-mnist": dataclasses.replace(_PAPER, data="mnist", train_size=48_000),
    "paper-cifar10": dataclasses.replace(_PAPER, data="cifar10", train_size=40_000),
}


def run_name(latents: int, seed: int) -> str:
    """The name of a model of the sweep."""
    return f"bottleneck-{latents}_seed-{seed}"


def runs(config: Config) -> "dict[str, RunConfig]":
    """All models of the sweep, by name, as runs that `jaxvae train` could train."""
    from jaxvae.runs.config import RunConfig  # noqa: PLC0415  it imports JAX, help does not

    return {
        run_name(latents, seed): RunConfig(
            data=config.data,
            **config.image_settings,
            train_size=config.train_size,
            network=f"{config.network}_vae",
            options={"widths": list(config.widths)},
            latents=latents,
            objective="beta_vae",
            coefficients={"beta": config.beta},
            learning_rate=config.learning_rate,
            epsilon=config.epsilon,
            l2=config.l2,
            batch_size=config.batch_size,
            epochs=config.epochs,
            seed=seed,
        )
        for latents in config.bottlenecks
        for seed in config.seeds
    }


def compared_seeds(config: Config) -> tuple[int, ...]:
    """The seeds of the models that are compared with each other, all with all."""
    return config.seeds[: max(1, _MOST_COMPARED // len(config.bottlenecks))]


def load(config: Config) -> "Dataset":
    """The data of all models."""
    from jaxvae.runs.images import dataset_of  # noqa: PLC0415

    return dataset_of(next(iter(runs(config).values())), test_size=config.test_size)
