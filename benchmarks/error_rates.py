"""How often the conclusions that jaxvae prints are wrong, on sweeps of which the truth is known.

    python -m benchmarks.error_rates [--sweeps N] [--out FILE]

Sweeps of six bottlenecks, 2 to 64, are drawn: log Delta(output -> input) by size, the same in all
seeds but for an offset of every seed and independent Gaussian noise. Printed and saved is how
often `sufficient_bottleneck` names the smallest sufficient size, how often another one, and how
many sizes it leaves as candidates. Expected: another one in at most 5% of every row; a plateau
with noise .05 and four seeds is named in at least 85%. Four minutes on one core.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import measure
from jaxvae.analysis import sufficient_bottleneck

RESULTS = Path(__file__).parent / "results" / "error_rates.json"
SIZES = 2 ** np.arange(1, 7)
STEPS = np.arange(len(SIZES))
# log Delta by size, and the smallest sufficient size: none, where Delta falls to the end.
SHAPES: dict[str, tuple[np.ndarray, int | None]] = {
    "noise only": (0.0 * STEPS, 2),
    "plateau from 8": (-np.log(2) * np.minimum(STEPS, 2), 8),
    "plateau from 16": (-np.log(2) * np.minimum(STEPS, 3), 16),
    "plateau from 32": (-np.log(2) * np.minimum(STEPS, 4), 32),
    "halving to the end": (-np.log(2) * STEPS, None),
    "22% less at every doubling": (np.log(0.78) * STEPS, None),
    "15% less at every doubling": (np.log(0.85) * STEPS, None),
}
SEEDS = (2, 3, 4, 5)
NOISE = (0.05, 0.1, 0.2, 0.3, 0.5)
SEED_OFFSET = 0.1


def sweep(shape: str, *, seeds: int, noise: float, random: np.random.Generator) -> np.ndarray:
    """Delta `[sizes, seeds]` of one sweep."""
    offsets = SEED_OFFSET * random.standard_normal(seeds)
    logs = SHAPES[shape][0][:, None] + offsets + noise * random.standard_normal((6, seeds))
    return 0.3 * np.exp(logs)


def rates(shape: str, *, seeds: int, noise: float, sweeps: int) -> dict[str, Any]:
    """Shares of sweeps by what was named."""
    random = np.random.default_rng((list(SHAPES).index(shape), seeds, round(100 * noise)))
    truth, right, wrong, kept, missed = SHAPES[shape][1], 0, 0, 0, 0
    for _ in range(sweeps):
        drawn = sweep(shape, seeds=seeds, noise=noise, random=random)
        advice = sufficient_bottleneck(SIZES, drawn)
        right += advice.bottleneck is not None and advice.bottleneck == truth
        wrong += advice.bottleneck is not None and advice.bottleneck != truth
        kept += len(advice.candidates)
        missed += truth is not None and truth not in advice.candidates
    return {
        "truth": shape,
        "seeds": seeds,
        "noise": noise,
        "right": right / sweeps,
        "wrong": wrong / sweeps,
        "excluded": missed / sweeps,
        "candidates": kept / sweeps,
    }


def table(records: list[dict[str, Any]]) -> Table:
    shown = Table(title="Smallest sufficient bottleneck named: right / wrong, % of sweeps")
    shown.add_column("truth")
    shown.add_column("seeds", justify="right")
    for noise in NOISE:
        shown.add_column(f"noise {noise:g}", justify="right")
    for shape in SHAPES:
        for seeds in SEEDS:
            row = [r for r in records if (r["truth"], r["seeds"]) == (shape, seeds)]
            shown.add_row(
                shape,
                str(seeds),
                *(f"{100 * r['right']:.0f} / {100 * r['wrong']:.1f}" for r in row),
            )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sweeps", type=int, default=1000, help="of every row and noise")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file")
    given = parser.parse_args()
    console, described = Console(width=100), measure.machine()
    cases = [(shape, seeds, noise) for shape in SHAPES for seeds in SEEDS for noise in NOISE]
    records = [
        rates(shape, seeds=seeds, noise=noise, sweeps=given.sweeps)
        for shape, seeds, noise in track(cases, console=Console(stderr=True))
    ]
    measure.save(given.out, described, records)
    console.print(table(records))


if __name__ == "__main__":
    main()
