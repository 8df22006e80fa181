"""The options and the help of `jaxvae export`."""

import argparse

from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.runs import add_snapshot

_EXAMPLES = """\
examples:
  jaxvae export runs/first --to safetensors
  jaxvae export runs/sweep/latents-2_beta-4_seed-0 --to npz --out small.npz

Names are the paths of flax joined with dots, such as encoder.Dense_0.kernel. Dense kernels are
[in, out] and kernels of convolutions [height, width, in, out]; docs/using_a_model.md shows how to
load them in PyTorch. The settings of the run are in the header of safetensors as `config`, and in
npz as `__config__`.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a trained model as one file, for PyTorch and others",
        description="Write the parameters of a trained model as one file of named arrays.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    add_snapshot(parser)
    parser.add_argument("--to", choices=("safetensors", "npz"), required=True, help="file format")
    parser.add_argument(
        "--out", metavar="FILE", type=as_path, help="the file (default: RUN.safetensors or RUN.npz)"
    )
