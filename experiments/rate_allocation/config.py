"""The configuration of a grid of betas, its presets, and the models that it consists of."""

import dataclasses
import math
from itertools import product, starmap
from typing import Any, NamedTuple

import numpy as np

from jaxvae.commands.experiment import ImageSettings, option, require, require_least

NETWORKS = ("two_layer", "ladder", "deep", "one_layer")
LIKELIHOODS = ("bernoulli", "gaussian", "logistic_mixture")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageSettings):
    """Which models are trained, with which betas, on which data, and how they are measured."""

    data: str = option("mnist", "data set with labels: sprites, a TFDS name, or a path")
    train_size: int | None = option(None, "training images; all if not set", most="train")
    test_size: int | None = option(None, "held-out images; all if not set", most="test")
    binarize: bool = option(True, "make every pixel black or white, at half of its range")
    network: str = option("two_layer", f"one of {', '.join(NETWORKS)}")
    channels: int = option(16, "channels of the network's convolutions, and of z_1")
    top: int = option(20, "latent dimensions of z_2, of the two-layer network and the ladder")
    blocks: tuple[int, ...] = option(
        (3,), "layers of latents at every resolution, of the deep network"
    )
    likelihood: str = option("bernoulli", f"one of {', '.join(LIKELIHOODS)}")
    standard_deviation: float = option(0.71, "standard deviation of the gaussian likelihood")
    beta_top: tuple[float, ...] = option(
        (0.3, 1.0, 3.0), "betas of the grid, weights of the rate, of the top layer"
    )
    beta_bottom: tuple[float, ...] = option(
        (0.3, 1.0, 3.0), "betas of the grid, weights of the rate, of the bottom layer"
    )
    seeds: tuple[int, ...] = option(
        (0,), "seeds; every cell of the grid is trained once with each, such as 0..4"
    )
    baseline: bool = option(
        False, "also train one-layer VAEs of the same size, with every beta of the grid"
    )
    epochs: int = option(15, "passes over the training images")
    snapshots: tuple[int, ...] = option(
        (1, 2, 5), "epochs at which models are measured, besides the last one"
    )
    beta_warmup: float = option(
        0.0, "share of training over which betas grow from 0 to their values"
    )
    batch_size: int = option(128, "training images in every step")
    learning_rate: float = option(1e-3, "learning rate of Adam")
    points: int = option(
        2000,
        "held-out images that are classified, whose latents are shuffled, and on which the "
        "geometry of layers is measured",
        most="test",
    )
    labeled: int = option(
        2000, "training images that classifiers of latents learn from", most="train"
    )
    samples: int = option(2000, "images that every model generates")
    judge_epochs: int = option(
        3, "passes over the training images of the classifier that judges generated images"
    )

    def __post_init__(self) -> None:
        for name, among in (("network", NETWORKS), ("likelihood", LIKELIHOODS)):
            fine = getattr(self, name) in among
            require(self, name, f"among {', '.join(among)}", fine)
        for name in ("beta_top", "beta_bottom"):
            betas = getattr(self, name)
            fine = bool(betas) and all(math.isfinite(beta) and beta > 0 for beta in betas)
            require(self, name, "of at least one finite, positive beta", fine)
        for name in ("learning_rate", "standard_deviation"):
            value = getattr(self, name)
            fine = math.isfinite(value) and value > 0
            require(self, name, "finite and positive", fine)
        fine = not self.baseline or self.network == "two_layer"
        require(self, "baseline", "with --network two_layer alone", fine)
        require(self, "beta_warmup", "from 0 to 1", 0 <= self.beta_warmup <= 1)
        require_least(self, 1, "epochs", "batch_size", "judge_epochs")
        require_least(self, 20, "points", "labeled", "samples")
        require_least(self, 0, "snapshots", "seeds")
        require(self, "seeds", "of at least one", bool(self.seeds))
        # One order, so that records and figures read from small to large.
        for name in ("beta_top", "beta_bottom", "snapshots", "seeds"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Snapshots within the run, and its last epoch."""
        return (*(epoch for epoch in self.snapshots if epoch < self.epochs), self.epochs)


def _decades(count: int) -> tuple[float, ...]:
    """Betas from 0.1 to 10, with a constant ratio from each to the next."""
    return tuple(round(float(beta), 6) for beta in np.geomspace(0.1, 10, count))


_PAPER = Config(
    baseline=True,
    beta_top=_decades(21),
    beta_bottom=_decades(21),
    epochs=200,
    snapshots=(1, 2, 5, 10, 20, 50, 100),
    batch_size=256,
    learning_rate=3e-4,
    points=5000,
    labeled=5000,
    samples=10_000,
    judge_epochs=10,
)

_COLOR = dataclasses.replace(
    _PAPER, binarize=False, channels=32, top=32, likelihood="gaussian", image_size=32
)

# The ladder's betas grow from 0 over a fifth of training.
_LADDER: dict[str, Any] = {"network": "ladder", "beta_warmup": 0.2, "baseline": False}
_CIFAR10 = dataclasses.replace(_COLOR, data="cifar10", epochs=500)

_DEMO = Config(
    data="sprites",
    image_size=32,
    train_size=4000,
    epochs=10,
    points=1000,
    labeled=1000,
    samples=1000,
    judge_epochs=20,
)


PRESETS = {
    "smoke": dataclasses.replace(
        _DEMO,
        data="mnist",
        image_size=None,
        train_size=1000,
        beta_top=(0.3, 3.0),
        beta_bottom=(0.3, 3.0),
        epochs=2,
        snapshots=(1,),
        batch_size=50,
        points=200,
        labeled=200,
        samples=200,
        judge_epochs=1,
    ),
    "demo": _DEMO,
    # With a fifth of the steps, and betas that do not grow from 0, half of the cells were off their
    # optimum by more than a nat.
    "mnist": Config(
        train_size=10_000,
        beta_top=_decades(7),
        beta_bottom=_decades(7),
        epochs=28,
        snapshots=(14, 21),
        beta_warmup=0.6,
        batch_size=64,
        points=1000,
        labeled=1000,
        samples=1000,
    ),
    "deep": Config(
        train_size=4000,
        network="deep",
        beta_top=(0.3, 3.0),
        epochs=10,
        points=1000,
        labeled=1000,
        samples=1000,
    ),
    "paper-mnist": _PAPER,
    "paper-cifar10": _CIFAR10,
    "paper-svhn": dataclasses.replace(_COLOR, data="svhn_cropped"),
    "paper-mnist-ladder": dataclasses.replace(_PAPER, **_LADDER),
    "paper-cifar10-ladder": dataclasses.replace(_CIFAR10, **_LADDER),
    "paper-cifar10-mixture": dataclasses.replace(_CIFAR10, likelihood="logistic_mixture"),
}


class GridModel(NamedTuple):
    """One model of the grid."""

    beta_top: float
    beta_bottom: float
    seed: int

    @property
    def name(self) -> str:
        """The name of the run of this model."""
        return f"top-{self.beta_top}_bottom-{self.beta_bottom}_seed-{self.seed}"

    def betas(self, layers: int) -> tuple[float, ...]:
        """The beta of every layer, from the top to the bottom, in seven digits."""
        betas = np.geomspace(self.beta_top, self.beta_bottom, layers)
        return tuple(float(f"{beta:.7g}") for beta in betas)


def grid_models(config: Config) -> list[GridModel]:
    """All models of the grid, in the order of the axes of its records."""
    return list(starmap(GridModel, product(config.beta_top, config.beta_bottom, config.seeds)))
