"""A saved run, opened: what it was told, its model, and what that learned."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.runs import checkpoint
from jaxvae.runs.config import RunConfig, read_config
from jaxvae.runs.member import RECORD_SUFFIX, RUNS, model_of, open_member, run_file
from jaxvae.runs.member import SETTINGS as SWEEP_SETTINGS
from jaxvae.runs.run import SETTINGS, SNAPSHOTS

# Of the runs of a sweep, so many are named where none was.
_NAMED = 3


class SavedRun(NamedTuple):
    """A run as its folder holds it.

    Attributes:
        config: what was trained, on what, and how.
        vae: the model, a `VAE` or an `HVAE`.
        variables: what it had learned at `step`.
        step: of the snapshot; of a run of a sweep, the epoch.
        steps: all snapshots there are, ascending.
        when: the snapshot in words, such as "step 1,560" or "epoch 10".
        folder: for what is made of the run; of a run of a sweep it may be absent.
    """

    config: RunConfig
    vae: VAE | HVAE
    variables: Variables
    step: int
    steps: tuple[int, ...]
    when: str
    folder: Path


def open_run(
    folder: Path, step: int | None = None, *, epoch: int | None = None, trust: bool = False
) -> SavedRun:
    """The model of a saved run, as it was at one of its snapshots.

    Args:
        folder: with `run.json` and `snapshots/`, as `jaxvae train` leaves it; or OUT/NAME for
            the run NAME of a sweep in OUT, which is also OUT/runs/NAME and OUT/runs/NAME.npz.
        step: of the snapshot; None for the latest. A sweep keeps that of the last epoch alone.
        epoch: of the snapshot, in place of its step.
        trust: whether code outside of jaxvae that the folder names, such as a network of
            your own, may run.

    Raises:
        ValueError: for a folder that holds no run, one without that snapshot, with damaged
            files, or that names other code and is not trusted.
        OSError: for files that cannot be read.
    """
    if step is not None and epoch is not None:
        raise ValueError(f"expected a step or an epoch, got step {step} and epoch {epoch}")
    folder = Path(os.path.expanduser(folder))
    if not (folder / SETTINGS).is_file():
        for out, name in _as_member(folder):
            if run_file(out, name).is_file():
                asked = step if epoch is None else epoch
                return _open_member(out, name, asked, trust=trust)
        raise ValueError(f"expected a run in {folder}, with {SETTINGS}, found none{_hint(folder)}")
    config, image_shape = read_config(folder / SETTINGS, trust=trust)
    steps = tuple(checkpoint.steps(folder / SNAPSHOTS))
    if epoch is not None:
        step = _step_of(folder / SNAPSHOTS, steps, epoch, config.epochs)
    step = _chosen(folder / SNAPSHOTS, steps, step)
    vae = model_of(config, image_shape)
    like = jax.eval_shape(vae.init, jax.random.key(0))
    variables = checkpoint.load(folder / SNAPSHOTS, step, like)
    return SavedRun(config, vae, variables, step, steps, f"step {step:,}", folder)


def _open_member(out: Path, name: str, step: int | None, *, trust: bool) -> SavedRun:
    config, model, variables, place = open_member(out, name, trust=trust)
    steps = (config.epochs,)
    step = _chosen(place.snapshots(out), steps, step)
    return SavedRun(config, model, variables, step, steps, f"epoch {step:,}", out / name)


def _chosen(snapshots: Path, steps: tuple[int, ...], step: int | None) -> int:
    """The snapshot that was asked for, or the latest."""
    if not steps or (step is not None and step not in steps):
        there = ", ".join(map(str, steps)) or "none"
        asked = "" if step is None else f", asked for {step}"
        hint = "" if steps else "; training has not saved one yet: let its command go on"
        raise ValueError(f"expected a snapshot in {snapshots}, found {there}{asked}{hint}")
    return steps[-1] if step is None else step


def _step_of(snapshots: Path, steps: tuple[int, ...], epoch: int, epochs: int) -> int:
    """The step of the snapshot of an epoch; the last snapshot is of the last epoch.

    Raises:
        ValueError: where there is none, and while the last epoch is not done.
    """
    per_epoch, rest = divmod(max(steps, default=0), epochs)
    if rest or epoch * per_epoch not in steps:
        there = ", ".join(f"{each / per_epoch:g}" for each in steps) if not rest and steps else ""
        raise ValueError(
            f"expected an epoch with a snapshot in {snapshots}, "
            f"{there or f'which has the steps {steps}'}, got {epoch}"
        )
    return epoch * per_epoch


def _as_member(folder: Path) -> Iterator[tuple[Path, str]]:
    """The sweeps and names of which a path may be that of a run."""
    folder = folder.absolute()
    for out in folder.parents:
        name = str(folder.relative_to(out)).removesuffix(RECORD_SUFFIX)
        yield out, name.removeprefix(f"{RUNS}{os.sep}")


def _hint(folder: Path) -> str:
    """Names of the runs of a sweep, where the folder is one or is in one."""
    for out in (folder, *folder.parents):
        if not (out / SWEEP_SETTINGS).is_file():
            continue
        if files := sorted((out / RUNS).rglob(f"*{RECORD_SUFFIX}")):
            names = [
                str(file.relative_to(out / RUNS)).removesuffix(RECORD_SUFFIX)
                for file in files[:_NAMED]
            ]
            more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
            return f"; the sweep in {out} has the runs {', '.join(names)}{more}: give {out}/NAME"
    return ""
