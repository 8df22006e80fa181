"""`jaxvae capture`: the layers of a saved run over a data set, on disk."""

import argparse
import math

import jax
from rich.console import Console

from jaxvae.analysis.capture import capture_to, captured_spaces, checked_batches
from jaxvae.commands.shown_images import chosen_images
from jaxvae.files.words import counted, in_bytes
from jaxvae.report.progress import share_progress
from jaxvae.runs.saved import open_run


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Write the layers that were asked for."""
    run = open_run(arguments.folder, arguments.snapshot, trust=arguments.trust)
    images, _ = chosen_images(run, arguments)
    images, batch_size = checked_batches(run.vae, images, batch_size=arguments.batch_size)
    spaces = captured_spaces(
        run.vae, run.variables, len(images), batch_size=batch_size, layers=arguments.layers
    )
    size = sum(math.prod(space.shape) * space.dtype.itemsize for space in spaces.values())
    console.print(
        f"{in_bytes(size)} for {counted(len(spaces), 'layer')} of {len(images):,} images; --layers "
        "and --examples choose some",
        soft_wrap=True,
    )
    with share_progress(errors) as report:
        taps = capture_to(
            arguments.out,
            run.vae,
            run.variables,
            images,
            key=jax.random.key(arguments.seed),
            batch_size=batch_size,
            layers=arguments.layers,
            report=lambda done: report(done / len(images), "capturing"),
        )
    console.print(
        f"{counted(len(taps), 'layer')} of {len(images):,} images at {run.when} in "
        f"{arguments.out}: {', '.join(taps)}\nmeasure them: jaxvae measure {arguments.out}",
        soft_wrap=True,
    )
