"""The options and the help of `jaxvae train`."""

import argparse

from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.settings import add_help, add_settings
from jaxvae.commands.arguments.values import count

_EXAMPLES = """\
examples:
  jaxvae train --train-size 10000 --out runs/first
  jaxvae train --data mnist --network dense_vae --option widths=256,128 --out runs/mnist
  jaxvae train --objective beta_tc_vae --coefficient beta=6 --ramp beta=10000 --out runs/tc
  jaxvae train --objective annealed_vae --coefficient capacity=25 --ramp capacity=100000 \\
      --out runs/annealed
  jaxvae train --from runs/first --epochs 20 --learning-rate 1e-5 --out runs/longer
  jaxvae train --data mnist --network two_layer_hvae --option channels=16 top=20 \\
      --coefficient beta=0.5,1 --out runs/hierarchy
  jaxvae train --data mnist --network two_layer_hvae --objective rate_targets \\
      --coefficient targets=10,20 --out runs/targets

After an interruption or a kill, the same command continues where it stopped, and ends with the same
numbers as a run that was never interrupted; with more --epochs, it continues a finished run. With
--from RUN, training continues in another folder, if wanted with another learning rate, batch size
or objective. Coefficients are constant unless a --ramp is given; the ramp of the annealed VAE above
is that of its paper.

DIR/run.json holds the settings, DIR/snapshots the learned parameters (for `jaxvae capture` and
`jaxvae report`), DIR/held_out.json the loss and its terms on held-out images, and DIR/resume the
state from which training continues.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a VAE, or continue its training after an interruption",
        description="Train a VAE on images: any data set, network, likelihood and objective.",
        add_help=False,
    )
    add_help(parser, _EXAMPLES)
    parser.set_defaults(after_interruption="The same command continues where it stopped.")
    parser.add_argument(
        "--out", metavar="DIR", type=as_path, required=True, help="folder for the run"
    )
    parser.add_argument(
        "--from",
        dest="origin",
        metavar="RUN",
        type=as_path,
        help="begin with the parameters of the finished run in this folder, and with its settings "
        "unless others are given; --epochs includes the epochs of RUN",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code outside of jaxvae that RUN names, such as a network of your own",
    )
    add_settings(parser)
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=argparse.SUPPRESS,
        help="seed of parameters, noise and batches (default: 0)",
    )
    parser.add_argument(
        "--snapshots",
        metavar="N",
        type=int,
        default=1,
        help="number of snapshots to keep, evenly spaced in epochs (default: 1, the last epoch)",
    )
    parser.add_argument(
        "--devices",
        metavar="N",
        type=count,
        help="number of devices of this machine that share every batch; it may change when a run "
        "is continued (default: one)",
    )
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="share every batch between all devices of several processes, each of which is given "
        "this command; they are started by SLURM, by Open MPI or on a TPU pod, or find each other "
        "by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID",
    )
