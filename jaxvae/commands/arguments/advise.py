"""What `jaxvae advise` is told."""

import argparse

from jaxvae.commands.arguments.declared import defaults
from jaxvae.commands.arguments.places import place
from jaxvae.commands.arguments.settings import add_help, add_settings

_EXAMPLES = """\
examples:
  jaxvae advise --data ~/photos --image-size 32 --out results/photos
  jaxvae advise --data mnist --minutes 10 --out results/mnist
  jaxvae advise runs/sweep                   what a sweep over --latents says, from its records
  jaxvae advise results/bottleneck/mnist     the same of an experiment
  jaxvae advise results/rate_allocation/mnist    where in a plane of rates the best split lies

Sizes begin around the intrinsic dimension of the data. The largest is doubled until it adds
nothing, then the middle between what is too small and what is enough is tried; seeds are added
where it is undecided; models are trained until a large one says that more epochs add little. A
size is enough if no larger one lowers the information imbalance from output to input by more than
25%, with 95% confidence over seeds. When the minutes are over, the same command goes on.

Pixels are Gaussian, with noise of which a direction of the images with its share of their variance
stands out by 20 to 1, unless a likelihood is given; the network is dense_vae with widths 256, 128.

DIR/summary.md, DIR/report.html, DIR/records.nc and DIR/figures hold the answer and its evidence;
DIR/epochs-E is a sweep: `jaxvae capture DIR/epochs-E/latents-16_seed-0` reads one of its models.
"""

# Where these differ from those of a run.
_DEFAULTS = {
    "data": None,
    "network": "dense_vae",
    "likelihood": "gaussian",
    "learning_rate": 2e-3,
    "batch_size": 128,
    "epochs": None,
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "advise",
        help="say how large a bottleneck your images need, and why",
        description="Say how large a bottleneck some images need, and why: of a data set, training "
        "as little as\ndecides; or of the results of a sweep.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    add_help(parser, _EXAMPLES)
    parser.add_argument(
        "results", nargs="?", type=place, metavar="RESULTS", help="folder of a sweep to read"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=place,
        help="folder of results, made if absent (default: results/advise/DATA)",
    )
    parser.add_argument(
        "--minutes",
        metavar="M",
        type=float,
        default=5.0,
        help="that training may take now; the same command goes on (default: 5)",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        help="held-out images on which Delta and dimensions are measured (default: up to 2000)",
    )
    add_settings(parser, defaults={**defaults("runs/config", "RunConfig"), **_DEFAULTS})
    parser.set_defaults(after_interruption="The same command resumes where it stopped.")
