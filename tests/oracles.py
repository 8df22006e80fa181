"""The quantities by their definitions, in float64, from the differences of all pairs of points."""

from fractions import Fraction

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata


def squared_distances(x, y=None):
    x = flat(x)
    return cdist(x, x if y is None else flat(y), "sqeuclidean")


def whole(points):
    """The prepared points, with what float32 rounded off, in float64."""
    values = np.asarray(points.values, np.float64)
    return values if points.rest is None else values + np.asarray(points.rest, np.float64)


def distances_to_others(x):
    distances = squared_distances(x)
    np.fill_diagonal(distances, np.inf)
    return distances


def nearest(x, k):
    """Indices of the k nearest others, ties by lowest index."""
    return np.argsort(distances_to_others(x), axis=1, kind="stable")[:, :k]


def rank_bounds(x, indices, tolerance=0.0):
    """Ranks if every comparison closer than `tolerance` is lost, and if it is won.

    With tolerance 0 both are the mid-rank: ties count half.
    """
    distances = distances_to_others(x)
    limits = np.take_along_axis(distances, indices, axis=1)[:, :, None]
    closer = (distances[:, None] < limits * (1 - tolerance)).sum(axis=2)
    # The target itself is as far as the limit.
    open_ = (distances[:, None] <= limits * (1 + tolerance)).sum(axis=2) - closer - 1
    if tolerance == 0:
        return (1 + closer + open_ / 2,) * 2
    return 1 + closer, 1 + closer + open_


def shares(x, k):
    """What every point has of the first k places around each: those that tie share the last."""
    distances = distances_to_others(x)
    kth = np.sort(distances, axis=1)[:, k - 1, None]
    closer, tied = distances < kth, distances == kth
    left = k - closer.sum(axis=1, keepdims=True)
    return closer + tied * left / tied.sum(axis=1, keepdims=True)


def mid_ranks(x):
    """The rank of every point around each: 1 + closer ones + half of the others as far."""
    return rankdata(distances_to_others(x), axis=1)


def information_imbalance(a, b, k=1):
    n = len(a)
    return 2 / n * (shares(a, k) * mid_ranks(b)).sum() / (n * k)


def neighborhood_overlap(a, b, k):
    return (shares(a, k) * shares(b, k)).sum() / (len(a) * k)


def label_overlap(x, labels, k):
    return (shares(x, k) * (labels == labels[:, None])).sum() / (len(x) * k)


def log_ratios(x):
    distances = np.sort(distances_to_others(np.unique(flat(x), axis=0)), axis=1)
    return np.sort(0.5 * np.log(distances[:, 1] / distances[:, 0]))


def two_nn(x, discard=0.1):
    ratios = log_ratios(x)
    n = len(ratios)
    kept = min(int((1 - Fraction(str(discard))) * n), n - 1)
    ordinates = -np.log(1 - np.arange(1, kept + 1) / n)
    return (ratios[:kept] * ordinates).sum() / (ratios[:kept] ** 2).sum()


def two_nn_mle(x):
    ratios = log_ratios(x)
    return (len(ratios) - 1) / ratios.sum()


def centered(x):
    """Every row less their mean."""
    values = flat(x)
    return values - values.mean(axis=0)


def flat(x):
    return np.asarray(x).astype(np.float64).reshape(len(x), -1)
