"""A run that begins with what another has learned, in a folder of its own."""

import dataclasses
import operator
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxvae.files.refusals import all_pass
from jaxvae.files.sealed import DamageError
from jaxvae.objectives.multipliers import objective_multipliers
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_optimizer, build_trainer, in_effect
from jaxvae.runs.checkpoint import RESUME
from jaxvae.runs.choices import named_objective
from jaxvae.runs.config import FROM, RunConfig, parsed_config
from jaxvae.runs.folder import as_json, read_settings
from jaxvae.runs.ready import ReadyRun
from jaxvae.runs.run import RUN_FILE, latest_step
from jaxvae.runs.saved import member_place, refuse_no_run
from jaxvae.training.epochs import steps_per_epoch
from jaxvae.training.trainer import TrainState
from jaxvae.typing import Key

_FREE = {"learning_rate", "epsilon", "l2", "clip", "skip", "average", "warmup"}
_FREE |= {"batch_size", "epochs", "objective", "coefficients", "ramps"}
_DATA = {"data", "image_size", "image_key", "split", "value_range", "train_size", "binarize"}


class Origin(NamedTuple):
    """The run that another begins with.

    Attributes:
        folder: folder of the run.
        epochs: epochs that it had done then.
    """

    folder: Path
    epochs: int

    @property
    def told(self) -> dict[str, Any]:
        """The origin as the settings of the new run hold it."""
        return {"run": str(self.folder), "epochs": self.epochs}


def stored_origin(stored: Mapping[str, Any], file: Path) -> Origin | None:
    """The run that another began with, as its settings say; None where it began with none.

    Args:
        stored: the settings of the run that began.
        file: file that they are from.

    Raises:
        ValueError: for an origin that cannot be read.
    """
    told = stored.get(FROM)
    if told is None:
        return None
    try:
        return Origin(Path(told["run"]), operator.index(told["epochs"]))
    except (TypeError, KeyError) as error:
        refusal = f"expected a run and its epochs as {FROM} in {file}, got {told}"
        raise ValueError(refusal) from error


def read_origin(folder: Path, *, trust: bool = False) -> RunConfig:
    """The settings of a run to begin with.

    Args:
        folder: as `jaxvae train` leaves it.
        trust: whether code outside of jaxvae that its settings name may run.

    Raises:
        ValueError: for a folder that holds no run, and for a run of a sweep, which keeps no state
            of the optimizer.
    """
    if member_place(folder):
        raise ValueError(
            f"expected a run of `jaxvae train` for --from, got {folder}: a sweep keeps its models, "
            "not what Adam remembers. Train this one with `jaxvae train` and its settings, then "
            "go on from that"
        )
    refuse_no_run(folder)
    file = folder / RUN_FILE
    return parsed_config(read_settings(file), file, trust=trust)[0]


def refuse_other_model(origin: Origin, then: RunConfig, config: RunConfig) -> None:
    """Refuse settings with which the model, or what it was trained on, would be another.

    Args:
        origin: the run to begin with.
        then: its configuration, or that of a run that has begun with it.
        config: configuration of the new run.

    Raises:
        ValueError: names them, and says why.
    """
    old, new = (in_effect(dataclasses.asdict(each)) for each in (then, config))
    fixed = [name for name in old if name not in _FREE]
    all_pass(
        *(partial(_refuse_other, name, old[name], new[name], origin.folder) for name in fixed),
        partial(_refuse_no_more_epochs, origin, config.epochs),
    )


def _refuse_other(name: str, then: Any, now: Any, folder: Path) -> None:
    if then == now:
        return
    why = "what it has learned would not fit into another model"
    if name == "seed":
        why = "its noise and the order of its images are continued"
    elif name in _DATA:
        why = "training continues with the same images"
    raise ValueError(
        f"expected {name} {then!r} of {folder}, got {now!r}: {why}; without --from a run of its "
        "own begins"
    )


def _refuse_no_more_epochs(origin: Origin, epochs: int) -> None:
    if epochs <= origin.epochs:
        raise ValueError(
            f"expected --epochs above {origin.epochs}, which {origin.folder} has done and which "
            f"count, such as {2 * origin.epochs}, got {epochs}"
        )


def first_state(run: ReadyRun, origin: Origin, key: Key, *, trust: bool = False) -> TrainState:
    """The state that a run begins with: that of another at its end.

    Parameters, statistics, a discriminator, multipliers of the same objective and the moments of
    Adam go on. So do averages, counts and warm-up, where the optimizer has the same parts, average
    and warm-up; else these begin anew. The step is that of the same epoch with the batches of now.

    Args:
        run: run that begins.
        origin: what it begins with.
        key: key of the run.
        trust: as for `read_origin`.

    Raises:
        ValueError: for a run that is absent, another one, not finished, has gone on since, or
            whose state is damaged; says what to do.
    """
    if not (origin.folder / RUN_FILE).is_file():
        raise ValueError(
            f"expected the run of --from in {origin.folder}, found none: it is needed as long as "
            "the run that begins with it has no whole state of its own. Put it back, or choose "
            "another --out"
        )
    then, images = read_origin(origin.folder, trust=trust), len(run.dataset.train.images)
    refuse_other_model(origin, then, run.config)
    last = origin.epochs * steps_per_epoch(run.dataset.train.images, then.batch_size)
    _refuse_other_end(origin, last)
    trainer = build_trainer(then, run.vae, dataset_size=images)
    like = jax.eval_shape(trainer.init, key)
    old = _last_state(origin.folder, last, like)
    new = run.trainer.init(key)
    coefficients = [as_json(config.coefficients) for config in (run.config, then)]
    learned = {
        name: old.coefficients[name]
        for name in objective_multipliers(named_objective(then.objective))
        if run.config.objective == then.objective
        and coefficients[0].get(name) == coefficients[1].get(name)
    }
    return new._replace(
        variables=old.variables,
        optimizer_state=_optimizer_state(run.config, then, old),
        adversary=new.adversary and (old.adversary or new.adversary),
        coefficients=new.coefficients | learned,
        step=jnp.int32(origin.epochs * run.per_epoch),
    )


def _refuse_other_end(origin: Origin, last: int) -> None:
    """Refuse to begin with a run that has not ended, or has gone on since."""
    done = latest_step(origin.folder)
    if done != last:
        raise ValueError(
            f"expected a run in {origin.folder} that has done {origin.epochs} epochs, got one "
            f"after {done / last * origin.epochs:g}: where it has not ended, its own command goes "
            "on; where it has gone on since, choose another --out"
        )


def _last_state(folder: Path, last: int, like: TrainState) -> TrainState:
    try:
        return checkpoint.load(folder / RESUME, last, like)
    except DamageError as error:
        raise ValueError(f"{error}; the own command of that run makes it again") from error


def _optimizer_state(config: RunConfig, then: RunConfig, old: TrainState) -> Any:
    """That of the new optimizer, with all of the old one that it has a place for."""
    new = build_optimizer(config).init(old.variables.params)
    if _parts(config) == _parts(then):
        rate = jnp.float32(config.learning_rate)
        return optax.tree.set(old.optimizer_state, learning_rate=rate)

    moments = optax.tree.get(old.optimizer_state, "ScaleByAdamState")
    return optax.tree.set(new, ScaleByAdamState=moments)


def _parts(config: RunConfig) -> tuple[Any, ...]:
    """What the state of `build_optimizer` is made of; of its numbers, those that count steps."""
    guarded = config.clip is not None or config.skip is not None
    return bool(config.l2), config.warmup, config.average, guarded
