"""The metric engine against its peers: the same points, the same answers, less time.

    python -m benchmarks.metrics [--quick] [--peers DIR] [--out FILE]

Every peer (DADApy, PyTorch, faiss, scikit-dimension) is installed by pip into an
environment of its own, kept in DIR, and answers from a process of its own that reads the
same float32 .npy files. Calls take turns, ours, theirs, ours, theirs; imports and a first
call are left out, but where a first call takes minutes it is the only one. NumPy is the
loop over pairs of spaces that one would write: a pair of every two widths is timed and
counted as often as these occur, which is an extrapolation.

A time is a median of calls. "Product" is the bare lower bound: for every space, the inner
products of a block of rows with all rows at full float32 precision and the largest of each
row, in blocks of 100 or 1,000 rows, whichever is faster. A peer agrees where its answer is
within 0.1% of ours. Memory is the peak of the whole process that computed ours, inputs
included. Some 40 minutes on two quiet cores, most of them the peers'; a few with `--quick`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.peers.environments import OURS, PEERS, Peer, PeerError, Worker, install
from benchmarks.peers.turns import Row, Session, measured
from jaxvae.commands.arguments.paths import as_path
from jaxvae.data.cache import cache_directory

RESULTS = Path(__file__).parent / "results" / "metrics.json"
NEIGHBOR_PEERS = ("DADApy", "PyTorch", "faiss", "scikit-dimension")
TOLERANCE = 1e-3
GIB = 2**30
# Float32 operations a second, without tensor cores, by the device kind that JAX reports.
PEAKS = {
    "Tesla T4": 8.1e12,
    "Tesla V100-SXM2-16GB": 15.7e12,
    "NVIDIA A100-SXM4-40GB": 19.5e12,
    "NVIDIA A100-SXM4-80GB": 19.5e12,
    "NVIDIA L4": 30.3e12,
    "NVIDIA H100 80GB HBM3": 66.9e12,
    "NVIDIA H200": 66.9e12,
}
HARD = ("ordinary", "offset", "clusters", "grid")
# Channels of the bottleneck paper's encoder: taps up to 16,384 wide.
PAPER = (64, 128, 256, 256)


def rows(n: int, pairs: int, channels: tuple[int, ...]) -> list[Row]:
    """Every row, for n points, and this many in the rows of pairs and of hard clouds."""
    flat, layers, taps = ("gaussian", n, 784), ("layers", n), ("taps", pairs, *channels)
    faster = dict.fromkeys(NEIGHBOR_PEERS, 1.0)
    few: Any = {"rounds": 3, "peer_rounds": 1}
    similarity = Row("", "", taps, {"NumPy": 10}, bare=False, most_bytes=4 * GIB, **few)
    return [
        Row(f"TwoNN, n = {n:,}, d = 784", "two_nn", flat, faster, most_products=1.3),
        Row(
            f"TwoNN, n = {2 * n:,}, d = 50",
            "two_nn",
            ("gaussian", 2 * n, 50),
            {},
            most_products=2.5,
        ),
        Row(
            f"II both ways, n = {n:,}, d = 784, 64",
            "information_imbalance",
            layers,
            {"DADApy": 10},
            (0, 2),
        ),
        Row(f"II of 7 spaces, n = {n:,}", "imbalance_matrix", layers, {"DADApy": 12}, **few),
        Row(f"Gride to rank 64, n = {n:,}, d = 784", "gride", flat, {"DADApy": 4}),
        *hard_rows(pairs),
        similarity._replace(work=f"CKA of 13 taps, n = {pairs:,}", function="cka_matrix"),
        similarity._replace(
            work=f"Procrustes of 13 taps, n = {pairs:,}", function="procrustes_matrix", rounds=1
        ),
    ]


def hard_rows(n: int) -> list[Row]:
    """The cost of exactness where products cannot be trusted, without targets."""
    few: Any = {"rounds": 3, "peer_rounds": 1, "bare": False}
    neighbors, imbalance = dict.fromkeys(NEIGHBOR_PEERS, 0.0), {"DADApy": 0.0}
    return [
        Row(f"{name}, n = {n:,}, d = 50: {kind}", function, (kind, n, 50), peers, spaces, **few)
        for name, function, peers, spaces in (
            ("TwoNN", "two_nn", neighbors, (0,)),
            ("II", "information_imbalance", imbalance, (0, 1)),
        )
        for kind in HARD
    ]


def accelerator_rows() -> list[Row]:
    """The rows that are measured on a GPU or TPU alone."""
    narrow, wide, layers = ("gaussian", 20_000, 50), ("gaussian", 20_000, 1024), ("layers", 50_000)
    return [
        Row("TwoNN, n = 20,000, d = 50", "two_nn", narrow, {}, most_seconds=4e-3),
        Row("TwoNN, n = 20,000, d = 1024", "two_nn", wide, {}, most_seconds=1e-2),
        Row("II of 7 spaces, n = 50,000", "imbalance_matrix", layers, {}, most_seconds=2),
    ]


def install_all(folder: Path, console: Console) -> tuple[dict[Peer, Path], dict[str, Any]]:
    """The interpreters of the peers that run here, and what each of all says of itself."""
    pythons, described = {}, {}
    for peer in (OURS, *PEERS):
        try:
            python = install(peer, folder)
            worker = Worker(peer, python)
            described[peer.name], pythons[peer] = worker.described, python
            worker.close()
        except PeerError as error:
            described[peer.name] = {"unavailable": str(error)}
        console.print(f"{peer.name}: {described[peer.name]}", highlight=False)
    return pythons, described


def cost_of_exactness(records: list[dict[str, Any]]) -> None:
    """Add to the rows of hard clouds how many times the ordinary cloud's they take."""
    ordinary = {
        row["function"]: row["median"][OURS.name]
        for row in records
        if row["cloud"][0] == "ordinary" and "median" in row
    }
    for row in records:
        if row["cloud"][0] in HARD and "median" in row and row["function"] in ordinary:
            row["times_ordinary"] = row["median"][OURS.name] / ordinary[row["function"]]


def table(records: list[dict[str, Any]], peak: float | None) -> Table:
    result = Table(title="Seconds: medians of calls in turns")
    for heading in ("work", "library", "seconds", "theirs / ours", "remarks", "target", "met"):
        right = heading in ("seconds", "theirs / ours")
        result.add_column(heading, justify="right" if right else "left")
    for row in records:
        lines = row_lines(row, peak) if "median" in row else [failed_line(row)]
        for first, line in zip((row["work"], *[""] * len(lines)), lines, strict=False):
            result.add_row(first, *line, end_section=line is lines[-1])
    return result


def failed_line(row: dict[str, Any]) -> tuple[str, ...]:
    return OURS.name, "", "", row["failures"][OURS.name]


def row_lines(row: dict[str, Any], peak: float | None) -> list[tuple[str, ...]]:
    """The cells of ours, of the bare product, and of every peer."""
    ours = row["median"][OURS.name]
    remarks = [f"{row['peak_bytes'][OURS.name] / GIB:.2f} GiB"]
    if "times_ordinary" in row:
        remarks.append(f"{row['times_ordinary']:.2f} times ordinary")
    if peak:
        remarks.append(f"{row['operations'] / ours / peak:.0%} of peak")
    own = next((name for name in ("bytes", "seconds") if name in row["targets"]), "")
    lines = [(OURS.name, f"{ours:.4g}", "", ", ".join(remarks), *verdict(own, row))]
    if row["product"]:
        remark = f"ours takes {row['products']:.2f} times"
        lines.append(("product", f"{row['product']:.4g}", "", remark, *verdict("product", row)))
    return lines + [peer_line(name, row) for name in row["peers"]]


def peer_line(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    if name not in row["ratio"]:
        return name, "", "", row["failures"].get(name, "not installed")
    off = row["differences"][name]
    remarks = ["extrapolated"] * (name in row["extrapolated"])
    if off is None:
        remarks.append("gives no number")
    elif off > TOLERANCE:
        remarks.append(f"differs by {off:.1e}")
    seconds, ratio = row["median"][name], row["ratio"][name]
    return name, f"{seconds:.4g}", f"{ratio:.1f}", ", ".join(remarks), *verdict(name, row)


def verdict(name: str, row: dict[str, Any]) -> tuple[str, str]:
    """The targets of a row, and whether they were met; empty if it has none."""
    target = row["targets"].get(name)
    if target is None:
        return "", ""
    met = "yes" if target["met"] else "NO"
    if "at_least" in target:
        return f"at least {target['at_least']:g}", met
    unit = {"bytes": "GiB", "seconds": "s", "product": "times"}[name]
    return f"at most {target['at_most'] / (GIB if name == 'bytes' else 1):g} {unit}", met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument(
        "--peers", type=as_path, default=cache_directory() / "peers", help="their environments"
    )
    parser.add_argument("--out", type=as_path, help="JSON file to write")
    options = parser.parse_args()
    console = Console()
    console.width = max(console.width, 130)
    out = options.out or RESULTS.with_stem("metrics-quick" if options.quick else RESULTS.stem)
    pythons, described = install_all(options.peers.absolute(), console)
    ours = described.pop(OURS.name)
    todo = rows(2000, 500, (16, 32, 64, 64)) if options.quick else rows(10_000, 5000, PAPER)
    todo += accelerator_rows() if ours["backend"] != "cpu" else []
    records = []
    with tempfile.TemporaryDirectory() as data:
        session = Session(pythons, Path(data))
        for row in todo:
            console.print(f"{row.work} ...")
            records.append(measured(row, session))
            cost_of_exactness(records)
            # After every row: what is done is not lost with the rest.
            measure.save(out, ours | {"peers": described}, records)
    console.print(table(records, PEAKS.get(ours["device"])))
    console.print(f"{ours['cpu']} x {ours['cpu_count']}, {ours['device']}: {out}")


if __name__ == "__main__":
    main()
