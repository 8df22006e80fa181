"""What docs/results/learning_dynamics.md says of the kept records of dense VAEs on MNIST."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from benchmarks.kept import RESULTS
from experiments.learning_dynamics.selection import (
    PARTS,
    between,
    by_objective,
    encoder_loses_less,
    learned_first,
    learning,
    lost,
    lost_by_layer,
    to_final,
)
from experiments.learning_dynamics.summary import dynamics_rows, findings
from jaxvae.report.tables import markdown_table

PAGE = Path(__file__).parents[1] / "docs" / "results" / "learning_dynamics.md"
COLUMNS = (
    "objective", "similar encoder", "similar decoder", "similar first", "learned encoder",
    "learned decoder", "learned first", "p", "recon. nats", "KL nats",
)  # fmt: skip


@pytest.fixture(scope="module")
def records():
    with xr.open_datatree(RESULTS / "dynamics-dense-mnist.nc") as opened:
        return opened["mnist/dense_vae"].to_dataset().load()


@pytest.fixture(scope="module")
def page():
    """The page in one line."""
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def in_one_line(text):
    return " ".join(text.split())


def test_the_table_of_objectives_is_that_of_the_records(records, page):
    rows = [{name: row[name] for name in COLUMNS} for row in dynamics_rows([records])]
    assert in_one_line(markdown_table(rows, left=["objective"])) in page


def test_the_table_of_layers_is_that_of_the_records(records, page):
    alone = between(records, "seeds")
    found = {kind: lost_by_layer(records, kind) for kind in ("strengths", "objectives")}
    rows = []
    for index, layer in enumerate(records["layer"].values.tolist()):
        row = {"layer": layer, "another seed": f"{alone[layer]:.2f}"}
        for kind, each in found.items():
            value, low, high = (part[index] for part in (each.value, *each.limits()))
            name = f"lower with another {kind.removesuffix('s')}"
            row[name] = f"{value:.3f} ({low:.3f} to {high:.3f})"
        rows.append(row)
    assert in_one_line(markdown_table(rows[1:], left=["layer"])) in page


def test_the_verdict_on_which_half_is_first_is_that_of_the_records(records, page):
    order = learned_first([learning(models) for _, models in by_objective(records)])
    assert (order.first, order.encoder, order.decoder, order.seeds) == ("decoder", 11, 64, 5)
    assert "the decoder was first in 64 of the 75 models: 3.9 epochs earlier by CKA" in page
    assert f"{-order.lead:.1f}" == "3.9"
    assert order.p_value < 0.001
    each = findings([records])[-1].removeprefix("- **One objective at a time**, ")
    assert f"One objective at a time, {each.removesuffix('.')}" in page
    start = to_final(records).isel(epoch=0).mean("run")
    halves = [
        float(start.sel(layer=[layer for layer in start["layer"].values if half in layer]).mean())
        for half in ("encoder/", "decoder/")
    ]
    assert "have a CKA of {:.2f} with the trained ones".format(*halves) in page
    assert f"whose input is noise, {halves[1]:.2f}" in page


def test_what_objectives_take_is_that_of_the_records(records, page):
    found = lost(records, "objectives")
    limits = zip(PARTS, found.value, *found.limits(), strict=True)
    for part, value, low, high in limits:
        name = part.replace("_", "-")
        assert f"{value:.3f} ({low:.3f} to {high:.3f}) in the {name}" in page
    assert encoder_loses_less(records) is False
    left = between(records, "objectives")
    means = [
        np.mean([value for layer, value in left.items() if layer.split("/")[0] == part])
        for part in PARTS
    ]
    shown = [f"{mean:.2f}".removeprefix("0") for mean in means]
    assert (
        "a CKA of {} in the encoder, {} in the mean, {} in the log-variance and {} in the "
        "decoder".format(*shown)
        in page
    )
