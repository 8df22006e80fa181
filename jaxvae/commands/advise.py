"""`jaxvae advise`: how large a bottleneck some images need, and why."""

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import jax
import joblib
import numpy as np
import xarray as xr
from rich.console import Console

from jaxvae.advising.criteria import decided_bounds, delta_bounds
from jaxvae.advising.data import data_dimension
from jaxvae.advising.noise import SIGNAL_TO_NOISE, USUAL, is_known, lost_variance, pixel_noise
from jaxvae.advising.plane import is_plane, plane_sentences
from jaxvae.advising.reading import (
    LEAST_IMAGES,
    NoModelError,
    SweepReading,
    by_setting,
    read_records,
)
from jaxvae.advising.results import conclude, printed, write_conclusion
from jaxvae.advising.study import STUDY_FILE, Study, StudyOutcome, do_study
from jaxvae.analysis.advice import MOST_LOST, keep_less_in_the_means, shown_to_keep_less
from jaxvae.analysis.sizing import MOST_DECIDING, MOST_SEEDS, first_training, largest_size
from jaxvae.commands.flags import flags_named
from jaxvae.commands.settings import LONG_NAMES, given_config
from jaxvae.data.distinct import first_distinct
from jaxvae.data.names import refuse_among_images
from jaxvae.data.pictures import SUFFIXES
from jaxvae.grids.grid import shared_settings
from jaxvae.memory import GIBIBYTE, available_memory
from jaxvae.runs.choices import has_bottleneck, named_network
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of
from jaxvae.runs.run import RUN_FILE

# So many training images are used, unless another number is given: more take longer to the same
# answer.
_TRAIN_SIZE = 20_000
_POINTS = 2000
_REMEDY = (
    f"; a tenth of the images is held out, so that at least {10 * LEAST_IMAGES} are needed in all, "
    "unless there is a split for testing: a folder test beside train, or --split TRAIN/TEST"
)
_MOST_PROCESSES = 4
# Three times the share of the variance that a linear model loses at the usual noise.
_MUCH_LOST = 0.15
_CONCLUDING = "concluding from the records"
# These widths of the dense network are quick on a processor.
_WIDTHS = (256, 128)


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Answer from records, or train until the question is decided."""
    if arguments.results is not None:
        lines = _read(arguments.results, errors)
        console.print(*lines, sep="\n", soft_wrap=True)
        return
    with flags_named(LONG_NAMES):
        _study(arguments, console, errors)


def _read(results: Path, errors: Console) -> Sequence[str]:
    """The answer from the records in a folder, in lines."""
    file = results / "records.nc"
    if (results / RUN_FILE).is_file():
        raise ValueError(
            f"expected the folder of a sweep over sizes, got the run in {results}: "
            "`jaxvae sweep --latents` trains several sizes, and `jaxvae advise --data` finds one"
        )
    if not results.is_dir():
        state = "something else" if results.exists() else "nothing there"
        raise ValueError(f"expected the folder of a sweep, got {results}, {state}")
    if not file.is_file():
        if (results / STUDY_FILE).is_file():
            raise ValueError(
                f"expected the records of a sweep in {results}, got a study that was interrupted: "
                "the command with --data that began it continues, and with --minutes 0.01 it says "
                "what is known so far"
            )
        if any(map(_is_image, results.rglob("*"))):
            raise ValueError(
                f"expected the folder of a sweep, got the images in {results}: `jaxvae advise "
                f"--data {shlex.quote(str(results))}` trains models on them"
            )
        if (results.parent / STUDY_FILE).is_file():
            raise ValueError(
                f"expected the folder of a study, got a part of it, {results}: `jaxvae advise "
                f"{shlex.quote(str(results.parent))}` reads it"
            )
        raise ValueError(
            f"expected the records of a sweep in {results}, got no records.nc; the command that "
            "made the folder writes them with --report"
        )
    with xr.open_dataset(file) as opened:
        records = opened.load()
    with errors.status(_CONCLUDING):
        if is_plane(records):
            return plane_sentences(records)
        return [line for each in by_setting(records) for line in _answer_of(*each)]


def _is_image(file: Path) -> bool:
    """Whether it is an image that no command of ours drew."""
    return file.suffix.lower() in SUFFIXES and file.parent.name != "figures"


def _answer_of(setting: str, records: xr.Dataset) -> Sequence[str]:
    """The answer for one setting of a sweep; where no model of it is done, that."""
    if not setting:
        return printed(conclude(records))
    try:
        return [f"{setting}:", *printed(conclude(records)), ""]
    except NoModelError as error:
        return [f"{setting}: {error}", ""]


def _study(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    config, points = _checked_settings(arguments)
    out = (arguments.out or Path("results", "advise", Path(arguments.data).stem)).absolute()
    refuse_among_images(out, arguments.data)
    dataset = dataset_of(config)
    _refuse_copies(dataset.test.images, points, console)
    # There may be few held-out images.
    images = dataset.train.images
    dimension = data_dimension(images[first_distinct(images, _POINTS)])
    config, why = _with_noise(config, dimension.value)
    said = (str(dimension), why)
    console.print(*said, sep="\n", soft_wrap=True)
    fewest = dimension.fewest_latents
    study = Study(
        run=shared_settings(config, ["latents", "epochs"]),
        points=points,
        epochs=arguments.epochs,
        fewest_latents=fewest,
    )
    first = first_training(dimension.likely, dimension.stderr, fewest=fewest)
    outcome = do_study(
        study,
        out,
        first,
        minutes=arguments.minutes,
        console=console,
        command=arguments.line,
        processes=_processes(dataset.train.images),
    )
    ending = _ending(outcome, arguments.minutes)
    if outcome.records is None:
        console.print(ending, soft_wrap=True)
        return
    with errors.status(_CONCLUDING):
        blurred = _blurred(read_records(outcome.records), config, images)
        concluded = conclude(
            outcome.records,
            ending=ending,
            of_data=[outcome.on_length, blurred, *said],
            dimension=dimension,
        )
    title = f"{dataset.name}, {config.network}, {concluded.reading.epoch} epochs"
    write_conclusion(out, outcome.records, concluded, title=title, console=console, said=said)


def _processes(images: np.ndarray) -> int:
    """How many train at once: one model of a usual size does not fill two cores."""
    if jax.default_backend() != "cpu":
        return 1
    # Of images there are those that are kept, and a copy for the device.
    fitting = available_memory() / (GIBIBYTE + 2 * images.nbytes)
    return max(1, int(min(_MOST_PROCESSES, joblib.cpu_count(), fitting)))


def _refuse_copies(images: np.ndarray, points: int, console: Console) -> None:
    """Say how many of the held-out images to measure are copies; refuse too few distinct ones."""
    rows = first_distinct(images, points)
    looked_at = int(rows[-1]) + 1 if len(rows) == points else len(images)
    dropped = looked_at - len(rows)
    copies = f"{dropped:,} of {looked_at:,} held-out images are copies of others and are left out"
    if len(rows) < LEAST_IMAGES:
        raise ValueError(
            f"expected at least {LEAST_IMAGES} distinct held-out images, got {len(rows):,}"
            + (f": {copies}" if dropped else "")
            + (_REMEDY if looked_at == len(images) else f"; --points of {LEAST_IMAGES} or more")
        )
    if dropped:
        console.print(f"{copies}.", soft_wrap=True)


def _ending(outcome: StudyOutcome, minutes: float) -> str:
    """Why no more models were trained, as a sentence."""
    not_decided = f"Not decided within {minutes:g} minutes; the same command continues."
    if outcome.records is None:
        return not_decided
    reading = read_records(outcome.records)
    enough = decided_bounds(reading).sufficient is not None
    if outcome.wanted is not None:
        over = f"The {minutes:g} minutes are over, and the same command continues."
        # Where there is an obstacle, the answer begins with that nothing is decided.
        return over if enough or reading.obstacle else not_decided
    if reading.obstacle:
        return "More sizes or seeds would not change that, so that no more are trained."
    if reading.failed and min(len(reading.sizes), len(reading.seeds)) < 2:
        return "So many models failed that no more are trained."
    if not enough and keep_less_in_the_means(reading.imbalance)[-1]:
        if shown_to_keep_less(reading.imbalance)[-1]:
            why = "The largest size was not trained well"
        else:
            why = (
                "In the means of these seeds, which may be chance, the largest size has "
                f"{MOST_LOST:g} times the Δ of a smaller one"
            )
        return f"{why}, so that no larger one is tried."
    if enough and decided_bounds(reading).sufficient != delta_bounds(reading).sufficient:
        tried = "So few images do not tell more."
    else:
        largest = largest_size(reading.fewest_latents)
        tried = (
            f"No more than {MOST_SEEDS} seeds, or {MOST_DECIDING} where they would decide, and "
            f"sizes up to {largest} are tried; a `jaxvae sweep` may have more, and `jaxvae advise` "
            "reads it."
        )
    return tried


def _checked_settings(arguments: argparse.Namespace) -> tuple[RunConfig, int]:
    """The settings of all models, and held-out images to measure; what can be refused is."""
    settings = {**vars(arguments), "epochs": arguments.epochs or 1, "seed": 0}
    config = given_config(argparse.Namespace(**settings))
    if not has_bottleneck(named_network(config.network)):
        raise ValueError(
            "expected a --network of one bottleneck, such as dense_vae, got the hierarchy "
            f"{config.network}, which has no one size to look for"
        )
    if config.network == "dense_vae" and not config.options:
        config = dataclasses.replace(config, options={"widths": _WIDTHS})
    if config.train_size is None:
        size = min(_TRAIN_SIZE, len(dataset_of(config).train.images))
        config = dataclasses.replace(config, train_size=size)
    held_out = len(dataset_of(config).test.images)
    return config, arguments.points if arguments.points is not None else min(_POINTS, held_out)


def _with_noise(config: RunConfig, dimension: float) -> tuple[RunConfig, str]:
    """The settings with noise of the pixels, unless a likelihood was given; and what for."""
    if (config.likelihood, config.likelihood_options) != ("gaussian", {}):
        return config, f"The answer holds for the {config.likelihood} likelihood that was given."
    noise = pixel_noise(dataset_of(config).train.images, dimension)
    directions = (
        "as many directions as their intrinsic dimension"
        if is_known(dimension)
        else f"{USUAL:.0f} directions"
    )
    why = (
        f"Models are trained by the evidence lower bound with Gaussian pixels of standard "
        f"deviation {noise:g}. If the variance of the images is spread evenly over {directions}, "
        f"each direction has {SIGNAL_TO_NOISE:.0f} times the variance of this noise."
    )
    return dataclasses.replace(config, likelihood_options={"standard_deviation": noise}), why


def _blurred(reading: SweepReading, config: RunConfig, images: np.ndarray) -> str:
    """A sentence where reconstructions of every size lose much of the variance of the pixels."""
    deviation = config.likelihood_options.get("standard_deviation")
    if config.likelihood != "gaussian" or deviation is None or reading.obstacle:
        return ""
    nll = (reading.cost - reading.rate).mean(axis=1)
    best = int(nll.argmin())
    lost = lost_variance(float(nll[best]), images, deviation)
    if lost < _MUCH_LOST:
        return ""
    return (
        f"Blurred reconstructions: those of {reading.sizes[best]} latents, the best, lose "
        f"{lost:.0%} of the variance of the pixels. The answer is about what they keep; what is "
        "lost may be noise and detail, or whole factors of the images. Models keep more with "
        f"`--likelihood gaussian --likelihood-option standard_deviation={deviation / 3:.2g}`, in "
        "another --out."
    )
