"""Which layers of a VAE are learned when, over objectives, seeds, networks and data.

For every data set, network, objective, strength of the objective and seed: train a VAE,
capture all layers at evenly spaced epochs and before training, on the same held-out images
with the same noise, and compare them: between layers and epochs of a model, and between
models at the end.

Claims (Bonheme and Grzes 2022): the encoder's representations are learned long before the
decoder's; whatever the objective, its strength and the data; and all of the encoder's but
the mean and the variance are alike over objectives and strengths. Left open there, asked
here: fully connected and other networks.

    python -m experiments.learning_dynamics                  # demo: sprites, no download
    python -m experiments.learning_dynamics smoke            # some of MNIST, a minute or two
    python -m experiments.learning_dynamics shown            # what the README shows
    python -m experiments.learning_dynamics architectures    # four kinds of networks
    python -m experiments.learning_dynamics paper-dsprites   # the paper's size: a GPU
    python -m experiments.learning_dynamics paper-smallnorb
    python -m experiments.learning_dynamics paper-cars3d

The folder of results holds config.json, records.nc (xarray, one group for every data set and
network), figures/DATA/NETWORK/*.png, figures/*.png and summary.md. Every model is a saved run,
which `jaxvae report` and `jaxvae capture` read. An interrupted experiment goes on where it
stopped when the same command is given again.

Expected: an encoder reaches its final representation before its decoder does.
"""

import dataclasses
import math
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from rich.console import Console

from experiments.command import option, run_experiment
from experiments.groups import train_group
from experiments.output import open_output, refuse_other_settings
from experiments.records import is_written, read_arrays, record_file, unrecorded, write_arrays
from jaxvae.analysis import capture, evaluate
from jaxvae.analysis.dynamics import SIMILARITIES, similarities, similarities_between
from jaxvae.data import Dataset, load
from jaxvae.data.whole import write_whole
from jaxvae.models import VAE, Variables
from jaxvae.report import sweep_progress
from jaxvae.report.dynamics_figures import draw_dynamics
from jaxvae.report.dynamics_summary import dynamics_summary, dynamics_table
from jaxvae.report.progress import SweepProgress
from jaxvae.training import Member, TrainState, checkpoint, steps_per_epoch
from jaxvae.training.config import RunConfig, build_model, build_trainer, write_config
from jaxvae.training.folder import sole_process


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
# Of the annealed capacity, as a share of all steps: a third in the paper.
_RAMP = 1 / 3
_NOISE = 0  # the seed of the posterior noise, the same for every model


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
            value = getattr(self, name)
            if not least <= value <= most:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"expected {flag} of {least} to {most}, got {value}")

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


def run(config: Config, out: Path, console: Console) -> None:
    """Train and compare what is not yet done, then draw it."""
    refuse_other_settings(out, config, extendable=("data", "networks", "objectives"))
    open_output(out, config)
    with sole_process(out):
        places = [Place(data, network) for data in config.data for network in config.networks]
        for place in places:
            if _unfinished(config, place.folder(out)) or not _compared(config, place, out):
                _work_on(config, place, out, console)
        _report(config, places, out, console)


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


def _work_on(config: Config, place: Place, out: Path, console: Console) -> None:
    dataset = load(place.data, image_size=config.image_size, train_size=config.train_size)
    if config.points > len(dataset.test.images):
        raise ValueError(
            f"expected --points up to the {len(dataset.test.images)} held-out images of "
            f"{place.data}, got {config.points}"
        )
    folder = place.folder(out)
    todo = sorted({model.objective for model in _unfinished(config, folder)})
    console.print(f"{place.data}, {place.network}: {len(todo)} objectives to train")
    with sweep_progress(console, runs=len(todo)) as progress:
        for objective in todo:
            _train(config, place, objective, folder=folder, dataset=dataset, progress=progress)
    _compare(config, place, folder, dataset, console)


def _train(
    config: Config,
    place: Place,
    objective: str,
    *,
    folder: Path,
    dataset: Dataset,
    progress: SweepProgress,
) -> None:
    """All strengths and seeds of an objective in one program."""
    images = jnp.asarray(dataset.train.images)
    test_images = dataset.test.images[: config.points]
    height, width, channels = test_images.shape[1:]
    image_shape = (height, width, channels)
    per_epoch = steps_per_epoch(images, config.batch_size)
    group = [model for model in models(config) if model.objective == objective]
    runs = [_run_config(config, place, m, config.epochs * per_epoch) for m in group]
    for model, settings in zip(group, runs, strict=True):
        write_config(folder / model.name / "run.json", settings, image_shape=image_shape)
    vae = _vae(config, place, image_shape)
    trainer = build_trainer(runs[0], vae, dataset_size=len(images))
    members = [
        Member(jax.random.key(settings.seed), settings.latents, settings.coefficients)
        for settings in runs
    ]

    def record(index: int, epoch: int, state: TrainState) -> None:
        _record(vae, state.variables, test_images, folder / group[index].name, epoch)

    progress.start(f"{place.network}, {objective}", config.epochs * per_epoch)
    train_group(
        lambda latents: trainer,
        members,
        images,
        epochs=sorted(_missing(config, folder, group)),
        batch_size=config.batch_size,
        record=record,
        resume=folder / f"{objective}.resume",
        progress=progress,
    )
    failed = sum(_failed(_recorded(config, folder / model.name)) for model in group)
    progress.finish(
        f"{place.data}, {place.network}, {objective}: {len(group) - failed} models trained"
        + (f", {failed} failed" if failed else "")
    )


def _missing(config: Config, folder: Path, group: list[Model]) -> set[int]:
    """The epochs at which some model of a group has no record."""
    return {epoch for model in group for epoch in unrecorded(folder / model.name, config.measured)}


def _record(vae: VAE, variables: Variables, images: np.ndarray, folder: Path, epoch: int) -> None:
    """Save what one model has learned, and how well it does on held-out images."""
    evaluation = evaluate(vae, variables, images, key=jax.random.key(_NOISE))
    checkpoint.save(folder / "snapshots", epoch, variables)
    record = {
        "reconstruction": np.asarray(evaluation.reconstruction),
        "kl": np.asarray(evaluation.kl),
        "kl_per_latent": np.asarray(evaluation.kl_per_latent),
        "active_units": np.asarray(evaluation.active_units),
        **{
            f"{kind}_latents": np.sum(mask)
            for kind, mask in evaluation.latent_types._asdict().items()
        },
    }
    write_arrays(record_file(folder, epoch), record)


def _compare(
    config: Config, place: Place, folder: Path, dataset: Dataset, console: Console
) -> None:
    """Similarities within every model, and between all models at the end."""
    images = dataset.test.images[: config.points]
    vae = _vae(config, place, images.shape[1:])
    group = _kept(config, folder)
    if not group:
        raise ValueError(
            f"expected a model that was trained to the end, got no model of {place.data}, "
            f"{place.network}: all losses became NaN or infinite; try a smaller --learning-rate"
        )
    with sweep_progress(console, runs=len(group) + 1) as progress:
        for model in group:
            file = folder / model.name / "similarity.npz"
            if not is_written(file):
                progress.start(f"comparing {model.name}", 1)
                found = _within(config, vae, folder / model.name, images, model.seed)
                write_arrays(file, found)
            progress.finish(f"{model.name}: layers and epochs compared")
        progress.start("comparing models", 1)
        found = _between(config, vae, [folder / model.name for model in group], images, progress)
        names = np.array([model.name for model in group])
        write_arrays(folder / "between.npz", {"model": names, **found})
        progress.finish(f"{place.data}, {place.network}: {len(group)} models compared")


def _within(
    config: Config, vae: VAE, folder: Path, images: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Similarities `[epoch, layer, epoch, layer]` of a model, and their nulls `[layer]`."""
    taps = [_taps(vae, folder, epoch, images) for epoch in config.measured]
    spaces = [space for epoch in taps for space in epoch.values()]
    points = _points(config, seed)
    shape = (len(taps), len(taps[0]))
    found = {
        name: matrix.reshape(*shape, *shape)
        for name, matrix in similarities(spaces, points=points).items()
    }
    # The last layers against themselves with the examples shuffled: nothing in common.
    order = np.random.default_rng(0).permutation(config.points)
    last = list(taps[-1].values())
    for name, n in points.items():
        shuffled = [space[:n][np.argsort(order[:n])] for space in last]
        matrix = similarities([*last, *shuffled], points={name: n})[name]
        found[f"{name}_null"] = np.diagonal(matrix[: len(last), len(last) :])
    return {"layer": np.array(list(taps[0])), **found}


def _between(
    config: Config,
    vae: VAE,
    folders: list[Path],
    images: np.ndarray,
    progress: SweepProgress,
) -> dict[str, np.ndarray]:
    """Similarities `[layer, model, model]` between the last snapshots."""
    with np.load(folders[0] / "similarity.npz") as first:
        layers = first["layer"].tolist()
    matrices = []
    for layer in layers:
        progress.note(f"{layer} of {len(folders)} models")

        def load_layer(index: int, layer: str = layer) -> np.ndarray:
            return _taps(vae, folders[index], config.epochs, images, [layer])[layer]

        matrices.append(similarities_between(load_layer, len(folders), points=_points(config, 0)))
    return {name: np.stack([matrix[name] for matrix in matrices]) for name in matrices[0]}


def _points(config: Config, seed: int) -> dict[str, int]:
    """On how many examples what is compared, for models of this seed."""
    points = {"cka": config.points, "debiased_cka": config.points}
    if seed < config.costly_seeds:
        points |= {"procrustes": config.procrustes_points, "imbalance": config.imbalance_points}
    return points


def _taps(
    vae: VAE, folder: Path, epoch: int, images: np.ndarray, layers: list[str] | None = None
) -> dict[str, np.ndarray]:
    like = jax.eval_shape(vae.init, jax.random.key(0))
    variables = checkpoint.load(folder / "snapshots", epoch, like)
    return capture(vae, variables, images, key=jax.random.key(_NOISE), layers=layers)


def _report(config: Config, places: list[Place], out: Path, console: Console) -> None:
    records = {place: _gather(config, place, place.folder(out)) for place in places}
    tree = xr.DataTree.from_dict(
        {
            f"{place.data.replace('/', '--')}/{place.network}": found
            for place, found in records.items()
        }
    )
    write_whole(out / "records.nc", tree.to_netcdf)
    datasets = list(records.values())
    figures = draw_dynamics(datasets, out / "figures")
    write_whole(out / "summary.md", lambda part: part.write_text(dynamics_summary(datasets)))
    console.print(dynamics_table(datasets))
    ends = f"\nfigures: {figures[0].parent}/*.png   records: {out / 'records.nc'}"
    console.print(ends, soft_wrap=True)


def _gather(config: Config, place: Place, folder: Path) -> xr.Dataset:
    """All that was found of one data set and network, labelled."""
    group = models(config)
    epochs = [_recorded(config, folder / model.name) for model in group]
    kept = [model for model, records in zip(group, epochs, strict=True) if not _failed(records)]
    within = {model: read_arrays(folder / model.name / "similarity.npz") for model in kept}
    between = read_arrays(folder / "between.npz")
    layers = next(iter(within.values()))["layer"].tolist()
    pairs = ("epoch", "layer", "other_epoch", "other_layer")
    variables: dict[str, Any] = {
        name: (
            ("run", "epoch", *(("latent",) if name == "kl_per_latent" else ())),
            np.array([[record[name] for record in run] for run in epochs]),
        )
        for name in epochs[0][0]
    }
    variables["failed"] = ("run", [model not in kept for model in group])
    for name in SIMILARITIES:
        for suffix, dims in (("", pairs), ("_null", ("layer",))):
            sizes = {"epoch": len(config.measured), "layer": len(layers)}
            empty = np.full([sizes[dim.removeprefix("other_")] for dim in dims], np.nan)
            found = [within.get(model, {}).get(name + suffix, empty) for model in group]
            variables[name + suffix] = (("run", *dims), np.array(found))
        matrix = np.full((len(layers), len(group), len(group)), np.nan)
        if name in between:
            places = np.array([group.index(model) for model in kept])
            matrix[:, places[:, None], places] = between[name]
        variables[f"{name}_between"] = (("layer", "run", "other_run"), matrix)
    labels = {
        f"{prefix}{field}": (f"{prefix}run", [getattr(model, field) for model in group])
        for field in Model._fields
        for prefix in ("", "other_")
    }
    return xr.Dataset(
        variables,
        coords={
            **labels,
            "epoch": list(config.measured),
            "other_epoch": list(config.measured),
            "layer": layers,
            "other_layer": layers,
        },
        attrs={
            "data": place.data,
            "network": place.network,
            "units": "reconstruction and kl: nats per held-out image",
            **{f"points_{name}": points for name, points in _points(config, 0).items()},
        },
    )


def _recorded(config: Config, folder: Path) -> list[dict[str, np.ndarray]]:
    """The records of a model, epoch by epoch."""
    return [read_arrays(record_file(folder, epoch)) for epoch in config.measured]


def _failed(records: list[dict[str, np.ndarray]]) -> bool:
    """Whether a model stopped at a loss that is not finite."""
    return not all(np.isfinite(record["reconstruction"]) for record in records)


def _kept(config: Config, folder: Path) -> list[Model]:
    """The models of a place that were trained to the end."""
    return [m for m in models(config) if not _failed(_recorded(config, folder / m.name))]


def _coefficients(model: Model) -> dict[str, float]:
    objective = OBJECTIVES[model.objective]
    return {objective.coefficient: float(model.value), **objective.rest}


def _run_config(config: Config, place: Place, model: Model, steps: int) -> RunConfig:
    ramps = {"capacity": max(1, round(_RAMP * steps))} if model.objective == "annealed_vae" else {}
    return RunConfig(
        data=place.data,
        image_size=config.image_size,
        train_size=config.train_size,
        network=place.network,
        latents=config.latents,
        objective=model.objective,
        coefficients=_coefficients(model),
        ramps=ramps,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=model.seed,
    )


@cache
def _vae(config: Config, place: Place, image_shape: tuple[int, int, int]) -> VAE:
    settings = RunConfig(network=place.network, latents=config.latents)
    return build_model(settings, image_shape)


def _unfinished(config: Config, folder: Path) -> list[Model]:
    return [model for model in models(config) if _missing(config, folder, [model])]


def _compared(config: Config, place: Place, out: Path) -> bool:
    """Whether all models of a place were compared with each other."""
    file = place.folder(out) / "between.npz"
    if not is_written(file):
        return False
    kept = _kept(config, place.folder(out))
    return read_arrays(file)["model"].tolist() == [model.name for model in kept]


def main() -> int:
    """Run from the command line."""
    return run_experiment("learning_dynamics", __doc__ or "", PRESETS, run)


if __name__ == "__main__":
    sys.exit(main())
