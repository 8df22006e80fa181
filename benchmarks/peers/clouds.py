"""The data of the metric benchmarks, as .npy files that every library reads.

    python -m benchmarks.peers.clouds FOLDER KIND [SIZE ...]

Made in a process of its own, so that the one that measures memory stays small.

- `gaussian n d`: one standard Gaussian cloud.
- `layers n`: seven related spaces: 784 Gaussian features of variance 1 / i, and random tanh
  layers of 256, 64, 16, 64, 256 and 784 units on top of one another.
- `taps n channels ...`: what an untrained convolutional VAE makes of 32 x 32 sprites, for the
  channels of its encoder: 13 taps for four of them.
- `ordinary`, `offset`, `clusters`, `grid` with `n d`: two related Gaussian clouds as they
  are; moved by 1e4; in ten clusters of spread 1e-3, 10 apart; rounded to steps of 0.1.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from jaxvae.analysis import capture
from jaxvae.data import load
from jaxvae.models import convolutional_vae

ROOT = Path(__file__).parents[2]
WIDTHS = (256, 64, 16, 64, 256, 784)
Arrays = Iterator[np.ndarray]


def gaussian(n: int, d: int) -> Arrays:
    yield np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)


def layers(n: int) -> Arrays:
    rng = np.random.default_rng(1)
    space = rng.standard_normal((n, 784), dtype=np.float32)
    space /= np.sqrt(np.arange(1, 785, dtype=np.float32))
    yield space
    for width in WIDTHS:
        weights = rng.standard_normal((space.shape[1], width), dtype=np.float32)
        space = np.tanh(space @ weights / np.sqrt(np.mean(space**2) * len(weights)))
        yield space


def taps(n: int, *channels: int) -> Arrays:
    images = load("sprites", image_size=32, train_size=1, test_size=n).test.images
    vae = convolutional_vae(image_shape=(32, 32, 1), latents=16, widths=channels)
    variables = vae.init(jax.random.key(0))
    for tap in capture(vae, variables, images, key=jax.random.key(1)).values():
        yield tap.reshape(n, -1)


def hard(change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[int, int], Arrays]:
    """Two related clouds, both changed in the same way: `(cloud, labels) -> cloud`."""

    def clouds(n: int, d: int) -> Arrays:
        rng = np.random.default_rng(2)
        first, noise = rng.standard_normal((2, n, d), dtype=np.float32)
        labels = rng.integers(10, size=(n, 1))
        for cloud in (first, (first + noise) / np.sqrt(2)):
            yield change(cloud, labels).astype(np.float32)

    return clouds


KINDS: dict[str, Callable[..., Arrays]] = {
    "gaussian": gaussian,
    "layers": layers,
    "taps": taps,
    "ordinary": hard(lambda cloud, labels: cloud),
    "offset": hard(lambda cloud, labels: cloud + 1e4),
    "clusters": hard(lambda cloud, labels: 10 * labels + 1e-3 * cloud),
    "grid": hard(lambda cloud, labels: np.rint(cloud / 0.1) * 0.1),
}


def files(folder: Path, kind: str, *sizes: int) -> list[Path]:
    """The files of a kind of cloud, made first where they are absent."""
    home = folder / "-".join(map(str, (kind, *sizes)))
    if not home.exists():
        command = [sys.executable, "-m", __name__, folder, kind, *sizes]
        subprocess.run(list(map(str, command)), cwd=ROOT, check=True)
    return sorted(home.glob("*.npy"))


def main() -> None:
    folder, kind, sizes = Path(sys.argv[1]), sys.argv[2], tuple(map(int, sys.argv[3:]))
    home = folder / "-".join(sys.argv[2:])
    home.mkdir(parents=True)
    for index, array in enumerate(KINDS[kind](*sizes)):
        np.save(home / f"{index:02}.npy", array)


if __name__ == "__main__":
    main()
