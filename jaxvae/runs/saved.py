"""A saved run, opened: what it was told, its model, and what that learned."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.files.words import first_few
from jaxvae.models.hvae import HVAE
from jaxvae.models.vae import VAE, Variables
from jaxvae.runs import checkpoint
from jaxvae.runs.building import variable_shapes
from jaxvae.runs.checkpoint import SNAPSHOTS
from jaxvae.runs.config import PER_EPOCH, RunConfig, parsed_config
from jaxvae.runs.folder import read_settings
from jaxvae.runs.run import RUN_FILE
from jaxvae.runs.sweep_run import (
    RECORD_SUFFIX,
    RUNS,
    SWEEP_FILE,
    model_of,
    open_sweep_run,
    run_file,
)


class SavedRun(NamedTuple):
    """A run as its folder holds it.

    Attributes:
        config: what was trained, on what, and how.
        vae: the model, a `VAE` or an `HVAE`.
        variables: what it had learned at `step`.
        step: step of the snapshot; of a run of a sweep, the epoch.
        steps: all snapshots there are, ascending.
        when: the snapshot in words, such as "step 1,560, epoch 10", or "epoch 10" alone.
        folder: for what is made of the run; of a run of a sweep it may be absent.
    """

    config: RunConfig
    vae: VAE | HVAE
    variables: Variables
    step: int
    steps: tuple[int, ...]
    when: str
    folder: Path

    def __repr__(self) -> str:
        """The run in one line, without its numbers."""
        config = self.config
        return (
            f"SavedRun({config.network}, {self.vae.latents:,} latents, {config.data}, {self.when}, "
            f"{self.folder})"
        )


def open_run(
    folder: Path, step: int | None = None, *, epoch: int | None = None, trust: bool = False
) -> SavedRun:
    """The model of a saved run, as it was at one of its snapshots.

    Args:
        folder: with `run.json` and `snapshots/`, as `jaxvae train` leaves it; or OUT/NAME for
            the run NAME of a sweep in OUT, which is also OUT/runs/NAME and OUT/runs/NAME.npz.
        step: step of the snapshot; None for the latest. A sweep keeps that of the last epoch alone.
        epoch: epoch of the snapshot, in place of its step.
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
    place = member_place(folder)
    if place is not None:
        return _open_of_sweep(*place, step if epoch is None else epoch, trust=trust)
    refuse_no_run(folder)
    settings = read_settings(folder / RUN_FILE)
    config, image_shape = parsed_config(settings, folder / RUN_FILE, trust=trust)
    steps, per_epoch = tuple(checkpoint.steps(folder / SNAPSHOTS)), settings.get(PER_EPOCH)
    if epoch is not None:
        step = _step_of(folder, steps, epoch, per_epoch)
    step = _chosen(folder / SNAPSHOTS, steps, step, "step")
    vae = model_of(config, image_shape)
    variables = checkpoint.load(folder / SNAPSHOTS, step, variable_shapes(vae))
    return SavedRun(config, vae, variables, step, steps, _when(step, per_epoch), folder)


def _open_of_sweep(out: Path, name: str, step: int | None, *, trust: bool) -> SavedRun:
    config, model, variables, place = open_sweep_run(out, name, trust=trust)
    steps = (config.epochs,)
    step = _chosen(place.snapshots(out), steps, step, "epoch")
    return SavedRun(config, model, variables, step, steps, f"epoch {step:,}", out / name)


def _chosen(snapshots: Path, steps: tuple[int, ...], step: int | None, unit: str) -> int:
    """The snapshot that was asked for, or the latest."""
    if not steps or (step is not None and step not in steps):
        listed = f"that of {unit} {', '.join(map(str, steps))}" if steps else "none"
        asked = "" if step is None else f", asked for {unit} {step}"
        hint = "; training has not saved one yet: give its command again"
        hint += ", with another --out and a smaller --learning-rate if its loss was not finite"
        raise ValueError(
            f"expected a snapshot in {snapshots}, found {listed}{asked}{'' if steps else hint}"
        )
    return steps[-1] if step is None else step


def _when(step: int, per_epoch: Any) -> str:
    known = _is_count(per_epoch) and step % per_epoch == 0
    return f"step {step:,}" + (f", epoch {step // per_epoch:,}" if known else "")


def _step_of(folder: Path, steps: tuple[int, ...], epoch: int, per_epoch: Any) -> int:
    """The step of the snapshot of an epoch.

    Raises:
        ValueError: where there is none, and where the steps of an epoch are not known.
    """
    if not _is_count(per_epoch):
        raise ValueError(
            f"expected {PER_EPOCH} in {folder / RUN_FILE}, got {per_epoch}: choose the snapshot by "
            f"its step, {', '.join(map(str, steps)) or 'of which there is none'}"
        )
    if epoch * per_epoch not in steps:
        epochs = ", ".join(f"{step / per_epoch:g}" for step in steps) or "none"
        raise ValueError(
            f"expected an epoch that has a snapshot in {folder / SNAPSHOTS} (epochs {epochs}), got "
            f"epoch {epoch}; `jaxvae train --snapshots N` keeps N of them"
        )
    return epoch * per_epoch


def _is_count(per_epoch: Any) -> bool:
    return type(per_epoch) is int and per_epoch >= 1


def refuse_no_run(folder: Path) -> None:
    """Refuse a folder that is not that of a run of `jaxvae train`.

    Raises:
        ValueError: names runs of a sweep, where the folder is one or is in one.
    """
    if not (folder / RUN_FILE).is_file():
        raise ValueError(f"expected a run in {folder}, with {RUN_FILE}, found none{_hint(folder)}")


def stored_settings_of(run: SavedRun) -> dict[str, Any]:
    """The settings of the folder that holds a run, or of the sweep that it belongs to.

    Raises:
        ValueError: for a file that is damaged.
        OSError: for one that cannot be read.
    """
    place = member_place(run.folder)
    return read_settings(run.folder / RUN_FILE if place is None else place[0] / SWEEP_FILE)


def member_place(folder: Path) -> tuple[Path, str] | None:
    """The sweep and the name of a run of it, where a path is that of one, and no run itself."""
    if (folder / RUN_FILE).is_file():
        return None
    folder = folder.absolute()
    for out in folder.parents:
        name = str(folder.relative_to(out)).removesuffix(RECORD_SUFFIX)
        name = name.removeprefix(f"{RUNS}{os.sep}")
        if run_file(out, name).is_file():
            return out, name
    return None


def _hint(folder: Path) -> str:
    """Names of the runs of a sweep, where the folder is one or is in one."""
    for out in (folder, *folder.parents):
        if not (out / SWEEP_FILE).is_file():
            continue
        found = (out / RUNS).rglob(f"*{RECORD_SUFFIX}")
        # Runs of a data set in a .npz have a folder of that name.
        if files := sorted(filter(Path.is_file, found)):
            names = [
                str(file.relative_to(out / RUNS)).removesuffix(RECORD_SUFFIX) for file in files
            ]
            return f"; the sweep in {out} has the runs {first_few(names)}: give {out}/NAME"
    return ""
