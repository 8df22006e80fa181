"""`jaxvae train`: one run, any data set, network, likelihood and objective."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from jaxvae.analysis.collapse import rate_warnings
from jaxvae.commands.outcome import Outcome, outcome_of, write_outcome
from jaxvae.commands.settings import flags_named, given_config
from jaxvae.models.hvae import HVAE
from jaxvae.report.progress import run_progress
from jaxvae.runs.choices import named_objective, objective_coefficients
from jaxvae.runs.config import IMAGES, RunConfig, numbers, run_settings, write_config
from jaxvae.runs.folder import refuse_other_settings, sole_process, stored_settings
from jaxvae.runs.images import known_images
from jaxvae.runs.ready import ReadyRun, ready_run
from jaxvae.runs.run import SETTINGS, latest_state, latest_step, snapshot_epochs, train_run
from jaxvae.training.epochs import NonFiniteLossError, Progress
from jaxvae.training.mesh import chosen_devices, gathered
from jaxvae.training.processes import is_first
from jaxvae.training.stability import evaluation_variables, stabilized_counts
from jaxvae.training.trainer import TrainState


def main(given: argparse.Namespace, console: Console, errors: Console) -> None:
    """Train until the last epoch, and evaluate; of several processes the first does."""
    with flags_named():
        config, mesh = given_config(given), chosen_devices(given.devices)
        snapshot_epochs(config.epochs, given.snapshots)
        run = ready_run(config, devices=1 if mesh is None else mesh.size)
        image_shape = run.vae.image_shape
        settings = run_settings(run.config, image_shape=image_shape)
        stored = stored_settings(given.out / SETTINGS)
        extendable = ("epochs", IMAGES)
        refuse_other_settings(given.out / SETTINGS, stored, settings, extendable=extendable)
        images = known_images(given.out / SETTINGS, stored, [run.dataset])
    done = latest_step(given.out)
    if done > run.steps:
        per_epoch = run.steps // run.config.epochs
        raise ValueError(
            f"expected --epochs of at least {-(-done // per_epoch)}, which {given.out} has begun, "
            f"got {run.config.epochs}"
        )
    if not is_first():
        _train(run, mesh, given, console, errors)
        return
    settings_file = given.out / SETTINGS
    if not settings_file.exists():
        write_config(settings_file, run.config, image_shape=image_shape, images=images)
    with sole_process(given.out):
        # Again: another number of epochs, and two that began at once.
        write_config(settings_file, run.config, image_shape=image_shape, images=images)
        _announce(run, console)
        state = _train(run, mesh, given, console, errors)
        with errors.status("evaluating on held-out images"):
            found = outcome_of(
                run.config,
                run.vae,
                gathered(evaluation_variables(state)),
                run.dataset.test.images,
                prices=_prices(run, state),
                key=_keys(run.config)[1],
            )
        _announce_gradients(state, console)
        _refuse_non_finite(run, int(state.step), found)
        write_outcome(given.out, found, step=int(state.step))
        for warning in found.warnings:
            errors.print(warning, style="yellow", soft_wrap=True)
        _conclude(found, given.out, console)


def _keys(config: RunConfig) -> tuple[jax.Array, jax.Array]:
    """Of training and of evaluation."""
    train_key, test_key = jax.random.split(jax.random.key(config.seed))
    return train_key, test_key


def _train(
    run: ReadyRun,
    mesh: Mesh | None,
    given: argparse.Namespace,
    console: Console,
    errors: Console,
) -> TrainState:
    per_epoch = run.steps // run.config.epochs
    wanted = [each * per_epoch for each in snapshot_epochs(run.config.epochs, given.snapshots)]
    key = _keys(run.config)[0]
    state = latest_state(run.trainer, given.out, key, wanted=wanted, mesh=mesh)
    _announce_start(run, int(state.step), console)
    with run_progress(errors, first=int(state.step), last=run.steps) as bar:
        report = _watched(run, bar, errors)
        return train_run(
            run.trainer,
            state,
            run.dataset.train.images,
            folder=given.out,
            epochs=run.config.epochs,
            batch_size=run.config.batch_size,
            snapshots=given.snapshots,
            report=report,
            mesh=mesh,
        )


def _watched(
    run: ReadyRun, report: Callable[[Progress], None], errors: Console
) -> Callable[[Progress], None]:
    """Also warns, once each, of layers of a hierarchy that collapse after warm-up."""
    if not isinstance(run.vae, HVAE):
        return report
    sizes, shown = [math.prod(shape) for shape in run.vae.shapes], set[tuple[str, str]]()
    ramps = [steps for given in run.config.ramps.values() for steps in numbers(given)]
    warm = max([run.steps // run.config.epochs, *ramps])

    def watch(progress: Progress) -> None:
        report(progress)
        rates = [value for name, value in progress.terms.items() if name.startswith("rates")]
        if progress.step <= warm or len(rates) != len(sizes) or not np.isfinite(rates).all():
            return
        for sign in rate_warnings(rates, sizes=sizes):
            if (sign.layer, sign.condition) not in shown:
                shown.add((sign.layer, sign.condition))
                line = f"step {progress.step:,}: {sign}"
                errors.print(line, style="yellow", soft_wrap=True)

    return watch


def _prices(run: ReadyRun, state: TrainState) -> list[float] | None:
    """What a nat costs in every layer of a hierarchy, where the objective has prices."""
    takes = objective_coefficients(named_objective(run.config.objective))
    if not isinstance(run.vae, HVAE) or "beta" not in takes:
        return None
    beta = state.coefficients.get("beta", takes["beta"].default)
    prices = np.asarray(beta) / np.asarray(state.coefficients.get("weight", 1.0))
    return np.broadcast_to(prices, len(run.vae.shapes)).tolist()


def _announce(run: ReadyRun, console: Console) -> None:
    config, shapes = run.config, jax.eval_shape(run.vae.init, jax.random.key(0)).params
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    count, shape = len(run.dataset.train.images), " x ".join(map(str, run.vae.image_shape))
    console.print(
        f"{config.network}, {run.vae.latents:,} latents, {parameters:,} parameters; "
        f"{config.objective}, {config.likelihood}; {count:,} images of {config.data}, {shape}",
        soft_wrap=True,
    )


def _announce_start(run: ReadyRun, done: int, console: Console) -> None:
    if done == run.steps:
        console.print(f"all {run.config.epochs} epochs are done; more --epochs go on from here")
    elif done:
        console.print(f"goes on after step {done:,} of {run.steps:,}")


def _announce_gradients(state: TrainState, console: Console) -> None:
    """What `--clip` and `--skip` did to them: a run that skips all learns nothing."""
    counts = stabilized_counts(state.optimizer_state)
    if counts is not None:
        clipped, skipped = map(int, counts)
        console.print(f"of {int(state.step):,} gradients, {clipped:,} clipped, {skipped:,} skipped")


def _refuse_non_finite(run: ReadyRun, step: int, found: Outcome) -> None:
    if not found.is_finite:
        known = {name: one["value"] for name, one in found.numbers.items() if isinstance(one, dict)}
        raise NonFiniteLossError(step, run.config.epochs, known)


def _conclude(found: Outcome, out: Path, console: Console) -> None:
    lines = [
        *found.lines,
        f"run: {out}",
        f"its figures: jaxvae report {out}",
        f"its layers:  jaxvae capture {out} --out TAPS",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
