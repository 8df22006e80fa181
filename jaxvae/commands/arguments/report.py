"""What `jaxvae report` is told."""

import argparse

from jaxvae.commands.arguments.places import place
from jaxvae.commands.arguments.runs import add_run

_EXAMPLES = """\
examples:
  jaxvae report runs/first
  jaxvae report runs/first runs/second          compare them on the same held-out images
  jaxvae report runs/first --snapshot 781 --example 3 --out runs/first-early

Latents are moved one at a time from the posterior mean of one image, from -2 to 2, those of the
largest KL divergence from the prior first. Of a hierarchy, upper layers are kept from an image and
the others drawn from the prior.

DIR/report.html says how good the model is on held-out images, which latents collapsed and whether
training was still improving, with curves and these figures; DIR/figures holds them as PNG.

Of two runs, what every image costs (negative ELBO) is compared image by image, beside the terms of
it, active latents, training time and the settings that differ.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "report",
        help="show a trained model on a page: its loss, its latents, what it draws; or compare two",
        description="Write a page about a trained model: its loss and latents on held-out images,\n"
        "reconstructions, samples of the prior and latent traversals; or compare two.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    add_run(parser)
    parser.add_argument("other", nargs="?", type=place, metavar="RUN", help="to compare with")
    parser.add_argument(
        "--example",
        metavar="I",
        type=int,
        help="image to traverse, not of a hierarchy (default: 0)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=place,
        help="where report.html and figures/ go (default: RUN; what comes of two runs: "
        "results/report/RUN_RUN)",
    )
