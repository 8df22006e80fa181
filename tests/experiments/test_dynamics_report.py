"""Learning dynamics in words and figures, from records whose story is known."""

import matplotlib.image
import numpy as np
import pytest
import xarray as xr

from experiments.learning_dynamics import Config
from experiments.learning_dynamics.comparing import between_file
from experiments.learning_dynamics.config import data_and_networks
from experiments.learning_dynamics.figures import draw_dynamics
from experiments.learning_dynamics.records import gather
from experiments.learning_dynamics.runs import runs
from experiments.learning_dynamics.selection import (
    between,
    encoder_loses_less,
    learning,
    lost,
    to_final,
)
from experiments.learning_dynamics.summary import dynamics_rows, dynamics_summary
from jaxvae.runs.sweep_run import Place
from jaxvae.sweeps.records import write_arrays, write_run
from tests.experiments.dynamics import EARLY, EPOCHS, KINDS, LATE, LAYERS, MODELS, made


def test_similarity_to_the_end_is_the_diagonal_of_the_last_epoch():
    similarity = to_final(made())
    np.testing.assert_allclose(similarity.sel(layer="encoder/1"), [EARLY] * 4)
    np.testing.assert_allclose(similarity.sel(layer="decoder/1"), [LATE] * 4)


def test_the_halves_are_similar_and_learned_when_they_are():
    found = learning(made())
    np.testing.assert_allclose(found.similar.encoder, [1] * 4)
    np.testing.assert_allclose(found.similar.decoder, [2] * 4)
    # Shares 0, .9, 1, 1 and 0, .2, .8, 1 of epochs 0, 1, 2 and 4.
    np.testing.assert_allclose(found.learned.encoder, [0.55 + 0.05] * 4)
    np.testing.assert_allclose(found.learned.decoder, [0.9 + 0.5 + 0.2] * 4)


def test_what_first_moves_away_from_its_final_state_is_learned_after_the_last_epoch():
    found = learning(made(encoder=[0.5, 0.0, 0.0, 1.0]))
    # Of twice the way, from epoch 1 to 2.
    np.testing.assert_allclose(found.learned.encoder, [1.5 + 2 + 2] * 4)
    assert found.learned.encoder.min() > EPOCHS[-1] > found.learned.decoder.max()


@pytest.mark.parametrize(
    ("encoder", "decoder", "first"),
    [(EARLY, LATE, "2 : 0"), (LATE, EARLY, "0 : 2"), (LATE, LATE, "0 : 0 (2 tied)")],
)
def test_the_table_says_which_half_came_first(encoder, decoder, first):
    rows = dynamics_rows([made(encoder=encoder, decoder=decoder)])
    assert [row["objective"] for row in rows] == ["beta_vae", "dip_vae_i"]
    assert [row["similar first"] for row in rows] == [first, first]
    assert [row["learned first"] for row in rows] == [first, first]
    assert rows[0]["recon. nats"] == "12.3"


def test_an_epoch_has_its_standard_error_over_seeds_after_a_mean_over_strengths():
    records = made().assign_coords(
        objective=("run", ["beta_vae"] * 4), value=("run", [1.0, 1.0, 4.0, 4.0])
    )
    own = records["debiased_cka"].sel(layer="encoder/1", other_layer="encoder/1")
    # Seeds 0 and 1 are above .9 from epoch .9 on at a strength of 1; at 4 from 1.9 and 3.8 on.
    for run, epoch in enumerate([1, 1, 2, 4]):
        own[run, :, -1] = np.where(np.array(EPOCHS) >= epoch, 1.0, 0.0)
    (row,) = dynamics_rows([records])
    # The means of the seeds are 1.4 and 2.35.
    assert row["similar encoder"] == "1.9±0.5"


def test_layers_with_nothing_to_learn_are_in_no_mean_and_said():
    records = made(encoder=[0.99, 0.995, 0.99, 1.0], replicate=0.99)
    rows = dynamics_rows([records])
    assert rows[0]["nothing to learn"] == "2/4"
    assert (rows[0]["similar encoder"], rows[0]["learned encoder"]) == ("·", "·")
    assert rows[0]["learned first"] == "0 : 0 (2 undefined)"
    assert "encoder/1 (nothing to learn in 4)" in dynamics_summary([records])


def test_columns_that_count_what_went_wrong_are_left_out_where_nothing_did():
    counts = {"nothing to learn", "undefined layers", "failed"}
    (fine, _), (failed, _) = (dynamics_rows([each]) for each in (made(), made(failed=(0,))))
    assert not counts & fine.keys()
    assert counts & failed.keys() == {"failed"}
    assert failed["failed"] == "1/2"


def test_layers_that_are_nan_are_said():
    records = made(decoder=[np.nan, 0.5, 1.0, 1.0])
    assert dynamics_rows([records])[0]["undefined layers"] == "2/4"
    text = dynamics_summary([records])
    assert "decoder/1 (undefined in 4)" in text
    assert "the encoder was first in 0 and the decoder in 0, 4 undefined" in text


def test_models_that_failed_are_left_out_and_counted():
    records = made(failed=(0, 2, 3))
    rows = dynamics_rows([records])
    assert [(row["objective"], row["failed"]) for row in rows] == [("beta_vae", "1/2")]
    assert rows[0]["learned first"] == "1 : 0"
    assert "1 model (3 more failed)" in dynamics_summary([records])


def recorded(out, config, name, *, failed):
    """The record of a run as a sweep writes it: zeros, and no similarities of one that failed."""
    epochs, layers = len(config.measured), len(LAYERS)
    rates = ("reconstruction", "kl", "active_units", *(f"{kind}_latents" for kind in KINDS))
    arrays = dict.fromkeys(rates, np.zeros(epochs)) | {"kl_per_latent": np.zeros((epochs, 3))}
    arrays |= {"epoch": np.array(config.measured), "failed": np.full(epochs, failed)}
    if not failed:
        pairs = np.zeros((epochs, layers, epochs, layers))
        arrays |= {"layer": np.array(LAYERS), "cka": pairs, "debiased_cka": pairs}
    place = Place("unit", 0, 1, 3)
    settings = {"config": runs(config)[name], "image_shape": (8, 8, 1), "place": place}
    write_run(out, name, arrays, **settings, scratch=out)


def test_records_are_of_the_runs_that_are_done(tmp_path):
    config = Config(
        networks=("dense_vae",), objectives=("beta_vae",), values=1, seeds=(0, 1, 2, 3), ramp=1
    )
    (place,), names = data_and_networks(config), list(runs(config))
    assert gather(config, place, tmp_path) is None
    recorded(tmp_path, config, names[2], failed=True)
    assert gather(config, place, tmp_path) is None
    for name in (names[1], names[3]):
        recorded(tmp_path, config, name, failed=False)
    # Compared before the second was known, in another order.
    compared = np.broadcast_to([[1, 0.5], [0.25, 1]], (len(LAYERS), 2, 2))
    file = between_file(tmp_path, place)
    write_arrays(file, {"model": [names[3], names[0]], "debiased_cka": compared}, scratch=tmp_path)
    records = gather(config, place, tmp_path)
    assert records["seed"].values.tolist() == [1, 2, 3]
    assert records["failed"].values.tolist() == [False, True, False]
    assert records["layer"].values.tolist() == LAYERS
    assert np.isnan(records["cka"].isel(run=1)).all()
    assert not np.isnan(records["cka"].isel(run=[0, 2])).any()
    assert "procrustes" not in records
    between = records["debiased_cka_between"].isel(layer=0)
    assert np.isfinite(between).values.tolist() == [[False] * 3, [False] * 3, [False, False, True]]


def test_runs_that_are_missing_are_named():
    text = dynamics_summary([made()], missing=["sprites/dense_vae/beta_vae_4_seed-7"])
    assert "missing here: sprites/dense_vae/beta_vae_4_seed-7." in text
    assert "missing" not in dynamics_summary([made()])


def test_only_models_of_other_seeds_are_compared():
    records = made()
    assert set(between(records, "seeds").values()) == {0.75}
    assert set(between(records, "objectives").values()) == {0.5}
    assert between(records, "strengths") is None
    # The same seed, where models begin alike, would show.
    alike = np.equal.outer(*[records["seed"].values] * 2) & ~np.eye(len(MODELS), dtype=bool)
    records["debiased_cka_between"].values[:, alike] = 0.99
    assert set(between(records, "objectives").values()) == {0.5}


def of_seeds(*, seeds=4, encoder=0.9, mean=0.5, noise=0.01):
    """Records of more seeds; CKA between objectives, and .95 within, with noise."""
    first, last = made().isel(run=[0, 2], other_run=[0, 2]), []
    for seed in range(seeds):
        last.append(
            first.assign_coords(seed=("run", [seed, seed])).drop_vars("debiased_cka_between")
        )
    records = xr.concat(last, dim="run")
    random = np.random.default_rng(0)
    drawn = noise * random.standard_normal((len(LAYERS), 2 * seeds, 2 * seeds))
    between = 0.95 + drawn + drawn.transpose(0, 2, 1)
    differs = np.not_equal.outer(*[records["objective"].values] * 2)
    for index, layer in enumerate(LAYERS):
        between[index, differs] += (encoder if layer.startswith("encoder") else mean) - 0.95
    records["debiased_cka_between"] = (("layer", "run", "other_run"), between)
    return records


def test_what_another_objective_takes_is_known_by_part():
    found = lost(of_seeds(noise=0.0), "objectives")
    np.testing.assert_allclose(found.value, [0.05, 0.45, 0.45, 0.45])
    np.testing.assert_allclose(found.stderr, 0, atol=1e-12)
    assert np.isnan(lost(of_seeds(), "strengths").value).all()


@pytest.mark.parametrize(
    ("changed", "answer", "said"),
    [
        ({}, True, "log-variance holds (95% confidence, 4 seeds)"),
        ({"encoder": 0.4, "mean": 0.9}, False, "log-variance is contradicted (95% confidence"),
        ({"encoder": 0.5}, None, "log-variance is not decided (95% confidence, 4 seeds)"),
    ],
)
def test_whether_the_encoder_keeps_more_than_the_latents_is_decided_over_seeds(
    changed, answer, said
):
    records = of_seeds(**changed)
    assert encoder_loses_less(records) is answer
    text = dynamics_summary([records])
    assert said in text
    assert "With another objective, at any strengths, it is lower by encoder 0." in text
    assert "than with another strength of the same" not in text


def of_strengths(*, strength=0.2, objective=0.1):
    """Records of two objectives of the same two strengths, which take so much CKA each."""
    one = of_seeds(noise=0.0).drop_vars("debiased_cka_between")
    both = [one.assign_coords(value=("run", [value] * one.sizes["run"])) for value in (1.0, 8.0)]
    records = xr.concat(both, "run")
    same, alike = (np.equal.outer(*[records[field].values] * 2) for field in ("objective", "value"))
    between = 0.9 - objective * ~same - strength * ~alike
    records["debiased_cka_between"] = (("layer", "run", "other_run"), [between] * len(LAYERS))
    return records


@pytest.mark.parametrize("objective", [0.1, 0.0])
def test_what_the_objective_takes_alone_leaves_out_what_strengths_take(objective):
    records = of_strengths(objective=objective)
    np.testing.assert_allclose(lost(records, "strengths").value, 0.2)
    # Of the pairs of two objectives one half has the same strength.
    np.testing.assert_allclose(lost(records, "objectives").value, objective + 0.1)
    alone = lost(records, "objectives", than="strengths").value
    np.testing.assert_allclose(alone, objective, atol=1e-12)
    text = dynamics_summary([records])
    assert f"at any strengths, it is lower by encoder {objective + 0.1:.3f} (" in text
    assert f"and lower than with another strength of the same by encoder {objective:.3f} (" in text


def test_that_an_objective_alone_has_one_strength_is_said_where_others_have_several():
    records = of_strengths()
    third = records.isel(run=slice(8, None), other_run=slice(8, None))
    third = third.isel(run=slice(0, None, 2)).drop_vars("debiased_cka_between")
    third = third.assign_coords(objective=("run", ["annealed_vae"] * third.sizes["run"]))
    both = xr.concat([records.drop_vars("debiased_cka_between"), third], "run")
    shape = (len(LAYERS), both.sizes["run"], both.sizes["run"])
    both["debiased_cka_between"] = (("layer", "run", "other_run"), np.full(shape, 0.5))
    several = "than with another strength of the same, where all seeds have several, by"
    assert several in dynamics_summary([both])
    assert several not in dynamics_summary([records])


def test_settings_that_too_few_seeds_have_are_named():
    records = of_strengths()
    lacking = (records["objective"] == "dip_vae_i") & (records["value"] == 8)
    kept = np.flatnonzero(~(lacking & (records["seed"] > 1)).values)
    text = dynamics_summary([records.isel(run=kept, other_run=kept)])
    left_out = "Not compared, since too few seeds have models of them: dip_vae_i 8."
    assert f"(95% confidence, 4 seeds). {left_out}" in text
    # With three seeds that have it, it is the fourth seed that is left out.
    kept = np.flatnonzero(~(lacking & (records["seed"] == 1)).values)
    text = dynamics_summary([records.isel(run=kept, other_run=kept)])
    assert "(95% confidence, 3 of 4 seeds)." in text
    assert "Not compared" not in text


def test_a_seed_of_which_one_model_is_done_leaves_what_the_others_say():
    records = of_seeds()
    rest = records.isel(run=np.arange(6), other_run=np.arange(6))
    begun = records.isel(run=np.arange(7), other_run=np.arange(7))
    for one, two in zip(lost(begun, "objectives"), lost(rest, "objectives"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_models_that_failed_are_not_compared_with_others():
    records = of_seeds(seeds=5)
    # Both of one seed: the others remain. They are NaN in the records, as they were not compared.
    records["debiased_cka_between"][:, [2, 3]] = np.nan
    records["debiased_cka_between"][:, :, [2, 3]] = np.nan
    found = lost(records, "objectives")
    rest = records.isel(run=[0, 1, 4, 5, 6, 7, 8, 9], other_run=[0, 1, 4, 5, 6, 7, 8, 9])
    np.testing.assert_allclose(found.value, lost(rest, "objectives").value)
    assert found.seeds == 4


def test_a_layer_that_is_constant_in_a_model_leaves_its_part_unknown():
    records = of_seeds()
    place = LAYERS.index("encoder/1")
    records["debiased_cka_between"][place, 0] = np.nan
    records["debiased_cka_between"][place, :, 0] = np.nan
    text = dynamics_summary([records])
    assert "is not known for all layers: the similarity of one that is constant" in text
    assert encoder_loses_less(records) is None


def test_two_seeds_have_no_error():
    text = dynamics_summary([of_seeds(seeds=2)])
    assert "has an error if at least three seeds were trained" in text
    assert encoder_loses_less(of_seeds(seeds=2)) is None


def test_every_objective_has_its_own_verdict_corrected_for_their_number():
    text = dynamics_summary([made()])
    assert (
        "- **One objective at a time**, corrected for 2 tests: the encoder was learned first with "
        "beta_vae, dip_vae_i." in text
    )
    several = dynamics_summary([made(), made(encoder=LATE, decoder=EARLY)])
    first = [f"{name} (sprites, compact_vae)" for name in ("beta_vae", "dip_vae_i")]
    assert (
        f"corrected for 4 tests: the encoder was learned first with {', '.join(first)}; the "
        f"decoder was learned first with {', '.join(first)}." in several
    )
    one_seed = dynamics_summary([made().isel(run=[0, 2], other_run=[0, 2])])
    assert "corrected for 2 tests: it is not decided with beta_vae, dip_vae_i." in one_seed


def test_one_objective_alone_is_not_compared_with_others():
    text = dynamics_summary([made().isel(run=[0, 1], other_run=[0, 1])])
    assert "One objective at a time" not in text


def test_one_seed_decides_nothing_and_compares_nothing():
    text = dynamics_summary([made().isel(run=[0, 2], other_run=[0, 2])])
    assert "Not decided which half was learned first, which takes at least two seeds" in text
    assert "Models of different seeds, which would be compared at the end, are lacking" in text


def test_the_summary_says_it_in_words():
    text = dynamics_summary([made()])
    assert (
        "The encoder was learned first (1.0 epochs by CKA, p < 0.001 for both scales together, "
        "paired over 2 seeds)" in text
    )
    assert "Of what was left to learn, the encoder was first in 4 and the decoder in 0" in text
    assert "another seed: encoder 0.75" in text
    assert "another seed and objective, at any strengths: encoder 0.50" in text
    assert "| sprites | compact_vae | beta_vae | 1.0 | 2.0 | 2 : 0 | 0.6 |" in text


def test_one_run_alone_has_no_spread():
    text = dynamics_summary([made().isel(run=[0], other_run=[0])])
    assert "| sprites | compact_vae | beta_vae | 1.0 | 2.0 | 1 : 0 |" in text


def test_verdicts_over_several_data_sets_and_networks_are_corrected():
    text = dynamics_summary([made(), made(encoder=LATE, decoder=EARLY)])
    assert text.count("paired over 2 seeds, corrected for 2 data sets and networks)") == 2


@pytest.mark.slow
def test_every_figure_is_drawn(tmp_path):
    paths = draw_dynamics([made(), made(encoder=LATE, decoder=EARLY)], tmp_path / "figures")
    assert {path.name for path in paths} == {
        "sprites_compact_vae_layers.png",
        "sprites_compact_vae_learning.png",
        "sprites_compact_vae_latents.png",
        "convergence.png",
        "between_models.png",
    }
    for path in paths:
        assert matplotlib.image.imread(path).std() > 0.01
