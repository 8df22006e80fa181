"""The quantities by their definitions, in float64 NumPy, one point at a time."""

import numpy as np


def squared_distances(x, y=None):
    x = flat(x)
    y = x if y is None else flat(y)
    return np.stack([((row - y) ** 2).sum(axis=1) for row in x])


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
    low, high = np.zeros(indices.shape), np.zeros(indices.shape)
    for point, targets in enumerate(indices):
        for place, target in enumerate(targets):
            others = np.delete(distances[point], [point, target])
            limit = distances[point, target]
            closer = (others < limit * (1 - tolerance)).sum()
            open_ = (others <= limit * (1 + tolerance)).sum() - closer
            low[point, place] = 1 + closer + (open_ / 2 if tolerance == 0 else 0)
            high[point, place] = 1 + closer + (open_ / 2 if tolerance == 0 else open_)
    return low, high


def shares(x, k):
    """What every point has of the first k places around each: those that tie share the last."""
    distances = distances_to_others(x)
    kth = np.sort(distances, axis=1)[:, k - 1, None]
    closer, tied = distances < kth, distances == kth
    left = k - closer.sum(axis=1, keepdims=True)
    return closer + tied * left / tied.sum(axis=1, keepdims=True)


def mid_ranks(x):
    """The rank of every point around each: 1 + closer ones + half of the others as far."""
    ranks = []
    for distances in distances_to_others(x):
        ordered = np.sort(distances)
        closer = np.searchsorted(ordered, distances, side="left")
        as_far = np.searchsorted(ordered, distances, side="right") - closer - 1
        ranks.append(1 + closer + as_far / 2)
    return np.stack(ranks)


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
    kept = min(int(np.floor((1 - discard) * n)), n - 1)
    ordinates = -np.log(1 - np.arange(1, kept + 1) / n)
    return (ratios[:kept] * ordinates).sum() / (ratios[:kept] ** 2).sum()


def two_nn_mle(x):
    ratios = log_ratios(x)
    return (len(ratios) - 1) / ratios.sum()


def flat(x):
    return np.asarray(x).astype(np.float64).reshape(len(x), -1)
