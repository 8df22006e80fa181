"""`jaxvae capture`: the layers of a saved run over a data set, on disk."""

import argparse

import jax
from rich.console import Console

from jaxvae.analysis.capture import capture_to
from jaxvae.commands.runs import chosen_images
from jaxvae.report.progress import count_progress
from jaxvae.runs.saved import open_run


def main(given: argparse.Namespace, console: Console, errors: Console) -> None:
    """Write the layers that were asked for."""
    run = open_run(given.folder, given.snapshot, trust=given.trust)
    images = chosen_images(run, given)
    layers = given.layers and [name.strip() for name in given.layers.split(",") if name.strip()]
    with count_progress(errors, "capturing", total=len(images)) as report:
        taps = capture_to(
            given.out,
            run.vae,
            run.variables,
            images,
            key=jax.random.key(given.seed),
            batch_size=given.batch_size,
            layers=layers,
            report=report,
        )
    gibibytes = sum(tap.size * tap.dtype.itemsize for tap in taps.values()) / 2**30
    console.print(
        f"{len(taps)} layers of {len(images):,} images at {run.when}, {gibibytes:.2f} GiB, "
        f"in {given.out}: {', '.join(taps)}\nmeasure them: jaxvae measure {given.out}",
        soft_wrap=True,
    )
