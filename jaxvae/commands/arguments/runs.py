"""The options that choose a saved run and the images to show it."""

import argparse

from jaxvae.commands.arguments.paths import as_path, data_set


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """The options that choose a run and one of its snapshots."""
    parser.add_argument(
        "folder",
        metavar="RUN",
        type=as_path,
        help="folder of a run, with run.json and snapshots/; or OUT/NAME for the run NAME of a "
        "sweep in the folder OUT",
    )
    parser.add_argument(
        "--snapshot",
        metavar="STEP",
        type=int,
        help="step of a snapshot in RUN/snapshots (default: the latest)",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code outside of jaxvae that RUN names, such as a network of your own",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options that choose a run, one of its snapshots, and images."""
    add_snapshot(parser)
    parser.add_argument(
        "--data",
        metavar="DATA",
        type=data_set,
        help="data set or path of images (default: what the run was trained on)",
    )
    parser.add_argument(
        "--split",
        choices=("test", "train"),
        default="test",
        help="images to use: the held-out ones (test) or those for training (default: test)",
    )
    parser.add_argument(
        "--examples", metavar="N", type=int, help="use the first N images (default: all)"
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=0,
        help="seed of the noise of posteriors and of samples of the prior (default: 0)",
    )
