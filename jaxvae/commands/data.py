"""`jaxvae data`: the data sets that are here, one of them described, or prepared; the cache."""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jaxvae.data.cache import Kept, cache_directory, kept_entries
from jaxvae.data.own import is_of_use
from jaxvae.data.prepared import OWN_NAMES, data_directory, find_prepared, prepared_names
from jaxvae.files.whole import remove_whole
from jaxvae.files.words import counted, in_bytes

_WHY_USELESS = "of images that are gone, have changed, or whose path is not known"


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
        # What measures and draws takes seconds to import.
        from jaxvae.commands.description import describe  # noqa: PLC0415

        describe(arguments, console, errors)


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
    return f"{counted(len(entries), 'decoded set')}, {in_bytes(size)}"


def _prepare(name: str, console: Console) -> None:
    # The library of both takes a second.
    if (own := name.partition(":")[0]) in OWN_NAMES:
        from jaxvae.data.cars3d import prepare_cars3d  # noqa: PLC0415

        if name != own:
            raise ValueError(f"expected {own}, of which one version is prepared here, got {name}")
        prepare_cars3d()
    else:
        from jaxvae.data.tfds import prepare  # noqa: PLC0415

        prepare(name, data_directory(None))
    console.print(f"{name} is prepared; `jaxvae data {name}` describes it", soft_wrap=True)
