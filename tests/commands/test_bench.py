"""How fast metrics and training are: what is printed, saved, and refused."""

import json
import re

import numpy as np
import pytest

from jaxvae.bench.metrics import largest_products
from jaxvae.bench.training import TrainingSpeed
from jaxvae.cli import main


def test_the_product_beside_a_metric_is_that_of_all_points_with_all_points():
    space = np.random.default_rng(0).standard_normal((7, 3), np.float32)
    wide = space.astype(np.float64)
    largest = (wide @ wide.T).max(axis=1)
    # Seven rows in blocks of three: the last one begins at the fifth.
    expected = largest[[[0, 1, 2], [3, 4, 5], [4, 5, 6]]]
    np.testing.assert_allclose(largest_products(space, block=3), expected, rtol=1e-6)


def test_models_an_hour_are_those_of_so_many_epochs():
    speed = TrainingSpeed("dense_vae", 32, 128, 1, 0.0, 1.0, images_per_second=2000.0)
    # 2,000 images a second are 7.2 million an hour, and a model takes 1.2 million.
    assert speed.models_per_hour(epochs=20, images=60_000) == 6


@pytest.mark.slow
def test_metrics_and_training_are_timed_printed_and_saved(tmp_path, monkeypatch, capsys):
    # No second is spent on calls after the first two.
    monkeypatch.setattr("jaxvae.bench.timing._SECONDS", 0.0)
    words = ["--points", "150", "--features", "3", "--metrics", "id,imbalance,cka,label-overlap"]
    words += ["--network", "dense_vae", "--image-size", "8", "--batch-size", "4"]
    assert main(["bench", *words, "--members", "1,2", "--out", str(tmp_path / "a" / "b.json")]) == 0
    shown = capsys.readouterr().out
    saved = json.loads((tmp_path / "a" / "b.json").read_text())
    assert saved["machine"]["backend"] == "cpu"
    metrics = {row["metric"]: row for row in saved["metrics"]}
    assert list(metrics) == ["id", "imbalance", "cka", "label-overlap"]
    for name, spaces in (("id", 1), ("imbalance", 2), ("label-overlap", 1)):
        pairs = spaces * 150**2 / metrics[name]["seconds"]
        assert metrics[name]["pairs_per_second"] == pytest.approx(pairs)
        assert f"\n {name} " in shown
    # No pairs are compared.
    assert metrics["cka"]["pairs_per_second"] is None
    for row in saved["metrics"]:
        assert min(row["first_seconds"], row["seconds"]) > 0
        assert row["share_of_product"] > 0
    one, two = saved["training"]
    assert (one["members"], two["members"]) == (1, 2)
    for row in (one, two):
        assert row["images_per_second"] == pytest.approx(1e3 * 4 / row["milliseconds"])
    assert shown.count("\n dense_vae ") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["speed"], "expected parts among metrics, training, got speed"),
        (["metrics", "--metrics", "id,size"], "expected metrics among id, .* got size"),
        (
            ["metrics", "--points", "20"],
            "expected at least 100 points and 1 feature, got points=20",
        ),
        (["training", "--network", "dense_vae,big_vae"], "network .*big_vae"),
        (["--network", "big_vae"], "network .*big_vae"),
    ],
)
def test_what_cannot_be_timed_is_refused_before_anything_is(words, message, tmp_path, capsys):
    assert main(["bench", *words, "--out", str(tmp_path / "b.json")]) == 2
    assert not list(tmp_path.iterdir())
    said = capsys.readouterr().err
    assert re.search(message, " ".join(said.split())), said
