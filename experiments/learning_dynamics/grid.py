"""What is trained and compared: objectives and strengths, seeds, networks and data."""

import dataclasses
import math
from typing import NamedTuple

from jaxvae.commands.experiment import ImageSettings, option, refuse_unless


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
    """What is trained, on what, and how it is compared."""

    data: tuple[str, ...] = option(("sprites",), "data sets: sprites, TFDS names, or paths")
    train_size: int | None = option(None, "training images (default: all)", most="train")
    networks: tuple[str, ...] = option(("compact_vae",), "see jaxvae train --help")
    initialization: str = option("flax", f"of layers: {', '.join(INITIALIZATIONS)}")
    objectives: tuple[str, ...] = option(
        ("beta_vae", "annealed_vae", "beta_tc_vae", "dip_vae_ii"), f"of {', '.join(OBJECTIVES)}"
    )
    values: int = option(5, "how many of the five strengths of every objective in the paper")
    seeds: tuple[int, ...] = option(
        (0, 1, 2, 3, 4), "independent runs of every strength, such as 0..4"
    )
    latents: int = option(10, "size of the bottleneck")
    epochs: int = option(26, "passes over the training images")
    snapshots: tuple[int, ...] = option(
        (2, 7, 14, 19), "epochs at which models are compared, besides untrained and last"
    )
    batch_size: int = option(64, "images a step")
    learning_rate: float = option(1e-4, "of Adam")
    ramp: int | None = option(None, "steps over which capacity grows (default: a third of all)")
    points: int = option(5000, "held-out images for CKA", most="test")
    imbalance_points: int = option(2000, "of them, for the information imbalance", most="test")
    procrustes_points: int = option(1000, "of them, for Procrustes", most="test")
    costly_seeds: int = option(5, "Procrustes and imbalance compare layers of seeds below this")

    def __post_init__(self) -> None:
        unknown = set(self.objectives) - set(OBJECTIVES)
        if unknown:
            raise ValueError(
                f"expected --objectives among {', '.join(OBJECTIVES)}, got {sorted(unknown)}"
            )
        fine = self.initialization in INITIALIZATIONS
        refuse_unless(self, "initialization", f"among {list(INITIALIZATIONS)}", unless=fine)
        for name, least, most in (
            ("values", 1, 5),
            ("epochs", 1, math.inf),
            ("costly_seeds", 0, math.inf),
            ("points", 4, math.inf),
            ("imbalance_points", 4, self.points),
            ("procrustes_points", 4, self.points),
        ):
            fine = least <= getattr(self, name) <= most
            refuse_unless(self, name, f"of {least} to {most}", unless=fine)
        for name in ("snapshots", "seeds"):
            fine = min(getattr(self, name), default=0) >= 0
            refuse_unless(self, name, "of at least 0", unless=fine)
        for name in ("data", "networks", "objectives", "seeds"):
            refuse_unless(self, name, "of at least one", unless=bool(getattr(self, name)))
            # One order and nothing twice: they name runs.
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        fine = self.ramp is None or self.ramp >= 1
        refuse_unless(self, "ramp", "of at least 1", unless=fine)

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


class Place(NamedTuple):
    """A data set and a network: models whose layers can be compared."""

    data: str
    network: str

    @property
    def name(self) -> str:
        """As a path of two folders."""
        return "/".join(each.replace("/", "--").replace(":", "--") for each in self)


def places(config: Config) -> list[Place]:
    """All of them."""
    return [Place(data, network) for data in config.data for network in config.networks]


def models(config: Config) -> list[Model]:
    """All models of one data set and network."""
    return [
        Model(objective, value, seed)
        for objective in config.objectives
        for value in _spread(OBJECTIVES[objective].values, config.values)
        for seed in config.seeds
    ]


def run_name(place: Place, model: Model) -> str:
    """The name of a model of a place as a run."""
    return f"{place.name}/{model.objective}_{model.value:g}_seed-{model.seed}"


def _spread(values: tuple[float, ...], count: int) -> list[float]:
    """So many of the values, from all over their range; the middle one for 1."""
    places = ((2 * i + 1) * len(values) / (2 * count) for i in range(count))
    return [values[int(place)] for place in places]


def points_of(config: Config, seed: int) -> dict[str, int]:
    """On how many examples what is compared, for models of this seed."""
    points = {"cka": config.points, "debiased_cka": config.points}
    if seed < config.costly_seeds:
        points |= {"procrustes": config.procrustes_points, "imbalance": config.imbalance_points}
    return points
