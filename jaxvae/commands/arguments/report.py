"""The options and the help of `jaxvae report`."""

import argparse

from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.runs import add_run

_EXAMPLES = """\
examples:
  jaxvae report runs/first
  jaxvae report runs/first runs/second          compare them on the same held-out images
  jaxvae report runs/first --snapshot 781 --example 3 --out runs/first-early

DIR/report.html shows the loss on held-out images and its terms, which latents collapsed to the
prior, and whether training was still improving, with curves and figures; DIR/figures holds the
figures as PNG files.

Latent traversals begin at the posterior mean of one image, and move one latent at a time from -2
to 2; latents with the largest KL divergence from the prior come first. For a hierarchy, the upper
layers of latents are those of an image, and the lower ones are drawn from the prior.

For two runs, the negative ELBO of every image is compared image by image, with its terms, active
units, training time and the settings that differ.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "report",
        help="write a report on a trained model: its loss, latents and images; or compare two",
        description="Write a report on a trained model: its loss and latents on held-out images,\n"
        "reconstructions, samples of the prior and latent traversals; or compare two.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    add_run(parser)
    parser.add_argument(
        "other",
        nargs="?",
        type=as_path,
        metavar="RUN",
        help="another run, to compare with the first",
    )
    parser.add_argument(
        "--example",
        metavar="I",
        type=int,
        help="index of the image whose latents are traversed; not for a hierarchy (default: 0)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=as_path,
        help="folder for report.html and figures/ (default: RUN; for two runs "
        "results/report/RUN_RUN)",
    )
