"""Grids of betas made by hand, and what is said of them."""

import numpy as np
import xarray as xr

from experiments.rate_allocation.claims import rate_conclusions
from experiments.rate_allocation.page import rate_page
from experiments.rate_allocation.summary import rate_summary
from experiments.rate_allocation.uses import uses

GRID = ("beta_top", "beta_bottom", "seed")
CLASSIFIERS = ["logistic regression", "nearest neighbors"]
POINTS, GENERATED = 40, 30


def grid(tops=3, bottoms=3, seeds=2, layers=2, channels=1):
    """A grid of cells that do not differ but by the noise of trainings and of images."""
    random = np.random.default_rng(0)
    shape, names = (tops, bottoms, seeds), [f"z_{i}" for i in range(layers, 0, -1)]

    def values(*inner):
        return random.uniform(1, 2, (*shape, *inner))

    by_epoch, by_classifier = (*GRID, "epoch"), (*GRID, "layer", "kind", "classifier")
    right = random.random((*shape, layers, 2, POINTS)) < 0.3
    accuracy = np.stack([right.mean(axis=-1)] * 2, axis=-2)
    variables = {
        "failed": (by_epoch, np.zeros((*shape, 2), bool)),
        "warnings": (by_epoch, np.full((*shape, 2), "", object)),
        "missing": (GRID, np.zeros(shape, bool)),
        "suspect": (GRID, np.zeros(shape, bool)),
        "excess_cost": (GRID, np.zeros(shape)),
        "rates": ((*by_epoch, "layer"), 10 * values(2, layers)),
        "information_bounds": ((*by_epoch, "layer"), 10 * values(2, layers)),
        "distortion": (by_epoch, 100 * values(2)),
        "accuracy": (by_classifier, accuracy),
        "accuracy_stderr": (by_classifier, np.full(accuracy.shape, 0.07)),
        "converged": (by_classifier, np.ones(accuracy.shape, bool)),
        "accuracy_bound": ((*GRID, "layer"), np.full((*shape, layers), 0.62)),
        "accuracy_bound_stderr": ((*GRID, "layer"), np.full((*shape, layers), 0.01)),
        "known_information": ((*GRID, "layer"), np.full((*shape, layers), 0.9)),
        "known_information_stderr": ((*GRID, "layer"), np.full((*shape, layers), 0.02)),
        "top_accuracy_bound": (GRID, np.full(shape, 0.56)),
        "top_accuracy_bound_stderr": (GRID, np.full(shape, 0.01)),
        "top_label_information": (GRID, np.full(shape, 0.7)),
        "top_label_information_stderr": (GRID, np.full(shape, 0.02)),
        "input_dimension": (GRID, np.full(shape, 12.0)),
        "image_distortion": ((*GRID, "image"), 100 * values(POINTS)),
        "image_rates": ((*GRID, "image", "layer"), 10 * values(POINTS, layers)),
        "image_squared_error": ((*GRID, "image"), 0.01 * values(POINTS)),
        "image_right": ((*GRID, "layer", "classifier", "image"), right),
        "generated_information": ((*GRID, "generated"), values(GENERATED)),
        "size": ("layer", [3] * layers),
        "label_shares": ("label", np.full(10, 0.1)),
        "example_input": (
            ("example", "height", "width", "channel"),
            random.integers(0, 256, (4, 8, 8, channels), np.uint8),
        ),
    }
    for name in ("intrinsic_dimension", "imbalance_to_input", "imbalance_from_input"):
        variables[name] = ((*GRID, "layer", "kind"), values(layers, 2) / 2)
    for name in ("example_reconstruction", "example_sample"):
        pixels = random.integers(0, 256, (2, 4, 8, 8, channels), np.uint8)
        variables[name] = (("corner", "example", "height", "width", "channel"), pixels)
    coords = {
        "beta_top": np.geomspace(0.1, 10, tops).round(6),
        "beta_bottom": np.geomspace(0.1, 10, bottoms).round(6),
        "seed": range(seeds),
        "epoch": [1, 5],
        "layer": names,
        "kind": ["sample", "mean"],
        "classifier": CLASSIFIERS,
        "corner": ["beta 0.1, 0.1", "beta 10, 10"],
    }
    attributes = {"data": "mnist", "binarized": 1, "network": "two_layer", "points": POINTS}
    return xr.Dataset(variables, coords, attributes)


def conclusions_of(records):
    return rate_conclusions(records, uses(records))


def summary_of(records):
    return rate_summary(records, uses(records), conclusions_of(records))


def page_of(records):
    return rate_page(records, uses(records), conclusions_of(records))
