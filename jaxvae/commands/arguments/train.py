"""What `jaxvae train` is told."""

import argparse

from jaxvae.commands.arguments.places import place
from jaxvae.commands.arguments.settings import add_help, add_settings
from jaxvae.sweeps.arguments import count

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
      --coefficient targets=10,20 --out runs/asked

Run again, a command goes on where it stopped, also after a kill, and ends with the numbers of a
run that was never interrupted; with more --epochs, a finished run goes on. With --from RUN it goes
on in a folder of its own, also with another learning rate, batch or objective. Coefficients are
constant without a --ramp: that of the annealed VAE is the paper's.

DIR/run.json holds the settings, DIR/snapshots what was learned, for `jaxvae capture` and
`jaxvae report`, DIR/held_out.json what it comes to on held-out images, DIR/resume the state to go
on from.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a VAE; run again, it goes on where it stopped",
        description="Train a VAE on images: any data set, network, likelihood and objective.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    add_help(parser, _EXAMPLES)
    parser.set_defaults(after_interruption="The same command resumes where it stopped.")
    parser.add_argument(
        "--out", metavar="DIR", type=place, required=True, help="folder of the run; made if absent"
    )
    parser.add_argument(
        "--from",
        dest="origin",
        metavar="RUN",
        type=place,
        help="begin with what the finished run in this folder has learned, with its settings where "
        "none are given; --epochs counts those of RUN",
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
        help="of parameters, noise and batches (default: 0)",
    )
    parser.add_argument(
        "--snapshots",
        metavar="N",
        type=int,
        default=1,
        help="snapshots to keep, evenly spaced in epochs (default: 1, of the end)",
    )
    parser.add_argument(
        "--devices",
        metavar="N",
        type=count,
        help="devices of this machine that share every batch; a run may go on with others "
        "(default: one)",
    )
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="all devices of several processes share every batch, each process being given this "
        "command: started by SLURM, Open MPI or on a TPU pod, or told in JAX_COORDINATOR_ADDRESS, "
        "JAX_NUM_PROCESSES and JAX_PROCESS_ID",
    )
