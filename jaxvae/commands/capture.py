"""`jaxvae capture`: the layers of a saved run over a data set, on disk."""

import argparse
from pathlib import Path

import jax
from rich.console import Console

from jaxvae.analysis.capture import capture_to
from jaxvae.analysis.saved import open_run
from jaxvae.commands.runs import add_run, chosen_images
from jaxvae.report.progress import count_progress

_EXAMPLES = """\
examples:
  jaxvae capture runs/first --out taps
  jaxvae capture runs/first --out taps.zarr --layers mean,sample,output --examples 5000
  jaxvae measure taps --points 2000

TAPS holds a .npy file for every layer, or is a zarr group where its name ends in .zarr (needs
zarr 3). Every row is an image, in the order of the data set; layers are float32.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "capture",
        help="write every layer of a trained model over a data set",
        description="Write what every layer of a trained model makes of the images of a data set.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, after_interruption="Nothing was written.")
    add_run(parser)
    parser.add_argument("--out", metavar="TAPS", type=Path, required=True, help="where they go")
    parser.add_argument(
        "--layers", metavar="NAME,...", help="such as encoder/1,mean,output (default: all)"
    )
    parser.add_argument(
        "--batch-size", metavar="N", type=int, default=1000, help="images at a time (default: 1000)"
    )


def _run(given: argparse.Namespace, console: Console, errors: Console) -> None:
    run = open_run(given.folder, given.snapshot)
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
        f"{len(taps)} layers of {len(images):,} images at step {run.step:,}, {gibibytes:.2f} GiB, "
        f"in {given.out}: {', '.join(taps)}\nmeasure them: jaxvae measure {given.out}",
        soft_wrap=True,
    )
