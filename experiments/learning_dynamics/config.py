"""The configuration of learning dynamics, its presets, and the models that it consists of."""

import dataclasses
import math
from typing import NamedTuple

from jaxvae.commands.experiment import ImageSettings, option, require, require_least


class Objective(NamedTuple):
    """A coefficient, its values in the paper, and the rest of what an objective takes."""

    coefficient: str
    values: tuple[float, ...]
    rest: dict[str, float] = {}  # noqa: RUF012  a NamedTuple, never changed


OBJECTIVES = {
    "beta_vae": Objective("beta", (1, 2, 4, 6, 8)),
    "annealed_vae": Objective("capacity", (5, 10, 25, 50, 75), {"gamma": 1000.0}),
    "beta_tc_vae": Objective("beta", (1, 2, 4, 6, 8)),
    "weighted_beta_tc_vae": Objective("beta", (1, 2, 4, 6, 8)),
    "dip_vae_i": Objective("off_diagonal", (1, 2, 5, 10, 20)),
    "dip_vae_ii": Objective("off_diagonal", (1, 2, 5, 10, 20)),
    "factor_vae": Objective("gamma", (10, 20, 30, 40, 50)),
}

INITIALIZATIONS = ("flax", "pytorch", "keras")

NOISE = 0  # the seed of the posterior noise, the same for every model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageSettings):
    """Which models are trained, on which data, and how their layers are compared."""

    data: tuple[str, ...] = option(("sprites",), "data sets: sprites, TFDS names, or paths")
    train_size: int | None = option(None, "training images; all if not set", most="train")
    networks: tuple[str, ...] = option(
        ("compact_vae",), "networks, among those that jaxvae train --help lists"
    )
    initialization: str = option(
        "flax", f"how layers are initialized: {', '.join(INITIALIZATIONS)}"
    )
    objectives: tuple[str, ...] = option(
        ("beta_vae", "annealed_vae", "beta_tc_vae", "dip_vae_ii"),
        f"objectives, among {', '.join(OBJECTIVES)}",
    )
    values: int = option(
        5, "how many of the five strengths that every objective has in the paper are trained"
    )
    seeds: tuple[int, ...] = option(
        (0, 1, 2, 3, 4), "seeds; every strength is trained once with each, such as 0..4"
    )
    latents: int = option(10, "size of the bottleneck")
    epochs: int = option(26, "passes over the training images")
    snapshots: tuple[int, ...] = option(
        (2, 7, 14, 19),
        "epochs at which layers are compared, besides the untrained model and the last epoch",
    )
    batch_size: int = option(64, "training images in every step")
    learning_rate: float = option(1e-4, "learning rate of Adam")
    ramp: int | None = option(
        None, "steps over which the capacity of the annealed VAE grows; a third of all if not set"
    )
    points: int = option(5000, "distinct held-out images that CKA compares layers on", most="test")
    imbalance_points: int = option(
        2000, "how many of them the information imbalance compares layers on", most="test"
    )
    procrustes_points: int = option(
        1000, "how many of them Procrustes compares layers on", most="test"
    )
    costly_seeds: int = option(
        5, "Procrustes and the information imbalance are measured for seeds below this number"
    )

    def __post_init__(self) -> None:
        unknown = set(self.objectives) - set(OBJECTIVES)
        if unknown:
            raise ValueError(
                f"expected --objectives among {', '.join(OBJECTIVES)}, got {sorted(unknown)}"
            )
        fine = self.initialization in INITIALIZATIONS
        require(self, "initialization", f"among {list(INITIALIZATIONS)}", fine)
        for name, least, most in (
            ("values", 1, 5),
            ("epochs", 1, math.inf),
            ("costly_seeds", 0, math.inf),
            ("points", 4, math.inf),
            ("imbalance_points", 4, self.points),
            ("procrustes_points", 4, self.points),
        ):
            fine = least <= getattr(self, name) <= most
            expectation = f"of at least {least}" if most == math.inf else f"of {least} to {most}"
            require(self, name, expectation, fine)
        require_least(self, 0, "snapshots", "seeds")
        for name in ("data", "networks", "objectives", "seeds"):
            require(self, name, "of at least one", bool(getattr(self, name)))
            # One order and nothing twice: they name runs.
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        fine = self.ramp is None or self.ramp >= 1
        require(self, "ramp", "of at least 1", fine)

    @property
    def measured(self) -> tuple[int, ...]:
        """The untrained models, snapshots within the run, and its last epoch."""
        within = (epoch for epoch in self.snapshots if epoch < self.epochs)
        return tuple(sorted({0, *within, self.epochs}))


# The paper trains for 300,000 steps on all images of a set and compares on 10,000 of them. Here
# those that are compared are held out, so that epochs are shorter than the paper's and more of
# them make as many steps; snapshots are at the same shares of training. Procrustes, which takes
# n^3 operations for every pair of layers and which the paper has for Cars3D alone, is on all points
# there and on 1,000 elsewhere.
_PAPER = Config(
    networks=("compact_vae",),
    image_size=64,
    initialization="keras",
    objectives=("beta_vae", "annealed_vae", "weighted_beta_tc_vae", "dip_vae_ii"),
    ramp=100_000,
    points=10_000,
)


_SHOWN = Config(
    data=("sprites", "mnist"),
    image_size=32,
    train_size=8000,
    networks=("compact_vae", "dense_vae"),
    values=1,
    seeds=(0, 1, 2),
    epochs=10,
    snapshots=(1, 2, 4, 7),
    learning_rate=5e-4,
    points=800,
    imbalance_points=300,
    procrustes_points=100,
    costly_seeds=1,
)


PRESETS = {
    "smoke": dataclasses.replace(
        _SHOWN,
        data=("mnist",),
        train_size=1000,
        networks=("dense_vae",),
        objectives=("beta_vae", "factor_vae"),
        seeds=(0, 1),
        epochs=2,
        snapshots=(1,),
        points=200,
        imbalance_points=100,
        procrustes_points=50,
    ),
    "demo": dataclasses.replace(
        _SHOWN,
        data=("sprites",),
        train_size=4000,
        objectives=("beta_vae", "annealed_vae", "beta_tc_vae"),
        seeds=(0, 1),
        points=500,
        imbalance_points=200,
        procrustes_points=100,
    ),
    "shown": _SHOWN,
    "architectures": dataclasses.replace(
        _SHOWN,
        data=("sprites",),
        networks=("compact_vae", "wide_dense_vae", "residual_vae", "transformer_vae"),
        objectives=("beta_vae", "beta_tc_vae"),
    ),
    # 727,280 of 737,280 images, 11,363 steps an epoch.
    "paper-dsprites": dataclasses.replace(_PAPER, data=("sprites",), train_size=727_280),
    # 24,300 of 48,600, 379 steps an epoch; the paper has 759.
    "paper-smallnorb": dataclasses.replace(
        _PAPER, data=("smallnorb",), epochs=792, snapshots=(61, 213, 426, 579)
    ),
    # 15,812 of 17,568, 247 steps an epoch; no more images are held out than 1,756.
    "paper-cars3d": dataclasses.replace(
        _PAPER,
        data=("cars3d",),
        epochs=1215,
        snapshots=(93, 327, 654, 888),
        points=1756,
        imbalance_points=1756,
        procrustes_points=1756,
    ),
}


class Model(NamedTuple):
    """One model of the grid."""

    objective: str
    value: float
    seed: int


class DataAndNetwork(NamedTuple):
    """A data set and a network: the layers of all models that have both can be compared."""

    data: str
    network: str

    @property
    def name(self) -> str:
        """The name as a path of two folders, with no other separators in it.

        A path begins with none either: netCDF has no such groups, and commands take such files for
        options.
        """
        return "/".join(part.replace("/", "--").replace(":", "--").lstrip("-") for part in self)


def data_and_networks(config: Config) -> list[DataAndNetwork]:
    """All combinations of a data set and a network."""
    return [DataAndNetwork(data, network) for data in config.data for network in config.networks]


def models(config: Config) -> list[Model]:
    """All models of one data set and network."""
    return [
        Model(objective, value, seed)
        for objective in config.objectives
        for value in _spread(OBJECTIVES[objective].values, config.values)
        for seed in config.seeds
    ]


def run_name(group: DataAndNetwork, model: Model) -> str:
    """The name of a model, for a data set and network, as a run."""
    return f"{group.name}/{model.objective}_{model.value:g}_seed-{model.seed}"


def _spread(values: tuple[float, ...], count: int) -> list[float]:
    """Choose `count` of the values, evenly over their range; the middle one for 1."""
    positions = ((2 * i + 1) * len(values) / (2 * count) for i in range(count))
    return [values[int(position)] for position in positions]


def points_of(config: Config, seed: int) -> dict[str, int]:
    """The number of examples of every similarity that is measured, for models of a seed."""
    points = {"cka": config.points, "debiased_cka": config.points}
    if seed < config.costly_seeds:
        points |= {"procrustes": config.procrustes_points, "imbalance": config.imbalance_points}
    return points
