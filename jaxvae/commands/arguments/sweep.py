"""The options and the help of `jaxvae sweep`."""

import argparse

from jaxvae.commands.arguments.launch import add_launch
from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.settings import Notation, add_help, add_settings
from jaxvae.commands.arguments.values import seeds, several

_EXAMPLES = """\
examples:
  jaxvae sweep --data mnist --network dense_vae --latents 2,4,8,16 --coefficient beta=1,4 \\
      --seeds 0..4 --out runs/sweep
  jaxvae sweep --data mnist --network two_layer_hvae --option channels=16 top=20 \\
      --coefficient beta=0.5/1,1/1,2/1 --binarize --out runs/hierarchies
  jaxvae sweep --network dense_vae --option widths=512/256,128/64 --learning-rate 1e-3,3e-4 \\
      --objective beta_vae,beta_tc_vae --latents 8 --points 0 --plan --out runs/wide
  jaxvae capture runs/sweep/latents-2_beta-4_seed-0 --out layers

All settings of `jaxvae train` but --binarize and --epochs may have several values, with commas
between them, and all combinations are trained. If one value consists of several numbers, such as
the beta of every layer of a hierarchy or the widths of a network, these have / between them:
beta=0.5/1,1/1 trains one model with beta = 0.5 in the top layer and 1 in the lower one, and one
model with 1 in both.

The name of a run consists of the settings that vary, of its latents and coefficients where they
are given, and of its seed. More values of these settings, and more seeds, may be added later: runs
that are done are not trained again.

DIR/records.nc (xarray) has a dimension for every such setting, then seed and epoch; DIR/summary.md
and DIR/figures/*.png show means over seeds with their standard errors. `jaxvae report DIR/NAME`
and `jaxvae capture DIR/NAME --out FOLDER` read the run NAME, of which DIR/runs/NAME.npz is the
record.
"""


NOTATION = Notation(several, "/")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "sweep",
        help="train all combinations of some settings, on any number of machines",
        description="Train and measure all combinations of some settings of `jaxvae train`, on any "
        "number of\nmachines that share a folder.",
        add_help=False,
    )
    add_help(parser, _EXAMPLES, NOTATION)
    parser.set_defaults(after_interruption="The same command continues where it stopped.")
    parser.add_argument(
        "--out", metavar="DIR", type=as_path, required=True, help="folder for the results"
    )
    add_launch(parser)
    add_settings(parser, NOTATION)
    parser.add_argument(
        "--seeds",
        metavar="LIST",
        type=seeds,
        default=(0,),
        help="seeds of parameters, noise and batches, such as 0,3,7 or 0..4 (default: 0)",
    )
    parser.add_argument(
        "--snapshots",
        metavar="N",
        type=int,
        default=1,
        help="number of epochs at which models are measured, evenly spaced (default: 1, the last)",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        default=1000,
        help="distinct held-out images, or all where they are fewer, on which the intrinsic "
        "dimension of layers and the information imbalance between them are measured; 0 to leave "
        "this out, which is faster (default: 1000)",
    )
