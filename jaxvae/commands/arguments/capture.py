"""The options and the help of `jaxvae capture`."""

import argparse

from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.runs import add_run
from jaxvae.commands.arguments.values import names

_EXAMPLES = """\
examples:
  jaxvae capture runs/first --out layers
  jaxvae capture runs/first --out layers.zarr --layers mean,sample,output --examples 5000
  jaxvae measure layers --points 2000

DIR becomes a folder with a .npy file for every layer, or a zarr group if its name ends in .zarr
(which needs zarr 3). Every row of an array is an image, in the order of the data set; arrays are
float32.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "capture",
        help="write the activations of every layer of a trained model",
        description="Write the activations of every layer of a trained model on a data set.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    add_run(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=as_path, required=True, help="folder or zarr group to write"
    )
    parser.add_argument(
        "--layers",
        metavar="NAME,...",
        type=names,
        help="layers, such as encoder/1,mean,output (default: all)",
    )
    parser.add_argument(
        "--batch-size", metavar="N", type=int, default=1000, help="images at a time (default: 1000)"
    )
