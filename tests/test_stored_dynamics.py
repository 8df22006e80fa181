"""What docs/results/learning_dynamics.md says of the kept records of VAEs of MNIST."""

import re
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
    "learned decoder", "learned first", "p", "nothing to learn", "recon. nats", "KL nats",
)  # fmt: skip


# The records, by the network that a section of the page is about.
KEPT = {
    "Convolutional": ("dynamics-compact-mnist.nc", "mnist/compact_vae"),
    "Dense": ("dynamics-dense-mnist.nc", "mnist/dense_vae"),
}


def records_of(network):
    name, place = KEPT[network]
    with xr.open_datatree(RESULTS / name) as opened:
        return opened[place].to_dataset().load()


def section_on(network):
    """The section of the page, in one line."""
    _, section = PAGE.read_text(encoding="utf-8").split(f"## {network} VAEs on MNIST\n")
    return in_one_line(section.partition("\n## ")[0])


@pytest.fixture(scope="module", params=KEPT)
def both(request):
    """The records of a network, and the section on it."""
    return records_of(request.param), section_on(request.param)


@pytest.fixture(scope="module")
def records():
    return records_of("Dense")


@pytest.fixture(scope="module")
def page():
    """The page in one line."""
    return in_one_line(PAGE.read_text(encoding="utf-8"))


def in_one_line(text):
    return " ".join(text.split())


def test_the_table_of_objectives_is_that_of_the_records(both):
    records, section = both
    rows = [
        {name: text for name, text in row.items() if name in COLUMNS}
        for row in dynamics_rows([records])
    ]
    assert in_one_line(markdown_table(rows, left=["objective"])) in section


def test_the_table_of_layers_is_that_of_the_records(both):
    records, section = both
    alone = between(records, "seeds")
    found = {
        "lower with another strength": lost_by_layer(records, "strengths"),
        "lower with another objective": lost_by_layer(records, "objectives"),
        "beside another strength": lost_by_layer(records, "objectives", than="strengths"),
    }
    rows = []
    for index, layer in enumerate(records["layer"].values.tolist()):
        row = {"layer": layer, "another seed": f"{alone[layer]:.2f}"}
        for name, each in found.items():
            value, low, high = (part[index] for part in (each.value, *each.limits()))
            row[name] = f"{value:.3f} ({low:.3f} to {high:.3f})"
        rows.append(row)
    assert in_one_line(markdown_table(rows[1:], left=["layer"])) in section


def test_what_is_said_of_convolutional_networks_is_what_the_command_says_of_the_records():
    records, section = records_of("Convolutional"), section_on("Convolutional")
    verdict, counts, layers, alike, each = findings([records])
    (test,) = re.findall(r"\(([^()]*epochs by CKA.*)\)", verdict)
    assert "The decoder was learned first" in verdict
    assert f"the encoder was first in 11 and the decoder in 64 ({test})" in section
    assert "the encoder was first in 75 and the decoder in 0" in counts
    start = re.search(r"a CKA with it of (.*) in the encoder and (.*) in the decoder", counts)
    said = "encoders have a CKA of {} with the trained ones, and untrained decoders {}."
    assert said.format(*start.groups()) in section
    (nothing,) = re.findall(r"encoder/1 [0-9.]* \(nothing to learn in (\d+)\)", layers)
    assert f"in {nothing} models it had nothing to learn" in section
    assert each.replace("*", "").removeprefix("- ") in section
    found = re.search(r"at any strengths, it is lower by (.*); .* limits\)\. (That .*)$", alike)
    for part in found[1].split(", "):
        assert f"{part.split(' ', 1)[1]} in the {part.split(' ', 1)[0]}" in section
    assert found[2].removesuffix(".") in section
    assert "also without any one of the objectives" in section
    for name in np.unique(records["objective"]):
        rest = np.flatnonzero(records["objective"] != name)
        assert encoder_loses_less(records.isel(run=rest, other_run=rest)) is True
    rest = np.flatnonzero(records["objective"] != "annealed_vae")
    others = records.isel(run=rest, other_run=rest)
    encoder, mean, *_ = lost(others, "objectives", than="strengths").value
    assert f"it is {encoder:.3f} in the encoder and {mean:.3f} in the mean" in section


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
    names = [part.replace("_", "-") for part in PARTS]
    one, two, three, last = (
        f"{shown} in the {name}" for shown, name in zip(taken(records), names, strict=True)
    )
    assert f"at any strengths, by {one}, {two}, {three} and {last} (95% limits)" in page
    assert encoder_loses_less(records) is False
    rest = np.flatnonzero(records["objective"] != "annealed_vae")
    others = records.isel(run=rest, other_run=rest)
    *first, last = taken(others)
    assert f"is {', '.join(first)} and {last}" in page
    assert encoder_loses_less(others) is True
    encoder, mean, *_ = lost(others, "objectives", than="strengths").value
    assert f"the objective takes {encoder:.3f} from the encoder and {mean:.3f} from the" in page
    assert "Without annealed_vae it holds." in " ".join(findings([records]))


def taken(records):
    found = lost(records, "objectives")
    limits = zip(found.value, *found.limits(), strict=True)
    return [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in limits]


def test_without_models_that_two_objectives_have_in_common_the_answers_are_the_same(both):
    records, _ = both
    objective, value = records["objective"].values, records["value"].values
    one, other = (
        records.isel(run=(objective == name) & (value == 1)) for name in ("beta_vae", "beta_tc_vae")
    )
    np.testing.assert_array_equal(one["kl"], other["kl"])
    np.testing.assert_array_equal(one["debiased_cka"], other["debiased_cka"])
    rest = np.flatnonzero((objective != "beta_tc_vae") | (value != 1))
    distinct = records.isel(run=rest, other_run=rest)

    def answers(group):
        learnings = [learning(models) for _, models in by_objective(group)]
        each = [learned_first([one], tests=len(learnings)).first for one in learnings]
        return learned_first(learnings).first, each, encoder_loses_less(group)

    assert answers(records) == answers(distinct)
    if "compact_vae" in records.attrs["network"]:
        learnings = [learning(models) for _, models in by_objective(distinct)]
        assert f"(p = {learned_first(learnings).p_value:.3f} for the decoder)" in section_on(
            "Convolutional"
        )


def test_the_claims_have_these_numbers(records):
    claims = in_one_line((PAGE.parent / "claims.md").read_text(encoding="utf-8"))

    def shown(group):
        return [f"{value:.2f}".removeprefix("0") for value in lost(group, "objectives").value[:3]]

    encoder, mean, log_variance = shown(records_of("Convolutional"))
    assert f"{encoder} in the encoder, {mean} in the mean and {log_variance} in the log" in claims
    rest = np.flatnonzero(records["objective"] != "annealed_vae")
    others = shown(records.isel(run=rest, other_run=rest))
    assert "after this was seen ({}, {} and {})".format(*others) in claims
    assert "five objectives together ({}, {} and {})".format(*shown(records)) in claims


def test_encoders_of_the_annealed_vae_differ_at_the_same_rate(records, page):
    kl, value = records["kl"].isel(epoch=-1), records["value"]
    annealed, beta = (
        ((records["objective"] == name) & (value == strength)).values
        for name, strength in (("annealed_vae", 5), ("beta_vae", 8))
    )
    rates = [f"{float(kl[models].mean()):.1f}" for models in (annealed, beta)]
    layers = [name for name in records["layer"].values if name.startswith("encoder/")]
    alike = records["debiased_cka_between"].sel(layer=layers).mean("layer").values
    other = np.not_equal.outer(*[records["seed"].values] * 2)
    both, own = (
        f"{alike[np.outer(models, beta) & other].mean():.2f}".removeprefix("0")
        for models in (annealed, beta)
    )
    assert (
        f"nearly the same rate ({rates[0]} and {rates[1]} nats), its encoders have a CKA of {both} "
        f"with those of the beta-VAE, where those of the beta-VAE have {own} among each other"
        in page
    )
