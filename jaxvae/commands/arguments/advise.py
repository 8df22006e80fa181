"""The options and the help of `jaxvae advise`."""

import argparse
import shlex

from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.settings import add_help, add_settings
from jaxvae.commands.arguments.values import count, positive

_EXAMPLES = """\
examples:
  jaxvae advise --data ~/photos --image-size 32 --out results/photos
  jaxvae advise --data mnist --minutes 10 --out results/mnist
  jaxvae advise runs/sweep                   the answer of a sweep over --latents, from its records
  jaxvae advise results/bottleneck/mnist     the answer of an experiment
  jaxvae advise results/rate_allocation/mnist    the best split of the rate between two layers

A bottleneck is enough if no larger one, nor one more step of sizes, lowers the information
imbalance from output to input by more than 25%, with 95% confidence over seeds. The first sizes
that are trained are around the intrinsic dimension of the data. Then the largest size is doubled
until a larger one adds nothing, the smallest is halved until it is too small or below the dimension
of the data, sizes between one that is too small and one that is enough are tried, and seeds are
added where they are needed. All models are trained for the same number of epochs: --epochs, or the
number after which more epochs add little to a large model, doubled if models of some size still
improve when all are done. When the minutes are over, the same command continues from there.

Unless another likelihood is given, pixels are Gaussian. Their standard deviation is chosen so that,
if the variance of the images is spread evenly over as many directions as their intrinsic dimension,
each direction has 20 times the variance of the noise. The network is dense_vae with widths 256 and
128, unless another is given.

DIR/summary.md, DIR/report.html, DIR/records.nc and DIR/figures hold the answer and its evidence;
DIR/epochs-E is a sweep: `jaxvae report DIR/epochs-E/latents-16_seed-0` reads one of its models.
"""

# The defaults that differ from those of a run.
_DEFAULTS = {
    "data": None,
    "network": "dense_vae",
    "likelihood": "gaussian",
    "learning_rate": 2e-3,
    "batch_size": 128,
    "epochs": None,
}
_HELPS = {
    # It is refused, with a reason.
    "latents": argparse.SUPPRESS,
    "likelihood": "likelihood of the images, one of those below (default: gaussian, with a "
    "standard deviation chosen from the images; see the end)",
    "epochs": "passes over the training images (default: as many as the models need; see the end)",
    "train-size": "training images (default: 20000, or all where there are fewer)",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "advise",
        help="say how large a bottleneck your images need, and why",
        description="Say how large a bottleneck some images need, and why: for a data set, by "
        "training as few models\nas decide it; or from the results of a sweep.",
        add_help=False,
    )
    add_help(parser, _EXAMPLES)
    parser.add_argument(
        "results",
        nargs="?",
        type=as_path,
        metavar="RESULTS",
        help="folder of a sweep or an experiment, from whose records.nc the answer is read "
        "(default: train models on --data)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=as_path,
        help="folder for the results (default: results/advise/DATA)",
    )
    parser.add_argument(
        "--minutes",
        metavar="M",
        type=positive,
        default=5.0,
        help="minutes of training, after which the same command continues (default: 5)",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=count,
        help="distinct held-out images on which the information imbalance between layers and "
        "their dimensions are measured, at least 50 (default: up to 2000)",
    )
    add_settings(parser, defaults=_DEFAULTS, helps=_HELPS)
    parser.set_defaults(
        after_interruption="The same command continues where it stopped.", check=_check
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what is neither a study nor one folder to read.

    Raises:
        ValueError: says what came.
    """
    if (arguments.results is None) == (arguments.data is None):
        raise ValueError(
            "expected --data DATA, to train models on, or else the folder of a sweep, got "
            f"{'neither' if arguments.data is None else 'both'}"
        )
    given = [word for word in shlex.split(arguments.line) if word.startswith("--")]
    if arguments.results is not None and given:
        raise ValueError(
            "expected the folder of a sweep alone, which is read as it is and printed, got "
            f"{', '.join(given)} beside it"
        )
    if "latents" in arguments:
        raise ValueError(
            f"expected no --latents, which is what the command looks for, got {arguments.latents}; "
            "`jaxvae sweep --latents` trains given sizes, and `jaxvae advise` reads them"
        )
