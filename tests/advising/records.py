"""Records of a sweep over bottleneck sizes, as `jaxvae sweep` writes them, made up."""

import numpy as np
import xarray as xr

LAYERS = ["input", "mean", "sample", "output"]


def records_of(
    imbalance,
    *,
    cost=None,
    training_cost=None,
    earlier=1.0,
    active=None,
    sizes=None,
    dimensions=(),
):
    """Of `[k, s]` imbalances at the last of two epochs; other numbers as they are given.

    `earlier` is the factor of the imbalance at the epoch before; the rate is 20 nats,
    the standard errors of costs over images 1 nat;
    `dimensions` are `[k]` by layer.
    """
    imbalance = np.asarray(imbalance, float)
    count, seeds = imbalance.shape
    sizes = np.array([2**place for place in range(1, count + 1)]) if sizes is None else sizes
    by_seed = lambda values: np.repeat(np.asarray(values, float)[:, None], seeds, axis=1)  # noqa: E731
    cost = by_seed(np.full(count, 100.0) if cost is None else cost)
    training = cost if training_cost is None else by_seed(training_cost)
    known = {"input": np.full(count, 5.0), **dict.fromkeys(LAYERS[1:], sizes)}
    known |= dict(dimensions)
    dimension = np.stack([by_seed(known[name]) for name in LAYERS], axis=-1)
    matrix = np.full((count, seeds, 2, 4, 4), np.nan)
    matrix[:, :, :, 3, 0] = np.stack([imbalance * earlier, imbalance], axis=2)
    epochs = lambda values: np.stack([values, values], axis=2)  # noqa: E731
    run = ("latents", "seed", "epoch")
    active = by_seed(sizes if active is None else active)
    return xr.Dataset(
        {
            "imbalance": ((*run, "layer", "other_layer"), matrix),
            "intrinsic_dimension": ((*run, "layer"), epochs(dimension)),
            "reconstruction": (run, epochs(cost - 20)),
            "kl": (run, epochs(0 * cost + 20)),
            "training_cost": (run, epochs(training)),
            "cost_stderr": (run, epochs(np.ones_like(cost))),
            "training_cost_stderr": (run, epochs(np.ones_like(cost))),
            "active_units": ((*run, "latent_layer"), epochs(active)[..., None]),
            "failed": (run, np.zeros((count, seeds, 2), bool)),
            "missing": (("latents", "seed"), np.zeros((count, seeds), bool)),
        },
        coords={
            "latents": sizes,
            "seed": range(seeds),
            "epoch": [4, 8],
            "layer": LAYERS,
            "other_layer": LAYERS,
            "latent_layer": ["z"],
        },
        attrs={"points": 500},
    )


def falling(plateau, *, sizes=(2, 4, 8, 16), seeds=5, noise=0.02):
    """Imbalances that halve at every doubling until a size, with noise that is always the same."""
    random = np.random.default_rng(0)
    least = np.minimum(sizes, plateau)[:, None]
    return 0.4 / least * np.exp(noise * random.standard_normal((len(sizes), seeds)))
