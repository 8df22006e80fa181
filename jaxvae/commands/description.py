"""What `jaxvae data NAME` says of a data set: counts, labels, some images, its dimension."""

import argparse
import shlex
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from jaxvae.analysis.measure import measure
from jaxvae.commands.flags import flags_named
from jaxvae.commands.settings import LONG_NAMES
from jaxvae.data import Dataset, Split, load
from jaxvae.data.distinct import first_distinct
from jaxvae.data.names import refuse_among_images
from jaxvae.files.results import whole_results
from jaxvae.files.words import first_few
from jaxvae.report.gallery import draw_images
from jaxvae.report.measurement import as_records
from jaxvae.report.measurement_tables import table
from jaxvae.report.progress import share_progress

_METRICS = ("id", "gride")
# TwoNN of so many points is known to a tenth.
_FEWEST = 200
_SHOWN = 96
_CLASSES = 20
# The null is a Gaussian of the same covariance, drawn just as often as tells its spread.
_DRAWS = 2


def describe(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Say it, and draw the images, from the parsed arguments of the command."""
    with flags_named(LONG_NAMES):
        dataset = load(
            arguments.data,
            image_size=arguments.image_size,
            image_key=arguments.image_key,
            split=arguments.split,
            value_range=arguments.value_range,
        )
    name = Path(arguments.data).stem if Path(arguments.data).is_absolute() else arguments.data
    out = arguments.out or Path("results", "data", name.replace("/", "-").replace(":", "-"))
    refuse_among_images(out, arguments.data)
    for line in _lines(dataset):
        console.print(line, soft_wrap=True)
    images, count = dataset.train.images, min(_SHOWN, len(dataset.train.images))
    rows = np.sort(np.random.default_rng(arguments.seed).permutation(len(images))[:count])
    with whole_results(out) as part:
        draw_images(part / "samples.png", images[rows], title=f"{name}: images for training")
    console.print(f"figure: {out / 'samples.png'}", soft_wrap=True)
    _dimension(dataset, arguments, console, errors)


def _lines(dataset: Dataset) -> list[str]:
    """Counts, shape, range and labels."""
    train, test = dataset.train.images, dataset.test.images
    height, width, channels = train.shape[1:]
    low, high = int(min(train.min(), test.min())), int(max(train.max(), test.max()))
    color = {1: "gray", 3: "color"}.get(channels, f"{channels} channels")
    return [
        f"{len(train):,} images for training and {len(test):,} held out, {height} x {width}, "
        f"{color}, from {low} to {high}, mean {train.mean():.1f}",
        *_label_lines(dataset),
        *([f"factors: {', '.join(dataset.train.factors)}"] if dataset.train.factors else []),
        *_same(dataset.train),
    ]


def _label_lines(dataset: Dataset) -> list[str]:
    labels = dataset.train.labels
    if labels is None:
        return ["no labels"]
    classes, counts = np.unique(labels, return_counts=True)
    names = dataset.label_names
    listed = [
        f"{names[label] if names else label} {count:,}"
        for label, count in zip(classes, counts, strict=True)
    ]
    return [f"labels for training: {first_few(listed, most=_CLASSES)}"]


def _same(split: Split) -> list[str]:
    flat = split.images.reshape(len(split.images), -1)
    constant = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    return [f"in {constant:,} images for training all pixels are equal"] if constant else []


def _dimension(
    dataset: Dataset, arguments: argparse.Namespace, console: Console, errors: Console
) -> None:
    images = dataset.train.images
    order = np.random.default_rng(arguments.seed).permutation(len(images))
    rows = order[first_distinct((images[row] for row in order), arguments.points)]
    if len(rows) < _FEWEST:
        console.print(
            "the intrinsic dimension and its error are not measured with fewer than "
            f"{_FEWEST} distinct images for training (--points)"
        )
        return
    with share_progress(errors) as report:
        measured = measure(
            {"pixels": images[rows]},
            key=jax.random.key(arguments.seed),
            metrics=_METRICS,
            draws=_DRAWS,
            report=lambda now: report(*now),
        )
    records = as_records(measured, files=[arguments.data], attributes={"seed": arguments.seed})
    for name in _METRICS:
        console.print()
        console.print(table(records, name, width=console.width))
    console.print(
        f"\nThe intrinsic dimension is that of {measured.points:,} distinct images, of "
        f"{len(images):,} for training, and grows with their number.\n"
        f"find a bottleneck for them: jaxvae advise --data {shlex.quote(arguments.data)}"
        f"{_same_options(arguments)}",
        soft_wrap=True,
    )


def _same_options(arguments: argparse.Namespace) -> str:
    """A reminder of the options by which the images were read."""
    options = arguments.image_size, arguments.image_key, arguments.split, arguments.value_range
    return ", and the same options" if any(options) else ""
