"""The options and the help of `jaxvae capture`."""

import argparse

from jaxvae.commands.arguments.places import place
from jaxvae.commands.arguments.runs import add_run

_EXAMPLES = """\
examples:
  jaxvae capture runs/first --out taps
  jaxvae capture runs/first --out taps.zarr --layers mean,sample,output --examples 5000
  jaxvae measure taps --points 2000

TAPS is a folder with a .npy file for every layer, or a zarr group if its name ends in .zarr (which
needs zarr 3). Every row of a layer is an image, in the order of the data set; layers are float32.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "capture",
        help="write every layer of a trained model over a data set",
        description="Write the activations of every layer of a trained model on a data set.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    add_run(parser)
    parser.add_argument(
        "--out", metavar="TAPS", type=place, required=True, help="folder or zarr group to write"
    )
    parser.add_argument(
        "--layers", metavar="NAME,...", help="layers, such as encoder/1,mean,output (default: all)"
    )
    parser.add_argument(
        "--batch-size", metavar="N", type=int, default=1000, help="images at a time (default: 1000)"
    )
