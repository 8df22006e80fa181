"""The options and the help of `jaxvae measure`."""

import argparse

from jaxvae.commands.arguments.declared import metric_titles
from jaxvae.commands.arguments.paths import as_path
from jaxvae.commands.arguments.values import names

_EXAMPLES = """\
examples:
  jaxvae measure pixels.npy mean.npy
  jaxvae measure layers.npz --metrics id,imbalance,cka --out results/layers
  jaxvae measure layers.npz:mean,sample pixels.npy --points 5000 --seed 1
  jaxvae measure layers.npz --labels labels.npy --metrics label-overlap,overlap --k 10

Arrays are [n, ...], and row i of every array is the same point i; trailing axes are flattened. A
space, which is one array of representations, is named after its file, or after its key in a .npz.
Results are printed. With --out DIR they are also saved as DIR/records.nc (xarray), DIR/summary.md,
DIR/figures/*.png and DIR/report.html, a report for the browser.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    metrics = metric_titles()
    width = max(map(len, metrics)) + 2
    listed = "\n".join(f"  {name:{width}}{title}" for name, title in metrics.items())
    parser = commands.add_parser(
        "measure",
        help="measure dimension, imbalance and similarity of arrays in .npy, .npz or zarr",
        description="Measure representations of the same points, each alone and in pairs. Every "
        "number has a\nstandard error and a null: the value that unstructured data of the same "
        "size would give.",
        epilog=f"metrics:\n{listed}\n\n{_EXAMPLES}",
    )
    parser.set_defaults(after_interruption="Nothing was written.")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a .npy file; a .npz file (all its arrays) or FILE.npz:KEY,KEY; a folder that `jaxvae "
        "capture` wrote or FOLDER:LAYER,LAYER; or a zarr array or group, in the same way",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        type=names,
        help="metrics, which are listed below (default: id; with two arrays or more also imbalance "
        "and cka; with --labels also label-overlap)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=as_path, help="folder to save results in (default: print only)"
    )
    parser.add_argument("--labels", metavar="FILE", help="array [n] with the class of every point")
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
        help="number of neighbors (default: 1 for imbalance, 30 for overlaps, 20 for "
        "levina-bickel)",
    )
    parser.add_argument(
        "--parts",
        metavar="P",
        type=int,
        help="random groups of points that the standard error comes from: disjoint subsets for id, "
        "id-mle and imbalance where each has 100 points or more, else a jackknife (default: 10)",
    )
    parser.add_argument(
        "--draws",
        metavar="M",
        type=int,
        default=5,
        help="unstructured data sets that are drawn for every null, each of which costs as much "
        "time as the metric; 2 or more, or 0 for no nulls (default: 5)",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=0,
        help="seed of the random choice of points, subsets and nulls (default: 0)",
    )
