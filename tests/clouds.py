"""Clouds that are inside the contract and break ordinary float32 code."""

import jax.numpy as jnp
import numpy as np
import pytest

N, WIDTH = 300, 20


def gaussian(n=N, d=WIDTH, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def rotation(d=WIDTH, seed=0):
    """Orthogonal, in float64."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def clusters(separation, count=2, spread=1e-3, n=N, d=WIDTH):
    sites = separation * (np.arange(n) % count)
    return (sites[:, None] + spread * gaussian(n, d)).astype(np.float32)


def grid(levels=4, d=WIDTH, n=N):
    return np.random.default_rng(1).integers(0, levels, (n, d))


def outlier():
    cloud = gaussian()
    cloud[7] = 1e6
    return cloud


def near_duplicates():
    cloud = gaussian()
    cloud[1::2] = cloud[::2] * (1 + 1e-6 * gaussian()[1::2])
    return cloud


def exact_duplicates():
    return np.tile(gaussian(N // 3), (3, 1))


def many_duplicates():
    """More copies of a row than any fixed margin of candidates holds."""
    return np.tile(gaussian(N // 50), (50, 1))


def tiny_beside_one():
    cloud = gaussian() * np.float32(1e-27)
    cloud[:, 0] = 1
    return cloud


def constant_columns():
    cloud = gaussian()
    cloud[:, 3:] = 0.1
    return cloud


def hidden_steps():
    """Whole numbers, but for steps that centering at 100 rounds away."""
    cloud = np.full((N, WIDTH), 100.0, np.float32)
    cloud[:140] = 0
    cloud[:140, 0] = np.random.default_rng(0).permutation(140) * 1e-8
    cloud[:140, 1] = np.arange(140) % 2
    cloud[140:, 1] += grid(d=1)[140:, 0]
    return cloud


def half_dead():
    """A layer of which half of the rows are zero: their nearest neighbors are all the others."""
    layer = gaussian(seed=5)
    layer[::2] = 0
    return layer


# Every one is [N, WIDTH], so that all share one compilation.
NASTY = {
    "plain": gaussian(),
    "offset 1e3": gaussian() + np.float32(1e3),
    "offset 1e4": gaussian() + np.float32(1e4),
    "offset 1e3, spread 1e-3, float64": 1e3 + 1e-3 * gaussian().astype(np.float64),
    "three clusters, float64": 100.0 * ((np.arange(N) + 1) % 3)[:, None]
    + 1e-4 * gaussian().astype(np.float64),
    "offset 1e9, int64": 10**9 + (1e4 * gaussian()).astype(np.int64),
    "scale 1e20": gaussian() * np.float32(1e20),
    "scale 1e-22": gaussian() * np.float32(1e-22),
    "spread 1e-27 beside a column of ones": tiny_beside_one(),
    "scale 1e-3": gaussian() * np.float32(1e-3),
    "scale 1e6": gaussian() * np.float32(1e6),
    "one row at 1e6": outlier(),
    "near duplicates": near_duplicates(),
    "exact duplicates": exact_duplicates(),
    "many duplicates": many_duplicates(),
    "clusters 2 apart": clusters(2),
    "clusters 10 apart": clusters(10),
    "clusters 100 apart": clusters(100),
    "ten clusters": clusters(10, count=10),
    "grid": grid().astype(np.float32),
    "grid 0.1": (0.1 * grid()).astype(np.float32),
    "hidden steps": hidden_steps(),
    "binary": grid(2).astype(bool),
    "uint8": grid(256).astype(np.uint8),
    "float16": gaussian().astype(np.float16),
    "bfloat16": jnp.asarray(gaussian(), jnp.bfloat16),
    "constant columns": constant_columns(),
    "constant": np.full((N, WIDTH), 0.1, np.float32),
}
# Distances between these are exact in float32, so ties must be exact too.
TIED = {
    "grid": NASTY["grid"],
    "grid far from zero": NASTY["grid"] + 1e4,
    "grid of halves": NASTY["grid"] / 2 - 3,
    "binary": NASTY["binary"],
    "exact duplicates of whole numbers": np.tile(grid(50)[: N // 3], (3, 1)).astype(np.float32),
    "constant": NASTY["constant"],
}
# Nearest neighbors that tie: all, most, half, groups, and at a distance.
TIED_NEIGHBORS = {
    "constant": NASTY["constant"],
    "dead": np.where(np.arange(N)[:, None] % 60, 0, gaussian(seed=6)),
    "half dead": half_dead(),
    "many duplicates": NASTY["many duplicates"],
    "binary": NASTY["binary"],
}
# Every width is compiled anew.
WIDTHS = [1, 3, 17, 784, *(pytest.param(d, marks=pytest.mark.slow) for d in (16, 50, 300))]


def of_width(d):
    """A cloud with an offset, a tight cluster and repeated rows, in d dimensions."""
    cloud = gaussian(N, d) + np.float32(10)
    cloud[:60] = 10 + 0.003 * cloud[:60]
    cloud[60:70] = cloud[70:80]
    return cloud
