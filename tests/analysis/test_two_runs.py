"""Two runs, compared image by image."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxvae.analysis.estimate import mean_estimate
from jaxvae.analysis.evaluation import evaluate
from jaxvae.analysis.two_runs import TwoRuns, compare_runs, different_settings
from jaxvae.report.two_runs import as_records, conclusion
from jaxvae.runs.building import build_model
from jaxvae.runs.config import RunConfig
from jaxvae.runs.saved import SavedRun

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, *SHAPE), dtype=np.uint8)
KEY = jax.random.key(1)
NAMES = ("one", "other")
CONFIG = RunConfig(network="dense_vae", options={"widths": [8]}, latents=2, epochs=1)


def saved(seed, **other):
    config = dataclasses.replace(CONFIG, **other)
    model = build_model(config, SHAPE)
    variables = jax.jit(model.init)(jax.random.key(seed))
    return SavedRun(config, model, variables, 1, (1,), "step 1", Path("run"))


@pytest.fixture(scope="module")
def runs():
    return saved(0), saved(1, latents=4, options={"widths": [8, 4]}, coefficients={"beta": 2.0})


@pytest.fixture(scope="module")
def found(runs):
    return compare_runs(runs, (IMAGES, IMAGES), key=KEY)


def test_the_difference_is_that_of_the_costs_of_the_same_images_with_its_own_error(runs, found):
    costs = []
    for run in runs:
        examples = evaluate(run.vae, run.variables, IMAGES, key=KEY).examples
        costs.append(np.float64(examples.distortion) + np.float64(examples.rates).sum(axis=1))
    paired = costs[1] - costs[0]
    value, stderr = found.differences["cost"]
    np.testing.assert_allclose(value, paired.mean(), rtol=1e-6)
    np.testing.assert_allclose(stderr, paired.std(ddof=1) / 30**0.5, rtol=1e-6)
    apart = sum(each.var(ddof=1) / 30 for each in costs) ** 0.5
    assert stderr < apart
    records = as_records(found, NAMES)
    np.testing.assert_allclose(records["cost"].sel(run="other").values, costs[1], rtol=1e-6)
    terms = found.differences["distortion"].value + found.differences["rate"].value
    np.testing.assert_allclose(terms, value, rtol=1e-6)


def test_exchanged_runs_have_the_opposite_difference_and_equal_ones_none(runs, found):
    there = found.differences["cost"]
    back = compare_runs(runs[::-1], (IMAGES, IMAGES), key=KEY).differences["cost"]
    assert back == (-there.value, there.stderr)
    same = compare_runs((runs[0], runs[0]), (IMAGES, IMAGES), key=KEY)
    assert same.differences["cost"] == (0, 0)
    assert "of other is not shown to differ from that of one on the same 30" in conclusion(
        same, NAMES
    )
    word = "lower" if there.value < 0 else "higher"
    assert f"nats per image {word} than that of one on the same 30" in conclusion(found, NAMES)


def test_equal_models_are_said_to_differ_on_few_images_in_a_twentieth_of_cases():
    random, images, draws = np.random.default_rng(0), 3, 2000
    side, said = SimpleNamespace(costs={"cost": np.zeros(images)}), 0
    for _ in range(draws):
        difference = mean_estimate(random.standard_normal(images))
        found = TwoRuns((side, side), {"cost": difference}, "")
        said += "not shown to differ" not in conclusion(found, NAMES)
    assert abs(said / draws - 0.05) < 3 * np.sqrt(0.05 * 0.95 / draws)


def test_a_model_that_is_not_finite_is_compared_with_none_and_one_image_tells_of_no_others(runs):
    one, other = runs
    broken = other._replace(variables=jax.tree.map(lambda leaf: leaf * np.nan, other.variables))
    found = compare_runs((one, broken), (IMAGES, IMAGES), key=KEY)
    assert found.differences == {}
    assert "are not compared: one of them is not finite" in conclusion(found, NAMES)
    single = compare_runs(runs, (IMAGES[:1], IMAGES[:1]), key=KEY)
    assert "on the same 1 held-out image, which does not tell" in conclusion(single, NAMES)


def test_costs_of_other_images_or_another_likelihood_are_not_compared(runs):
    one, _ = runs
    other_images = compare_runs((one, one), (IMAGES, IMAGES[:20]), key=KEY)
    gaussian = saved(0, likelihood="gaussian")
    other_likelihood = compare_runs((one, gaussian), (IMAGES, IMAGES), key=KEY)
    for found, why in ((other_images, "held-out images"), (other_likelihood, "one likelihood")):
        assert found.differences == {}
        assert why in conclusion(found, NAMES)
    records = as_records(other_images, NAMES)
    assert records["cost"].notnull().sum("image").values.tolist() == [30, 20]


def test_settings_that_differ_stand_beside_each_other(runs):
    assert different_settings(*runs) == {
        "latents": (2, 4),
        "options.widths": ([8], [8, 4]),
        "coefficients.beta": (1.0, 2.0),
    }
