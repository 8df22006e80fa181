"""What is trained and compared: objectives and strengths, seeds, networks and data."""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

from experiments.command import option, refuse_unless


class Objective(NamedTuple):
    """A coefficient, its values in the paper, and the rest of what an objective takes."""

    coefficient: str
    values: tuple[float, ...]
    rest: dict[str, float] = {}  # noqa: RUF012  a NamedTuple, never changed


OBJECTIVES = {
    "beta_vae": Objective("beta", (1, 2, 4, 6, 8)),
    "annealed_vae": Objective("capacity", (5, 10, 25, 50, 75), {"gamma": 1000.0}),
    "beta_tc_vae": Objective("beta", (1, 2, 4, 6, 8)),
    "dip_vae_i": Objective("off_diagonal", (1, 2, 5, 10, 20)),
    "dip_vae_ii": Objective("off_diagonal", (1, 2, 5, 10, 20)),
    "factor_vae": Objective("gamma", (10, 20, 30, 40, 50)),
}

NOISE = 0  # the seed of the posterior noise, the same for every model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained, on what, and how it is compared."""

    data: tuple[str, ...] = option(("sprites",), "data sets: sprites, or TFDS names")
    image_size: int | None = option(None, "resize images to this many pixels square")
    train_size: int | None = option(None, "training images (default: all)")
    networks: tuple[str, ...] = option(("compact_vae",), "see jaxvae train --help")
    objectives: tuple[str, ...] = option(tuple(OBJECTIVES), f"of {', '.join(OBJECTIVES)}")
    values: int = option(5, "how many of the five strengths of every objective in the paper")
    seeds: int = option(5, "independent runs of every strength")
    latents: int = option(10, "size of the bottleneck")
    epochs: int = option(26, "passes over the training images")
    snapshots: int = option(5, "evenly spaced epochs at which models are compared")
    early: tuple[int, ...] = option((), "epochs at which models are compared besides")
    batch_size: int = option(64, "images a step")
    learning_rate: float = option(1e-4, "of Adam")
    points: int = option(5000, "held-out images for CKA")
    imbalance_points: int = option(2000, "of them, for the information imbalance")
    procrustes_points: int = option(1000, "of them, for Procrustes")
    costly_seeds: int = option(5, "seeds whose layers Procrustes and imbalance compare")

    def __post_init__(self) -> None:
        unknown = set(self.objectives) - set(OBJECTIVES)
        if unknown:
            raise ValueError(
                f"expected --objectives among {', '.join(OBJECTIVES)}, got {sorted(unknown)}"
            )
        for name, least, most in (
            ("values", 1, 5),
            ("seeds", 1, math.inf),
            ("epochs", 1, math.inf),
            ("snapshots", 1, self.epochs),
            ("costly_seeds", 0, math.inf),
            ("points", 4, math.inf),
            ("imbalance_points", 4, self.points),
            ("procrustes_points", 4, self.points),
        ):
            fine = least <= getattr(self, name) <= most
            refuse_unless(self, name, f"of {least} to {most}", unless=fine)

    @property
    def measured(self) -> tuple[int, ...]:
        """The epochs at which models are compared, the first one untrained."""
        even = (round(self.epochs * i / self.snapshots) for i in range(self.snapshots + 1))
        return tuple(sorted({0, *(e for e in self.early if 0 < e < self.epochs), *even}))


_PAPER = Config(networks=("compact_vae",), image_size=64)


_SHOWN = Config(
    data=("sprites", "mnist"),
    image_size=32,
    train_size=8000,
    networks=("compact_vae", "dense_vae"),
    objectives=("beta_vae", "annealed_vae", "beta_tc_vae", "dip_vae_ii"),
    values=1,
    seeds=3,
    epochs=10,
    early=(1,),
    learning_rate=5e-4,
    points=1000,
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
        seeds=2,
        epochs=2,
        snapshots=2,
        early=(),
        points=200,
        imbalance_points=100,
        procrustes_points=50,
    ),
    "demo": dataclasses.replace(
        _SHOWN,
        data=("sprites",),
        train_size=4000,
        objectives=("beta_vae", "annealed_vae", "beta_tc_vae"),
        seeds=2,
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
    "paper-dsprites": dataclasses.replace(_PAPER, data=("sprites",), early=(2, 7)),
    "paper-smallnorb": dataclasses.replace(_PAPER, data=("smallnorb",), epochs=395, early=(10,)),
    "paper-cars3d": dataclasses.replace(_PAPER, data=("cars3d",), epochs=1090, early=(20,)),
}


class Model(NamedTuple):
    """One model of the grid."""

    objective: str
    value: float
    seed: int

    @property
    def name(self) -> str:
        """As a folder."""
        return f"{self.objective}_{self.value:g}_seed-{self.seed}"


class Place(NamedTuple):
    """A data set and a network: models whose layers can be compared."""

    data: str
    network: str

    def folder(self, out: Path) -> Path:
        """Where its models are."""
        return out / "runs" / self.data.replace("/", "--") / self.network.rpartition(":")[2]


def models(config: Config) -> list[Model]:
    """All models of one data set and network."""
    return [
        Model(objective, value, seed)
        for objective in config.objectives
        for value in _spread(OBJECTIVES[objective].values, config.values)
        for seed in range(config.seeds)
    ]


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
