"""The answers of `jaxvae advise` for images of known dimension, and how long they take.

    python -m benchmarks.advise [--only NAME ...] [--minutes M] [--out FILE]

Every answer is that of the command, in a process of its own that begins with nothing compiled and
nothing trained. Images of a linear-Gaussian model of rank r need r latents. Ellipses have 1 to 5
free factors: two positions, size, elongation, and the angle, which goes once around. All five are
intervals but the angle, which is a circle; with the elongation it is a ring, which fits a plane, so
that as many latents as factors are enough in principle, and one more where the network does not
unroll it. Of MNIST and Fashion-MNIST nobody knows the truth. Expected: the smallest true size is
among the sizes that are left, and no smaller one is called enough. Minutes are wall-clock time,
beside the CPU seconds of all threads, which other work on the machine changes less.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import measure
from jaxvae.advising.criteria import decided_bounds
from jaxvae.advising.reading import read_records
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path
from jaxvae.report.tables import markdown_table

RESULTS = Path(__file__).parent / "results" / "advise.json"
FACTORS = ("x", "y", "size", "elongation", "angle")
# Smallest and largest size that is right, by name; None where nobody knows.
TRUTHS: dict[str, tuple[int, int] | None] = {
    **{f"linear {rank}": (rank, rank) for rank in (3, 6, 12)},
    **{f"ellipses {count}": (count, count + (count == 5)) for count in range(1, 6)},
    "mnist": None,
    "fashion_mnist": None,
}
_IMAGES, _SIDE = 8000, 28


def linear_images(rank: int, random: np.random.Generator, n: int = _IMAGES) -> np.ndarray:
    """Bytes around gray: a Gaussian of so many dimensions, drawn into orthogonal patterns."""
    patterns = np.linalg.qr(random.standard_normal((_SIDE**2, rank)))[0].T
    drawn = random.standard_normal((n, rank)) @ patterns * 0.14 * _SIDE / np.sqrt(rank)
    return np.rint(255 * np.clip(0.5 + drawn, 0, 1)).astype(np.uint8).reshape(-1, _SIDE, _SIDE)


def ellipse_images(count: int, random: np.random.Generator, n: int = _IMAGES) -> np.ndarray:
    """Ellipses with soft edges of which the first factors are uniform and the others fixed."""
    drawn = random.random((n, len(FACTORS), 1, 1))
    drawn[:, count:] = np.array([0.5, 0.5, 0.5, 0.5, 0.0])[count:, None, None]
    x, y, size, elongation, angle = np.moveaxis(drawn, 1, 0)
    at = (np.arange(_SIDE) + 0.5) / _SIDE
    right, down = at[None, None, :] - (0.3 + 0.4 * x), at[None, :, None] - (0.3 + 0.4 * y)
    cos, sin = np.cos(np.pi * angle), np.sin(np.pi * angle)
    radius, stretch = 0.09 + 0.09 * size, np.sqrt(1.3 + 0.9 * elongation)
    along, across = cos * right + sin * down, cos * down - sin * right
    outside = radius * (np.hypot(along / stretch, across * stretch) / radius - 1)
    # An edge of about a pixel.
    return np.rint(255 / (1 + np.exp(np.clip(3 * _SIDE * outside, -50, 50)))).astype(np.uint8)


IMAGES = {"linear": linear_images, "ellipses": ellipse_images}


def answered(name: str, minutes: float) -> dict[str, Any]:
    """The answer of the command for a set, and its cost."""
    kind, _, number = name.partition(" ")
    with tempfile.TemporaryDirectory() as folder:
        data, out = name, Path(folder, "out")
        if number:
            data = str(Path(folder, "images.npy"))
            draw, random = IMAGES[kind], np.random.default_rng(int(number))
            np.save(data, draw(int(number), random))
        words = ["advise", "--data", data, "--minutes", str(minutes), "--out", str(out)]
        code = "import sys; from jaxvae.cli import main; sys.exit(main(sys.argv[1:]))"
        cache = {"JAX_COMPILATION_CACHE_DIR": str(Path(folder, "programs"))}
        begun, used = time.perf_counter(), _cpu_seconds()
        subprocess.run(
            [sys.executable, "-c", code, *words], check=True, env={**os.environ, **cache}
        )
        times = {
            "minutes": (time.perf_counter() - begun) / 60,
            "cpu_seconds": _cpu_seconds() - used,
        }
        return {"name": name, "truth": TRUTHS[name], "limit": minutes, **times, **_found(out)}


def _found(out: Path) -> dict[str, Any]:
    file = out / "records.nc"
    if not file.is_file():
        return {"insufficient": 0, "sufficient": None, "models": 0}
    with xr.open_dataset(file) as records:
        reading = read_records(records.load())
    bounds = decided_bounds(reading)
    return {
        **bounds._asdict(),
        "answer": str(bounds),
        "sizes": reading.sizes.tolist(),
        "imbalance": reading.imbalance.tolist(),
        "epochs": reading.epoch,
        "models": reading.imbalance.size,
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def verdict(record: dict[str, Any]) -> str:
    """Whether the truth is named, left among others, or missed."""
    if record["truth"] is None:
        return "unknown"
    low, high = record["truth"]
    enough, short = record["sufficient"], record["insufficient"]
    if enough is not None and enough < low:
        return "too small"
    if short >= high:
        return "too large"
    return "named" if enough is not None and low <= enough == short + 1 else "among them"


def table(records: list[dict[str, Any]]) -> str:
    """The table for the page on choosing a bottleneck."""
    rows = [
        {
            "images": one["name"],
            "true dimension": "·"
            if one["truth"] is None
            else " to ".join(map(str, sorted({*one["truth"]}))),
            "enough": str(one["sufficient"] or "not decided"),
            "sizes not excluded": one.get("answer", "all"),
            "true dimension is": verdict(one),
            "models": str(one["models"]),
            "minutes": f"{one['minutes']:.1f}",
            "CPU seconds": f"{one['cpu_seconds']:.0f}",
        }
        for one in records
    ]
    return markdown_table(rows, left=["images"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=TRUTHS, default=[*TRUTHS], metavar="NAME")
    parser.add_argument("--minutes", type=float, default=5.0, help="that training may take")
    parser.add_argument("--out", type=as_path, default=RESULTS, help="JSON file")
    given = parser.parse_args()
    described, records = machine(), []
    for name in given.only:
        records.append(answered(name, given.minutes))
        measure.save(given.out, described, records)
    Console(width=120).print(Markdown(table(records)))


if __name__ == "__main__":
    main()
