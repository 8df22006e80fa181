"""`jaxvae train`: one run, any data set, network, likelihood and objective."""

import argparse
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from jaxvae.analysis.collapse import rate_warnings
from jaxvae.commands.flags import flags_named
from jaxvae.commands.outcome import Outcome, outcome_of, write_outcome
from jaxvae.commands.settings import LONG_NAMES, given_config
from jaxvae.data.names import refuse_among_images
from jaxvae.models.hvae import HVAE
from jaxvae.report.progress import run_progress
from jaxvae.runs.building import in_effect, parameter_count, run_keys
from jaxvae.runs.choices import named_objective, objective_coefficients
from jaxvae.runs.config import (
    FROM,
    IMAGES,
    PER_EPOCH,
    RunConfig,
    numbers,
    parsed_config,
    run_settings,
    write_config,
)
from jaxvae.runs.continuing import (
    Origin,
    first_state,
    read_origin,
    refuse_other_model,
    stored_origin,
)
from jaxvae.runs.curve import kept_curve, read_curve
from jaxvae.runs.folder import (
    refuse_other_results,
    refuse_other_settings,
    refuse_unwritable,
    sole_process,
    stored_settings,
)
from jaxvae.runs.images import dataset_of, known_images
from jaxvae.runs.provenance import noted
from jaxvae.runs.ready import ReadyRun, ready_run
from jaxvae.runs.run import RUN_FILE, latest_state, latest_step, snapshot_epochs, train_run
from jaxvae.runs.sweep_run import SWEEP_FILE
from jaxvae.training.epochs import NonFiniteLossError
from jaxvae.training.mesh import chosen_devices, gathered
from jaxvae.training.processes import is_first
from jaxvae.training.progress import Progress
from jaxvae.training.stability import evaluation_variables, stabilized_counts
from jaxvae.training.trainer import TrainState

# The settings that may name code outside of jaxvae.
_CODE = ("network", "likelihood", "objective")


class _Task(NamedTuple):
    """A run that is to be trained.

    Attributes:
        run: its model, trainer and data.
        origin: what it begins with.
        first: gives its first state.
        mesh: the devices that train it.
        snapshots: how many it keeps.
        begin: writes its settings, and gives the steps that its folder holds; refuses what another
            process has done there in the meantime with other settings, images or more epochs.
    """

    run: ReadyRun
    origin: Origin | None
    first: Callable[[], TrainState]
    mesh: Mesh | None
    snapshots: int
    begin: Callable[[], int]


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Train until the last epoch, and evaluate; of several processes the first does."""
    with flags_named(LONG_NAMES):
        task = _prepared(arguments)
    run, out = task.run, arguments.out
    if not is_first():
        _train(task, out, console, errors)
        return
    out.mkdir(parents=True, exist_ok=True)
    with sole_process(out):
        with flags_named(LONG_NAMES):
            done = task.begin()
        _announce(run, console)
        training = noted(out, "training", arguments.line)
        with training if done < run.steps else nullcontext():
            state = _train(task, out, console, errors)
        _finish(run, state, out, console, errors)


def _prepared(arguments: argparse.Namespace) -> _Task:
    """The run that was asked for; what can be refused is, before anything is written."""
    settings_file, mesh = arguments.out / RUN_FILE, chosen_devices(arguments.devices)
    stored = stored_settings(settings_file)
    origin, base = _origin(arguments, stored)
    config = given_config(arguments, base)
    refuse_among_images(arguments.out, config.data)
    refuse_other_results(arguments.out / SWEEP_FILE, "a sweep")
    if origin is not None and base is not None:
        refuse_other_model(origin, base, config)
    snapshot_epochs(config.epochs, arguments.snapshots, begun=_begun(origin))
    devices = 1 if mesh is None else mesh.size
    run = ready_run(config, devices=devices, also=[partial(refuse_unwritable, arguments.out)])
    image_shape = run.vae.image_shape
    told = None if origin is None else origin.told
    settings = {**run_settings(config, image_shape=image_shape), FROM: told}

    def checked() -> tuple[int, Any]:
        """Steps that the folder holds, and what is known of its images."""
        known = stored_settings(settings_file)
        refuse_other_settings(
            settings_file,
            in_effect(known),
            in_effect(settings),
            extendable=("epochs", IMAGES, PER_EPOCH),
        )
        images = known_images(settings_file, known, [run.dataset])
        done = latest_step(arguments.out)
        if done > run.steps:
            raise ValueError(
                f"expected --epochs of at least {-(-done // run.per_epoch)}, which {arguments.out} "
                f"has begun, got {config.epochs}"
            )
        return done, images

    def begin() -> int:
        done, images = checked()
        write_config(
            settings_file,
            config,
            image_shape=image_shape,
            per_epoch=run.per_epoch,
            images=images,
            origin=told,
        )
        return done

    done, _ = checked()
    first = _first(run, origin, trust=arguments.trust)
    if origin is not None and not done:
        # What it refuses is refused here too.
        first()
    return _Task(run, origin, first, mesh, arguments.snapshots, begin)


def _finish(run: ReadyRun, state: TrainState, out: Path, console: Console, errors: Console) -> None:
    """Evaluate what was learned on held-out images, and keep and say what was found."""
    with errors.status("evaluating on held-out images"):
        outcome = outcome_of(
            run.config,
            run.vae,
            gathered(evaluation_variables(state)),
            run.dataset.test.images,
            betas=_betas(run, state),
            curve=read_curve(out),
            key=run_keys(run.config)[1],
        )
    _announce_gradients(state, console)
    _refuse_non_finite(run, int(state.step), outcome)
    write_outcome(out, outcome, step=int(state.step))
    for warning in outcome.warnings:
        errors.print(warning, style="yellow", soft_wrap=True)
    _conclude(outcome, out, console)


def _origin(
    arguments: argparse.Namespace, stored: Mapping[str, Any]
) -> tuple[Origin | None, RunConfig | None]:
    """The run to begin with, and the settings for what the command does not say.

    A run that has begun has its own settings, and no need of the other one.
    """
    if arguments.origin is not None and arguments.origin.resolve() == arguments.out.resolve():
        raise ValueError(
            f"expected another folder for --out than --from, got {arguments.out}; in its own "
            "folder a run is continued by its own command with more --epochs"
        )
    origin = stored_origin(stored, arguments.out / RUN_FILE)
    if origin is not None:
        _refuse_other_origin(arguments, origin)
        return origin, _own_settings(arguments, stored)
    if arguments.origin is None:
        return None, None
    config = read_origin(arguments.origin, trust=arguments.trust)
    file = arguments.origin / RUN_FILE
    known_images(file, stored_settings(file), [dataset_of(config)])
    return Origin(Path(os.path.abspath(arguments.origin)), config.epochs), config


def _refuse_other_origin(arguments: argparse.Namespace, origin: Origin) -> None:
    if arguments.origin is None or arguments.origin.resolve() != origin.folder.resolve():
        raise ValueError(
            f"expected --from {origin.folder}, with which the run in {arguments.out} began, got "
            f"{arguments.origin or 'no --from'}; with it the run is continued, also where "
            f"{origin.folder} has been moved or removed. For another run choose another --out"
        )


def _own_settings(arguments: argparse.Namespace, stored: Mapping[str, Any]) -> RunConfig:
    # What the command names itself needs no trust.
    named = {each: getattr(arguments, each) for each in _CODE if each in arguments}
    return parsed_config({**stored, **named}, arguments.out / RUN_FILE, trust=arguments.trust)[0]


def _begun(origin: Origin | None) -> int:
    """Epochs that a run begins with."""
    return 0 if origin is None else origin.epochs


def _first(run: ReadyRun, origin: Origin | None, *, trust: bool) -> Callable[[], TrainState]:
    """What gives the state that a run begins with; the same one every time."""
    key = run_keys(run.config)[0]
    if origin is None:
        return partial(run.trainer.init, key)
    return cache(partial(first_state, run, origin, key, trust=trust))


def _train(task: _Task, out: Path, console: Console, errors: Console) -> TrainState:
    """Train until the last epoch."""
    run, origin, first, mesh, snapshots, *_ = task
    epochs = snapshot_epochs(run.config.epochs, snapshots, begun=_begun(origin))
    wanted = [each * run.per_epoch for each in epochs]
    # It is given away below: kept here, it would take its memory until the last epoch.
    given = [latest_state(run.trainer, out, first, wanted=wanted, mesh=mesh)]
    done = int(given[0].step)
    _announce_start(task, done, console)
    with (
        run_progress(errors, first=done, last=run.steps) as bar,
        _kept_curve(out, done, run, _begun(origin)) as keep,
    ):
        watch = _watched(run, errors)

        def record(progress: Progress) -> None:
            watch(progress)
            keep(progress)

        return train_run(
            run.trainer,
            given.pop(),
            run.dataset.train.images,
            folder=out,
            epochs=run.config.epochs,
            batch_size=run.config.batch_size,
            snapshots=snapshots,
            begun=_begun(origin),
            report=bar,
            record=record,
            mesh=mesh,
        )


def _kept_curve(
    out: Path, first: int, run: ReadyRun, begun: int
) -> AbstractContextManager[Callable[[Progress], None]]:
    """Keep the loss over training in the folder; of several processes, only the first does."""
    if is_first():
        return kept_curve(out, first=first, last=run.steps, begun=begun * run.per_epoch)
    return nullcontext(lambda progress: None)


def _watched(run: ReadyRun, errors: Console) -> Callable[[Progress], None]:
    """What warns once of every layer of a hierarchy that collapses after warm-up."""
    if not isinstance(run.vae, HVAE):
        return lambda progress: None
    sizes, shown = run.vae.sizes, set[tuple[str, str]]()
    ramps = [steps for given in run.config.ramps.values() for steps in numbers(given)]
    warm = max([run.per_epoch, *ramps])

    def watch(progress: Progress) -> None:
        rates = [value for name, value in progress.terms.items() if name.startswith("rates")]
        if progress.step <= warm or len(rates) != len(sizes) or not np.isfinite(rates).all():
            return
        # Those of an objective of one's own may be estimates, below zero in a batch.
        for sign in rate_warnings(np.maximum(rates, 0), sizes=sizes):
            if (sign.layer, sign.condition) not in shown:
                shown.add((sign.layer, sign.condition))
                line = f"step {progress.step:,}: {sign}"
                errors.print(line, style="yellow", soft_wrap=True)

    return watch


def _betas(run: ReadyRun, state: TrainState) -> list[float] | None:
    """The weight of the rate of every layer of a hierarchy, where the objective has betas."""
    takes = objective_coefficients(named_objective(run.config.objective))
    if not isinstance(run.vae, HVAE) or "beta" not in takes:
        return None
    beta = state.coefficients.get("beta", takes["beta"].default)
    betas = np.asarray(beta) / np.asarray(state.coefficients.get("weight", 1.0))
    return np.broadcast_to(betas, len(run.vae.shapes)).tolist()


def _announce(run: ReadyRun, console: Console) -> None:
    config, count = run.config, len(run.dataset.train.images)
    parameters, shape = parameter_count(run.vae), " x ".join(map(str, run.vae.image_shape))
    console.print(
        f"{config.network}, {run.vae.latents:,} latents, {parameters:,} parameters; "
        f"{config.objective}, {config.likelihood}; {count:,} images of {config.data}, {shape}",
        soft_wrap=True,
    )


def _announce_start(task: _Task, done: int, console: Console) -> None:
    run, origin, *_ = task
    if done == run.steps:
        console.print(f"all {run.config.epochs} epochs are done; give more --epochs to continue")
    elif origin is not None and done == origin.epochs * run.per_epoch:
        line = f"begins at step {done:,} of {run.steps:,}, with the model of {origin.folder}"
        console.print(line, soft_wrap=True)
    elif done:
        console.print(f"continues after step {done:,} of {run.steps:,}")


def _announce_gradients(state: TrainState, console: Console) -> None:
    """Say how many gradients were clipped and skipped: a run that skips all learns nothing."""
    counts = stabilized_counts(state.optimizer_state)
    if counts is not None:
        clipped, skipped = map(int, counts)
        console.print(f"of {int(state.step):,} gradients, {clipped:,} clipped, {skipped:,} skipped")


def _refuse_non_finite(run: ReadyRun, step: int, outcome: Outcome) -> None:
    if not outcome.is_finite:
        known = {
            name: one["value"] for name, one in outcome.numbers.items() if isinstance(one, dict)
        }
        raise NonFiniteLossError(step, run.config.epochs, known)


def _conclude(outcome: Outcome, out: Path, console: Console) -> None:
    lines = [
        *outcome.lines,
        f"run: {out}",
        f"report: jaxvae report {out}",
        f"layers: jaxvae capture {out} --out DIR",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
