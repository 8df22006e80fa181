"""How the geometry of a VAE's layers changes as its bottleneck grows.

For every bottleneck size K and seed: train a VAE, and at chosen epochs measure on
held-out images the intrinsic dimension (ID) of every layer and the information
imbalance Delta between all pairs of layers.

Claims (Camboulin, Doimo and Glielmo 2024): once K exceeds the ID of the data, the
ID over layers becomes a double hunchback, with a second peak in the decoder; the
same transition shows in the imbalance; training at large K has two phases, a rapid
fit and then a slower one in which KL and imbalance move apart.

    python -m experiments.bottleneck                 # demo: sprites, no download, 2 minutes
    python -m experiments.bottleneck smoke           # some of MNIST, half a minute
    python -m experiments.bottleneck mnist           # dense VAEs, all of MNIST, 3 seeds
    python -m experiments.bottleneck paper-mnist     # the paper's network and training: a GPU
    python -m experiments.bottleneck paper-cifar10   # the same in color: a GPU

Models of similar size are trained in one program. One whose loss becomes NaN or infinite
stops there; the others go on, and it is left out of figures and summary.

The folder of results holds config.json, records.nc (xarray), figures/*.png and summary.md.
An interrupted sweep goes on where it stopped when the same command is given again.

Expected: the ID of the mean follows K while K is below the ID of the data and stops
growing above it; Delta(output -> input) falls until there and is flat beyond.
"""

import dataclasses
import json
import math
import sys
import time
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from rich.console import Console

from experiments.command import option, run_experiment
from experiments.groups import train_group
from experiments.output import open_output, refuse_other_settings
from experiments.records import read_arrays, record_file, unrecorded, write_arrays
from jaxvae.analysis import capture, evaluate, gaussian_dimension, profile
from jaxvae.data import Dataset, load
from jaxvae.data.whole import write_whole
from jaxvae.models import VAE, Variables, convolutional_vae, dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.report import conclusion, draw_figures, summary, sweep_progress, sweep_table
from jaxvae.report.progress import SweepProgress
from jaxvae.training import (
    Member,
    Trainer,
    TrainState,
    checkpoint,
    group_members,
    steps_per_epoch,
    vae_trainer,
)
from jaxvae.training.folder import sole_process
from jaxvae.typing import Key

NETWORKS = {"dense": dense_vae, "convolutional": convolutional_vae}
_EXAMPLES = 10
_MEMBERS = "members.json"
_PIXELS = ("height", "width", "channel")
# What is recorded of every run and epoch, with the dimensions that it has of its own.
_RECORDED = {
    "intrinsic_dimension": ("layer",),
    "intrinsic_dimension_stderr": ("layer",),
    "distinct_points": ("layer",),
    "imbalance": ("layer", "other_layer"),
    "reconstruction": (),
    "kl": (),
    "active_units": (),
    "failed": (),
    "example_reconstruction": ("example", *_PIXELS),
    "example_sample": ("example", *_PIXELS),
}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _refuse(expectation: str, value: object, *, unless: bool) -> None:
    if not unless:
        raise ValueError(f"expected {expectation}, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained, on what, and when it is measured."""

    data: str = option("mnist", "data set: sprites, or a TFDS name such as mnist")
    image_size: int | None = option(None, "resize images to this many pixels square")
    train_size: int | None = option(None, "training images (default: all)")
    points: int = option(2000, "test images that every layer is measured on")
    network: str = option("dense", f"one of {', '.join(NETWORKS)}")
    widths: tuple[int, ...] = option((512, 256), "layer widths, or channels, of the encoder")
    bottlenecks: tuple[int, ...] = option((2, 4, 8, 16, 32, 64), "bottleneck sizes K")
    seeds: int = option(3, "independent runs of every size")
    epochs: int = option(15, "passes over the training images")
    snapshots: tuple[int, ...] = option((0, 1, 2, 5, 10), "epochs measured, besides the last")
    batch_size: int = option(128, "images a step")
    learning_rate: float = option(1e-3, "of Adam")
    l2: float = option(0.0, "L2 penalty, added to the gradient before Adam")
    beta: float = option(1.0, "weight of the KL divergence")

    def __post_init__(self) -> None:
        networks = list(NETWORKS)
        _refuse(f"--network among {networks}", self.network, unless=self.network in networks)
        for name, least in (("seeds", 1), ("epochs", 1), ("batch_size", 1), ("points", 3)):
            value = getattr(self, name)
            _refuse(f"{_flag(name)} of at least {least}", value, unless=value >= least)
        for name, zero in (("learning_rate", False), ("beta", True), ("l2", True)):
            value = getattr(self, name)
            allowed = math.isfinite(value) and (value > 0 or (zero and value == 0))
            kind = "finite and not negative" if zero else "finite and positive"
            _refuse(f"{_flag(name)} {kind}", value, unless=allowed)
        for name, least in (("bottlenecks", 1), ("widths", 1), ("snapshots", 0)):
            value = getattr(self, name)
            _refuse(
                f"{_flag(name)} of at least {least}",
                value,
                unless=min(value, default=least) >= least,
            )
        # One order, so that records and figures read from small to large.
        for name in ("bottlenecks", "snapshots"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    @property
    def measured_epochs(self) -> tuple[int, ...]:
        """Snapshots within the run, and its last epoch."""
        return (*(epoch for epoch in self.snapshots if epoch < self.epochs), self.epochs)


_PAPER = Config(
    image_size=32,
    points=5000,
    network="convolutional",
    widths=(64, 128, 256, 256),
    bottlenecks=(2, 4, 8, 16, 32, 64, 128),
    seeds=3,
    epochs=200,
    snapshots=(0, 1, 2, 5, 10, 20, 50, 100, 150),
    batch_size=256,
    l2=1e-4,
)

PRESETS = {
    "smoke": Config(
        train_size=2000, points=500, bottlenecks=(2, 8), seeds=2, epochs=2, snapshots=(0,)
    ),
    "demo": Config(
        data="sprites",
        image_size=32,
        train_size=10_000,
        widths=(256, 128),
        points=1500,
        bottlenecks=(1, 2, 4, 8, 16),
        seeds=2,
        epochs=16,
        snapshots=(0, 1, 4),
    ),
    "mnist": Config(),
    "paper-mnist": dataclasses.replace(_PAPER, data="mnist", train_size=48_000),
    "paper-cifar10": dataclasses.replace(_PAPER, data="cifar10", train_size=40_000),
}


class Run(NamedTuple):
    """One model of the sweep."""

    latents: int
    seed: int

    @property
    def name(self) -> str:
        """As a folder."""
        return f"bottleneck-{self.latents}_seed-{self.seed}"

    @property
    def keys(self) -> tuple[Key, Key]:
        """Of training and of measuring."""
        train, measure = jax.random.split(
            jax.random.fold_in(jax.random.key(self.seed), self.latents)
        )
        return train, measure


def run(config: Config, out: Path, console: Console) -> None:
    """Train and measure what is not yet done, then draw it."""
    refuse_other_settings(out, config, extendable=("bottlenecks", "seeds"))
    dataset = _load(config) if _unfinished(config, out) else None
    open_output(out, config)
    with sole_process(out):
        if dataset is not None:
            _train(config, out, dataset, console)
        _report(config, out, console)


def _report(config: Config, out: Path, console: Console) -> None:
    records = _gather(config, out)
    write_whole(out / "records.nc", records.to_netcdf)
    trained = _trained(records, console)
    figures = draw_figures(trained, out / "figures")
    write_whole(out / "summary.md", lambda part: part.write_text(summary(trained)))
    console.print(sweep_table(trained), conclusion(trained), sep="\n")
    ends = f"\nfigures: {figures[0].parent}/*.png   records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)


def _trained(records: xr.Dataset, console: Console) -> xr.Dataset:
    """The seeds of which no run failed, or else the bottlenecks of which none did."""
    failed = records["failed"].any("epoch")
    if not failed.any():
        return records
    seeds, sizes = ~failed.any("bottleneck"), ~failed.any("seed")
    if not seeds.any() and not sizes.any():
        raise ValueError(
            "expected a seed, or a bottleneck, of which no run failed, got none: losses became "
            "NaN or infinite; try a smaller --learning-rate and another --out"
        )
    lost = [
        f"K = {size}, seed {seed}"
        for size in failed["bottleneck"].values
        for seed in failed["seed"].values
        if failed.sel(bottleneck=size, seed=seed)
    ]
    left_out = "their seeds" if seeds.any() else "their bottlenecks"
    console.print(f"failed: {'; '.join(lost)}; {left_out} are left out below", soft_wrap=True)
    return records.sel(seed=seeds) if seeds.any() else records.sel(bottleneck=sizes)


def _load(config: Config) -> Dataset:
    """The data, once it is known that these settings can be trained on it."""
    dataset = load(config.data, image_size=config.image_size, train_size=config.train_size)
    available = len(dataset.test.images)
    _refuse(
        f"--points up to the {available} test images of {config.data}",
        config.points,
        unless=config.points <= available,
    )
    steps_per_epoch(dataset.train.images, config.batch_size)
    _model(config, dataset.train.images.shape[1:], config.bottlenecks[0])
    return dataset


def _train(config: Config, out: Path, dataset: Dataset, console: Console) -> None:
    images, todo = jnp.asarray(dataset.train.images), _unfinished(config, out)
    groups = [group for group in _groups(config, out) if set(todo) & set(group)]
    of = len(config.bottlenecks) * config.seeds
    console.print(
        f"{len(todo)} of {of} runs to do, {len(groups)} programs; results in {out}", soft_wrap=True
    )
    with sweep_progress(console, runs=len(groups)) as progress:
        for group in groups:
            _train_group(
                config,
                out,
                group,
                images=images,
                test_images=dataset.test.images,
                progress=progress,
            )


def _train_group(
    config: Config,
    out: Path,
    group: list[Run],
    *,
    images: jax.Array,
    test_images: np.ndarray,
    progress: SweepProgress,
) -> None:
    """Train some runs together, measuring them at their snapshots."""
    start, folder = time.perf_counter(), out / "groups" / group[0].name
    write_whole(folder / _MEMBERS, lambda part: part.write_text(json.dumps(group)))
    sizes = sorted({run.latents for run in group})
    steps = config.epochs * steps_per_epoch(images, config.batch_size)
    progress.start(f"K = {', '.join(map(str, sizes))}", steps)
    model_of = partial(_model, config, images.shape[1:])

    def record(index: int, epoch: int, state: TrainState) -> None:
        run = group[index]
        place = _folder(out, run)
        vae, variables = model_of(run.latents)[0], state.variables
        checkpoint.save(place / "snapshots", epoch, variables)
        found = _measure(vae, variables, test_images, config.points, key=run.keys[1])
        write_arrays(record_file(place, epoch), found)

    train_group(
        lambda latents: model_of(latents)[1],
        [Member(run.keys[0], run.latents) for run in group],
        images,
        epochs=sorted({epoch for run in group for epoch in _missing(config, out, run)}),
        batch_size=config.batch_size,
        record=record,
        resume=folder,
        progress=progress,
    )
    lines = [_outcome(config, out, run) for run in group]
    progress.finish("\n".join([*lines, f"({time.perf_counter() - start:.0f} s)"]))


def _outcome(config: Config, out: Path, run: Run) -> str:
    last = read_arrays(record_file(_folder(out, run), config.epochs))
    name = f"K = {run.latents}, seed {run.seed}"
    if last["failed"]:
        return f"{name}: failed, the loss became NaN or infinite"
    return (
        f"{name}: reconstruction {float(last['reconstruction']):.1f}, KL {float(last['kl']):.1f} "
        f"nats, {int(last['active_units'])} active units"
    )


def _groups(config: Config, out: Path) -> list[list[Run]]:
    """Runs that share a program.

    Those that began together stay together, so that their numbers do not depend on where they
    were interrupted, nor on the runs that were added later.
    """
    begun = [
        [Run(*pair) for pair in json.loads(file.read_text())]
        for file in sorted((out / "groups").glob(f"*/{_MEMBERS}"))
    ]
    known = {run for group in begun for run in group}
    new = [run for run in _runs(config) if run not in known]
    return [*begun, *map(list, group_members(new))]


def _measure(
    vae: VAE, variables: Variables, images: np.ndarray, points: int, *, key: Key
) -> dict[str, Any]:
    """Everything that is recorded of one snapshot; NaN for a model that has failed."""
    examples = min(_EXAMPLES, points)
    test_key, tap_key, sample_key = jax.random.split(key, 3)
    evaluation = evaluate(vae, variables, images, key=test_key)
    failed = not (jnp.isfinite(evaluation.reconstruction) and jnp.isfinite(evaluation.kl))
    if failed:
        # Its geometry would be that of NaN: measured on a new model, for names and shapes.
        variables = vae.init(key)
    taps = capture(vae, variables, images[:points], key=tap_key)
    geometry = profile(taps)
    prior = jax.random.normal(sample_key, (examples, vae.latents))
    measured = {
        "intrinsic_dimension": geometry.dimension,
        "intrinsic_dimension_stderr": geometry.stderr,
        "distinct_points": geometry.points,
        "imbalance": geometry.imbalance,
        "reconstruction": np.asarray(evaluation.reconstruction),
        "kl": np.asarray(evaluation.kl),
        "active_units": np.asarray(evaluation.active_units),
        "example_reconstruction": _bytes(taps["output"][:examples]),
        "example_sample": _bytes(vae.decode(variables, prior)),
    }
    if failed:
        measured = {name: np.full_like(v, np.nan, dtype=float) for name, v in measured.items()}
    return measured | {
        "failed": np.asarray(failed),
        "layer": np.array(geometry.layers),
        "example_input": images[:examples],
    }


def _gather(config: Config, out: Path) -> xr.Dataset:
    """The records of all runs as one labelled data set."""
    runs = [
        [
            [
                read_arrays(record_file(_folder(out, Run(size, seed)), epoch))
                for epoch in config.measured_epochs
            ]
            for seed in range(config.seeds)
        ]
        for size in config.bottlenecks
    ]
    first = runs[0][0][0]
    records = xr.Dataset(
        {
            name: (
                ("bottleneck", "seed", "epoch", *inner),
                np.array([[[record[name] for record in seed] for seed in size] for size in runs]),
            )
            for name, inner in _RECORDED.items()
        },
        coords={
            "bottleneck": list(config.bottlenecks),
            "seed": range(config.seeds),
            "epoch": list(config.measured_epochs),
            "layer": first["layer"],
            "other_layer": first["layer"],
        },
        attrs={
            "data": config.data,
            "network": config.network,
            "points": config.points,
            "units": "reconstruction and kl: nats per image, over the whole test split",
            "estimators": "intrinsic_dimension: TwoNN, 10% discarded; imbalance: k = 1",
        },
    )
    return _with_derived(records, config.points).assign(
        example_input=(("example", *_PIXELS), first["example_input"])
    )


def _with_derived(records: xr.Dataset, points: int) -> xr.Dataset:
    """Adds the imbalance to and from input and output, and the Gaussian null."""
    imbalance = records["imbalance"]
    for name in ("input", "output"):
        records[f"imbalance_to_{name}"] = imbalance.sel(other_layer=name, drop=True)
        records[f"imbalance_from_{name}"] = imbalance.sel(layer=name, drop=True).rename(
            other_layer="layer"
        )
    key = jax.random.key(0)
    nulls = [
        gaussian_dimension(key, n=points, features=size) for size in records["bottleneck"].values
    ]
    records["intrinsic_dimension_null"] = ("bottleneck", [mean for mean, _ in nulls])
    records["intrinsic_dimension_null_std"] = ("bottleneck", [std for _, std in nulls])
    return records


@cache
def _model(config: Config, image_shape: tuple[int, int, int], latents: int) -> tuple[VAE, Trainer]:
    """One object for all seeds, so that they share one compilation."""
    vae = NETWORKS[config.network](image_shape=image_shape, latents=latents, widths=config.widths)
    optimizer = optax.chain(optax.add_decayed_weights(config.l2), optax.adam(config.learning_rate))
    return vae, vae_trainer(vae, beta_vae, optimizer, coefficients={"beta": config.beta})


def _runs(config: Config) -> list[Run]:
    return [Run(size, seed) for size in config.bottlenecks for seed in range(config.seeds)]


def _unfinished(config: Config, out: Path) -> list[Run]:
    return [run for run in _runs(config) if _missing(config, out, run)]


def _missing(config: Config, out: Path, run: Run) -> list[int]:
    """The epochs without a record."""
    return unrecorded(_folder(out, run), config.measured_epochs)


def _folder(out: Path, run: Run) -> Path:
    return out / "runs" / run.name


def _bytes(probabilities: jax.typing.ArrayLike) -> np.ndarray:
    return np.rint(np.asarray(probabilities) * 255).astype(np.uint8)


def main() -> int:
    """Run from the command line."""
    return run_experiment("bottleneck", __doc__ or "", PRESETS, run)


if __name__ == "__main__":
    sys.exit(main())
