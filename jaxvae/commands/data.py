"""`jaxvae data`: the data sets that are here, one of them described, or prepared; the cache."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from jaxvae.analysis.measure import measure
from jaxvae.commands.settings import flags_named
from jaxvae.data import Dataset, Split, load
from jaxvae.data.cache import Kept, cache_directory, kept_entries
from jaxvae.data.own import is_of_use
from jaxvae.data.prepared import data_directory, find_prepared, prepared_names
from jaxvae.files.results import whole_results
from jaxvae.files.whole import remove_whole
from jaxvae.report.gallery import draw_images
from jaxvae.report.measurement import as_records
from jaxvae.report.measurement_tables import table
from jaxvae.report.progress import count_progress
from jaxvae.report.sizes import in_bytes

_METRICS = ("id", "gride")
# TwoNN of so many points is known to a tenth.
_FEWEST = 200
_SHOWN = 96
_WHY_USELESS = "of images that are gone, have changed, or whose path is not known"
_CLASSES = 20
# Of the null, a Gaussian of the same covariance, as many as tell its spread.
_DRAWS = 2


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """List, describe, prepare, or clean the cache."""
    if arguments.clean:
        if arguments.data is not None or arguments.prepare:
            other = "--prepare" if arguments.prepare else arguments.data
            raise ValueError(f"expected --clean alone, got it with {other}")
        _clean(console)
    elif arguments.data is None:
        if arguments.prepare:
            raise ValueError("expected a data set to prepare, such as mnist, got none")
        _list(console)
    elif arguments.prepare:
        _prepare(arguments.data, console)
    else:
        _describe(arguments, console, errors)


def _list(console: Console) -> None:
    directory = data_directory(None)
    rows = Table(box=None)
    for name in ("data set", "images"):
        rows.add_column(name, no_wrap=True)
    rows.add_row("sprites", "any number, rendered")
    for name in prepared_names(directory):
        try:
            prepared = find_prepared(name, directory)
            splits = prepared.splits if prepared else {}
            content = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        except ValueError as error:
            content = f"cannot be read: {str(error).partition(';')[0]}"
        rows.add_row(name, content)
    console.print(rows)
    entries = kept_entries()
    useless = [entry for entry in entries if not is_of_use(entry)]
    console.print(
        f"\nprepared by TensorFlow Datasets: {directory} (TFDS_DATA_DIR)\n"
        f"cache: {_sets(entries)}, in "
        f"{cache_directory() / 'datasets'} (JAXVAE_CACHE_DIR); sets that are removed there are "
        "decoded again when they are needed",
        soft_wrap=True,
    )
    if useless:
        console.print(
            f"    of these, {_sets(useless)}, {_WHY_USELESS}: jaxvae data --clean removes them",
            soft_wrap=True,
        )
    console.print(
        "to prepare others: jaxvae data NAME --prepare; for your own images: jaxvae data PATH",
        soft_wrap=True,
    )


def _clean(console: Console) -> None:
    useless = [entry for entry in kept_entries() if not is_of_use(entry)]
    for entry in useless:
        remove_whole(entry.folder)
    console.print(f"removed from the cache: {_sets(useless)}, {_WHY_USELESS}")


def _sets(entries: Sequence[Kept]) -> str:
    size = sum(entry.size for entry in entries)
    return f"{len(entries):,} decoded set{'s' * (len(entries) != 1)}, {in_bytes(size)}"


def _prepare(name: str, console: Console) -> None:
    from jaxvae.data.tfds import prepare  # noqa: PLC0415  its library takes a second

    prepare(name, data_directory(None))
    console.print(f"{name} is prepared; `jaxvae data {name}` describes it", soft_wrap=True)


def _describe(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    with flags_named():
        dataset = load(
            arguments.data,
            image_size=arguments.image_size,
            image_key=arguments.image_key,
            split=arguments.split,
            value_range=arguments.value_range,
        )
    name = Path(arguments.data).stem if Path(arguments.data).is_absolute() else arguments.data
    out = arguments.out or Path("results", "data", name.replace("/", "-").replace(":", "-"))
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
    listed = ", ".join(
        f"{names[label] if names else label} {count:,}"
        for label, count in zip(classes[:_CLASSES], counts, strict=False)
    )
    return [f"labels for training: {listed}{', ...' * (len(classes) > _CLASSES)}"]


def _same(split: Split) -> list[str]:
    flat = split.images.reshape(len(split.images), -1)
    constant = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    return [f"in {constant:,} images for training all pixels are equal"] if constant else []


def _dimension(
    dataset: Dataset, arguments: argparse.Namespace, console: Console, errors: Console
) -> None:
    images = dataset.train.images
    if len(images) < _FEWEST:
        console.print(
            f"the intrinsic dimension and its error are not measured with fewer than {_FEWEST} "
            "images for training"
        )
        return
    with count_progress(errors, "measuring the dimension", total=100) as report:
        measured = measure(
            {"pixels": images},
            key=jax.random.key(arguments.seed),
            metrics=_METRICS,
            points=min(arguments.points, len(images)),
            draws=_DRAWS,
            report=lambda now: report(round(100 * now.done)),
        )
    records = as_records(measured, files=[arguments.data], attributes={"seed": arguments.seed})
    for name in _METRICS:
        console.print()
        console.print(table(records, name, width=console.width))
    console.print(
        f"\nThe intrinsic dimension is that of {measured.points:,} of {measured.available:,} "
        "images for training, and grows with their number.",
        soft_wrap=True,
    )
