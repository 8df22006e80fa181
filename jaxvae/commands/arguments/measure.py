"""What `jaxvae measure` is told."""

import argparse

from jaxvae.commands.arguments.declared import titles
from jaxvae.commands.arguments.places import place

_EXAMPLES = """\
examples:
  jaxvae measure pixels.npy mean.npy
  jaxvae measure layers.npz --metrics id,imbalance,cka --out results/layers
  jaxvae measure layers.npz:mean,sample pixels.npy --points 5000 --seed 1
  jaxvae measure layers.npz --labels labels.npy --metrics label-overlap,overlap --k 10

Arrays are [n, ...], the rows of all of them the same n points; trailing axes are flattened. A space
is named after its file, or its key in an archive. Results are printed; with --out DIR they are also
saved: DIR/records.nc (xarray), DIR/summary.md and DIR/figures/*.png.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    metrics = titles("analysis/registry", "METRICS")
    width = max(map(len, metrics)) + 2
    listed = "\n".join(f"  {name:{width}}{title}" for name, title in metrics.items())
    parser = commands.add_parser(
        "measure",
        help="dimension, imbalance and similarity of arrays in .npy and .npz files",
        description="Measure representations of the same points: each alone and each against each, "
        "with\nstandard errors, and beside every number its null: what data that hold nothing "
        "give.",
        epilog=f"metrics:\n{listed}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a .npy, a .npz (all its arrays) or .npz:KEY,KEY, what `jaxvae capture` wrote: "
        "FOLDER or FOLDER:LAYER,LAYER, or any zarr array or group, likewise",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        help="see below (default: id; for two spaces and more, also imbalance and cka; with "
        "--labels, also label-overlap)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=place, help="save results (default: print only)"
    )
    parser.add_argument("--labels", metavar="FILE", help="a class for every point [n]")
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        help="measure a random N of the points (default: all; time grows as N squared, and the "
        "dimension depends on N)",
    )
    parser.add_argument(
        "--k",
        metavar="K",
        type=int,
        help="neighbors (default: imbalance 1, overlaps 30, levina-bickel 20)",
    )
    parser.add_argument(
        "--parts",
        metavar="P",
        type=int,
        help="disjoint subsets that an error rests on (default: 10, fewer below 1,000 points)",
    )
    parser.add_argument(
        "--draws",
        metavar="M",
        type=int,
        default=5,
        help="data sets made for every null, each as costly as the metric; 0 for none (default: 5)",
    )
    parser.add_argument(
        "--seed", metavar="S", type=int, default=0, help="of points, subsets and nulls (default: 0)"
    )
