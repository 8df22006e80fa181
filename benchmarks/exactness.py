"""The reference cases on this device: our numbers beside those of independent implementations.

Cases, numbers and tolerances are those of the tests (`tests/reference`), read here without pytest,
so that a bare accelerator can run them: products of lower precision, such as TF32, would not pass.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae import metrics

FOLDER = Path(__file__).parents[1] / "tests" / "reference"
Arrays = dict[str, np.ndarray]


class Case(NamedTuple):
    """A case of the index that we have a number for.

    Attributes:
        name: name of the case.
        listed: what the index says of it.
        found: `inputs -> our numbers by the name of the expected ones`.
    """

    name: str
    listed: Mapping[str, Any]
    found: Callable[[Arrays], dict[str, Any]]


def cases() -> Iterator[Case]:
    """The reference cases of dimension, imbalance, overlap and similarity."""
    for listed in json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["cases"]:
        for kind, found in _FOUND.items():
            if kind in listed["kind"]:
                yield Case(listed["name"], listed, lambda x, f=found, c=listed: f(x, c))


def deviation(case: Case) -> float:
    """The largest difference from an expected number, in units of its tolerance: at most 1."""
    with np.load(FOLDER / case.listed["file"]) as file:
        inputs = {key: file[key] for key in file.files if not key.startswith("expected_")}
        wanted = {key: file[f"expected_{key}"] for key in case.listed["expected"]}
    worst = 0.0
    for key, found in case.found(inputs).items():
        tolerance = case.listed["expected"][key]["tolerance"]
        want, got = (np.asarray(each, np.float64) for each in (wanted[key], found))
        known = ~np.isnan(want)
        allowed = tolerance.get("atol", 0) + tolerance.get("rtol", 0) * np.abs(want[known])
        difference = np.abs(got[known] - want[known])
        # Numbers that have to be equal have no tolerance.
        shares = np.where(difference == 0, 0, difference / np.maximum(allowed, 1e-300))
        worst = max(worst, float(shares.max(initial=0)))
    return worst


def _dimension(inputs: Arrays, case: Mapping[str, Any]) -> dict[str, Any]:
    fit, likelihood = metrics.two_nn(inputs["x"]), metrics.two_nn_mle(inputs["x"])
    return {"twonn_fit": fit.value, "twonn_ml": likelihood.value, "n_used": fit.points}


def _imbalance(inputs: Arrays, case: Mapping[str, Any]) -> dict[str, Any]:
    spaces, ks = list(inputs.values()), case["parameters"]["ks"]
    matrices = np.stack([metrics.imbalance_matrix(spaces, k=k) for k in ks])
    if "matrix" in case["expected"]:
        return {"matrix": matrices}
    return {"a_to_b": matrices[:, 0, 1], "b_to_a": matrices[:, 1, 0]}


def _overlap(inputs: Arrays, case: Mapping[str, Any]) -> dict[str, Any]:
    a, b, labels, k = inputs["a"], inputs["b"], inputs["labels"], case["parameters"]["k"]
    return {
        "overlap": metrics.neighborhood_overlap(a, b, k=k),
        "labels_a": metrics.label_overlap(a, labels, k=k),
        "labels_b": metrics.label_overlap(b, labels, k=k),
    }


def _similarity(inputs: Arrays, case: Mapping[str, Any]) -> dict[str, Any]:
    pair = inputs["x"], inputs["y"]
    values = {
        "cka": metrics.linear_cka(*pair),
        "cka_debiased": metrics.debiased_cka(*pair),
        "procrustes": metrics.procrustes_similarity(*pair),
    }
    return {key: value for key, value in values.items() if key in case["expected"]}


_FOUND: dict[str, Callable[[Arrays, Mapping[str, Any]], dict[str, Any]]] = {
    "twonn": _dimension,
    "information_imbalance": _imbalance,
    "overlap": _overlap,
    "similarity": _similarity,
}
