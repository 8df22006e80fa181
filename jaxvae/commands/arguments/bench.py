"""The options and the help of `jaxvae bench`."""

import argparse

from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.values import count, several

PARTS = ("metrics", "training")

_EXAMPLES = """\
examples:
  jaxvae bench --out bench.json
  jaxvae bench metrics --metrics id,imbalance --points 5000,50000 --features 16,1024
  jaxvae bench training --network convolutional_vae --image-size 64 --members 1,8,32

Metrics are timed on Gaussian points, for all combinations of --points and --features. "of product"
compares a metric with the matrix products that it consists of: at 100% it takes as long as these
alone. Training is timed on random gray images. "members" is the number of models, with different
seeds, that one program trains, and "models/hour" is for models of --epochs epochs of --train-size
images. Programs are always compiled anew, and compilation is timed too.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "bench",
        help="measure how fast metrics and training are on this device",
        description="Time the metrics and the training of networks on the device that JAX finds.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(after_interruption="With --out, what was measured before is saved.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="metrics or training (default: both)"
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        type=several(str),
        default=("id", "imbalance", "cka"),
        help="metrics of `jaxvae measure` to time (default: id,imbalance,cka)",
    )
    parser.add_argument(
        "--points",
        metavar="N,...",
        type=several(count),
        default=(2000, 10_000),
        help="numbers of points (default: 2000,10000)",
    )
    parser.add_argument(
        "--features",
        metavar="D,...",
        type=several(count),
        default=(50, 784),
        help="numbers of features of a point (default: 50,784)",
    )
    parser.add_argument(
        "--network",
        metavar="NAME,...",
        type=several(str),
        default=("dense_vae", "compact_vae", "convolutional_vae"),
        help="networks of `jaxvae train` to time (default: dense_vae,compact_vae,"
        "convolutional_vae)",
    )
    parser.add_argument(
        "--image-size",
        metavar="PIXELS",
        type=count,
        default=32,
        help="height and width of the images (default: 32)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="B",
        type=count,
        default=128,
        help="training images in every step (default: 128)",
    )
    parser.add_argument(
        "--members",
        metavar="M,...",
        type=several(count),
        default=(1, 8),
        help="models trained in one program (default: 1,8)",
    )
    parser.add_argument(
        "--epochs",
        metavar="E",
        type=count,
        default=20,
        help="epochs of a model, for models/hour (default: 20)",
    )
    parser.add_argument(
        "--train-size",
        metavar="N",
        type=count,
        default=60_000,
        help="images of an epoch, for models/hour (default: 60000, as MNIST has)",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=as_path, help="JSON file to save (default: print only)"
    )
