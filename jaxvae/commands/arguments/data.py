"""The options and the help of `jaxvae data`."""

import argparse

from jaxvae.commands.arguments.paths import as_path, data_set
from jaxvae.commands.arguments.values import count, value_range

_EXAMPLES = """\
examples:
  jaxvae data                                list the data sets on this machine
  jaxvae data ~/photos --image-size 64       describe a folder of images, and draw some of them
  jaxvae data faces.npz --image-key pixels --value-range 0:1
  jaxvae data mnist --prepare                download a set of TensorFlow Datasets, once
  jaxvae data --clean                        remove what is decoded of images that are gone

DATA is `sprites`, the name of an image set of TensorFlow Datasets that is prepared on this machine,
or a path: a folder of PNG, JPEG, TIFF, WebP, BMP or GIF files, whose subfolders are labels, or
`train` and `test`; a TIFF of several pages; a .npy; a .npz with images, labels, or x_train,
y_train, x_test, y_test; or a zarr. A sentence says how a path was read. If that would be a guess,
an error asks for an option.

A negative LOW is written with an equals sign: --value-range=-1:1.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "data",
        help="list the data sets on this machine, describe one, or prepare one",
        description="List the data sets on this machine; or describe one: its images, labels and "
        "intrinsic dimension.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    parser.add_argument(
        "data", nargs="?", metavar="DATA", type=data_set, help="a name or a path (default: list)"
    )
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="download and prepare a set of TensorFlow Datasets (needs tensorflow), or prepare "
        "cars3d from its archive",
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        help="remove decoded images from the cache whose files are gone or have changed",
    )
    parser.add_argument(
        "--image-size",
        metavar="PIXELS",
        type=count,
        help="resize images to this many pixels square",
    )
    parser.add_argument(
        "--image-key", metavar="NAME", help="name of the feature or array that holds the images"
    )
    parser.add_argument("--split", metavar="TRAIN/TEST", help="splits to train on and to hold out")
    parser.add_argument(
        "--value-range",
        metavar="LOW:HIGH",
        type=value_range,
        help="values of a black and of a white pixel (default: found from type and values)",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=count,
        default=2000,
        help="training images on which the intrinsic dimension is measured (default: 2000)",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=0,
        help="seed of the random choice of these images (default: 0)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=as_path,
        help="folder for a figure of some images (default: results/data/NAME)",
    )
