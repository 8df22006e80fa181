"""Grids in memory: their layers, and their means over seeds."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from jaxvae.grids.grid import Grid, ordered
from jaxvae.grids.page import grid_page
from jaxvae.grids.quantities import geometry, rates
from jaxvae.grids.records import merged
from jaxvae.grids.tables import collapsed, lowest

LAYERS = ["input", "mean", "sample", "output"]


def records(seeds=3, latent_layers=("z_1",)):
    """Of two values of beta, at one epoch, of random numbers."""
    random = np.random.default_rng(0)
    sizes = {"beta": 2, "seed": seeds, "epoch": 1}
    inner = {
        **{key: {} for key in ("reconstruction", "reconstruction_stderr", "kl", "kl_stderr")},
        **{key: {"latent_layer": latent_layers} for key in ("rate", "rate_stderr", "active_units")},
        **{key: {"layer": LAYERS} for key in ("intrinsic_dimension", "intrinsic_dimension_stderr")},
        "imbalance": {"layer": LAYERS, "other_layer": LAYERS},
    }
    variables = {
        name: ((*sizes, *more), random.random((*sizes.values(), *map(len, more.values()))))
        for name, more in inner.items()
    }
    variables["failed"] = (tuple(sizes), np.zeros((*sizes.values(),), bool))
    variables["missing"] = (("beta", "seed"), np.zeros((2, seeds), bool))
    labels = {"latent_layer": list(latent_layers), "layer": LAYERS, "other_layer": LAYERS}
    coords = {"beta": [1.0, 4.0], "seed": range(seeds), **labels}
    return xr.Dataset(variables, coords=coords, attrs={"points": 500})


def test_the_error_of_a_mean_over_seeds_is_that_of_independent_draws():
    found = records()
    found["cost"] = found["reconstruction"] + found["kl"]
    for quantity, name in zip(rates(found)[:3], ("cost", "reconstruction", "kl"), strict=True):
        values = found[name].values
        np.testing.assert_allclose(quantity.mean, values.mean(axis=1))
        np.testing.assert_allclose(quantity.stderr, values.std(axis=1, ddof=1) / 3**0.5)


def test_settings_with_which_no_latent_is_active_are_named_unless_their_runs_are_missing():
    found = records()
    assert collapsed(grid(), found) == []
    found["active_units"][1] = 0
    (said,) = collapsed(grid(), found)
    assert said.startswith("No latent is active with beta = 4: these models ignore their latents")
    found["missing"][1] = True
    assert collapsed(grid(), found) == []
    found["active_units"][:] = 0
    (said,) = collapsed(grid((1.0,)), found.isel(beta=0))
    assert said.startswith("No latent is active: these models")


def test_a_network_of_fewer_layers_of_latents_is_collapsed_if_none_of_its_own_is_active():
    found = records(latent_layers=("z_1", "z_2"))
    found["active_units"][0, :, :, 1] = np.nan
    assert collapsed(grid(), found) == []
    found["active_units"][0, :, :, 0] = 0
    (said,) = collapsed(grid(), found)
    assert said.startswith("No latent is active with beta = 1: these models")


def test_failed_and_missing_runs_are_left_out_of_means():
    found = records()
    found["failed"][0, 1, 0] = True
    found["missing"][1, 2] = True
    *_, lost = geometry(found)
    values = found["imbalance"].sel(layer="output", other_layer="input").values[..., 0]
    kept = np.stack([values[0, [0, 2]], values[1, :2]])
    np.testing.assert_allclose(lost.mean[:, 0], kept.mean(axis=1))
    np.testing.assert_allclose(lost.stderr[:, 0], kept.std(axis=1, ddof=1) / 2**0.5)


def test_one_seed_has_the_error_of_its_own_over_images_where_it_has_one():
    found = records(seeds=1)
    _, reconstruction, _, active = rates(found)
    np.testing.assert_array_equal(reconstruction.stderr, found["reconstruction_stderr"][:, 0])
    assert np.isnan(active.stderr).all()


def test_the_only_one_of_several_seeds_that_is_done_has_no_error_of_another_kind():
    found = records()
    found["missing"][0, 1:] = True
    for quantity in (*rates(found), *geometry(found)):
        assert np.isfinite(quantity.mean).all()
        np.testing.assert_array_equal(np.isnan(quantity.stderr[:, 0]), [True, False])


def test_nothing_known_has_neither_mean_nor_error():
    found = records()
    found["missing"][0] = True
    reconstruction, *_ = rates(found)
    assert np.isnan(reconstruction.mean[0])
    assert np.isnan(reconstruction.stderr[0])
    assert np.isfinite(reconstruction.mean[1])
    assert np.isfinite(reconstruction.stderr[1])


def test_a_hierarchy_has_the_rate_and_the_active_units_of_every_layer():
    titles = [each.title for each in rates(records(latent_layers=("z_2", "z_1")))]
    of_layers = ["rate z_2, nats", "rate z_1, nats", "active units of z_2", "active units of z_1"]
    assert titles == ["negative ELBO, nats", "reconstruction, nats", *of_layers]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([["a", "c"], ["a", "b", "c"]], ["a", "b", "c"]),
        ([["a", "b", "c"], ["a", "c"], ["c", "d"]], ["a", "b", "c", "d"]),
        ([["b"], ["a", "b"]], ["a", "b"]),
        ([], []),
    ],
)
def test_layers_of_several_networks_keep_the_order_of_each(lists, expected):
    assert merged(lists) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4.0, 1.0, 4.0], (1.0, 4.0)),
        (["mnist", "cifar10", "mnist"], ("mnist", "cifar10")),
        ([(1.0, 2.0), (0.5, 2.0)], ((1.0, 2.0), (0.5, 2.0))),
    ],
)
def test_numbers_ascend_and_other_values_stay_as_given(values, expected):
    assert ordered(values) == expected


def grid(values=(1.0, 4.0)):
    return Grid(
        run={"data": "sprites", "network": "dense_vae", "objective": "beta_vae", "epochs": 1},
        settings=("coefficients.beta",),
        values={"coefficients.beta": values},
        seeds=(0, 1, 2),
        snapshots=1,
        points=100,
    )


def test_the_page_draws_means_over_seeds_with_their_errors_against_the_setting():
    found = records()
    against = grid_page(grid(), found.assign_coords(epoch=[1])).charts[0]
    (trace,) = (each for each in against.traces if each.when["quantity"] == "KL, nats")
    expected = found["kl"].isel(epoch=0)
    assert trace.drawn["x"] == [1.0, 4.0]
    np.testing.assert_allclose(trace.drawn["y"], expected.mean("seed"))
    spread = expected.std("seed", ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(trace.drawn["error_y"]["array"], spread)


def test_the_map_of_the_page_shows_the_run_and_the_epoch_that_are_chosen():
    found = records().assign_coords(epoch=[1])
    chart = grid_page(grid(), found).charts[-1]
    (trace,) = (each for each in chart.traces if each.when == {"run": "beta = 4", "epoch": "1"})
    expected = found["imbalance"].sel(beta=4).mean("seed").isel(epoch=0)
    # Colors are by the logarithm, as most imbalances are near 0.
    np.testing.assert_allclose(10.0 ** trace.drawn["z"], expected)
    # From the value between identical spaces to that between unrelated ones.
    ends = [trace.drawn[end] for end in ("zmin", "zmax")]
    np.testing.assert_allclose(np.power(10.0, ends), [2 / 500, 1])


def test_a_large_grid_has_some_of_its_lines_evenly_chosen_and_says_so():
    values = tuple(float(value) for value in range(100))
    found = records().isel(beta=[0] * 100).assign_coords(beta=[*values], epoch=[1])
    chart = grid_page(grid(values), found).charts[-2]
    names = {trace.drawn["name"] for trace in chart.traces}
    assert len(names) == 16
    assert {"beta = 0", "beta = 99"} <= names
    assert "16 of 100 combinations" in chart.reads


def test_the_combination_of_the_lowest_negative_elbo_is_named_with_its_error_and_the_next():
    found = records().assign_coords(epoch=[1])
    found["kl"][1] = found["kl"][1] + 10
    cost = (found["reconstruction"] + found["kl"]).isel(epoch=0).sel(beta=1)
    mean, stderr = float(cost.mean()), float(cost.std(ddof=1)) / 3**0.5
    (said,) = lowest(grid(), found)
    assert f"is {mean:.1f} ± {stderr:.1f} nats with beta = 1; the next is 1" in said
    assert grid_page(grid(), found).answer[0] == said


def cheaper_by(differences):
    """What is said of a grid whose second setting costs more by these, seed by seed."""
    return said_of([[0.0, 5.0, 2.0], np.array([0.0, 5.0, 2.0]) + differences])


def test_the_lowest_is_told_from_one_other_by_a_paired_test_over_seeds():
    clear, unclear = [1.0, 1.1, 1.3], [-1.0, 1.1, 2.3]
    assert stats.ttest_1samp(clear, 0).pvalue < 0.05 < stats.ttest_1samp(unclear, 0).pvalue
    assert cheaper_by(clear).endswith(
        "The other is higher by more than chance (95% confidence, paired by seed)."
    )
    assert cheaper_by(unclear).endswith(
        "It cannot be told apart from that with beta = 1 (95% confidence, paired by seed)."
    )
    # A setting without any effect.
    assert "It cannot be told apart from that with beta = 1 " in cheaper_by([0.0, 0.0, 0.0])


def of_costs(costs):
    """A grid whose settings cost so much, `[settings, seeds]`, and its records."""
    values = tuple(float(each) for each in range(len(costs)))
    seeds = slice(np.shape(costs)[1])
    found = records().isel(beta=[0] * len(costs), seed=seeds)
    found = found.assign_coords(beta=[*values], epoch=[1])
    found["kl"].values[:] = np.asarray(costs)[..., None]
    found["reconstruction"].values[:] = 0
    return grid(values), found


def said_of(costs):
    return lowest(*of_costs(costs))[0]


def test_the_lowest_is_told_from_every_other_and_not_from_the_next_alone():
    # The third varies much: by its mean it is the highest, and may be as low as the first.
    costs = [[10.0, 10.0, 10.0], [11.0, 11.1, 11.2], [2.0, 30.0, 16.0]]
    assert "It cannot be told apart from that with beta = 1; beta = 2 (" in said_of(costs)
    assert said_of([*costs[:2], [30.0, 30.0, 30.1]]).endswith(
        "All 2 others are higher by more than chance (95% confidence, paired by seed)."
    )


def test_a_setting_that_lacks_seeds_is_not_compared_by_those_that_it_has():
    costs, unknown = [[10.0, 10.0, 10.0], [11.0, 11.1, 11.2], [30.0, 30.0, 30.1]], np.nan
    said = said_of([*costs[:2], [30.0, 30.0, unknown]])
    assert (
        "The other is higher by more than chance (95% confidence, paired by seed; 1 that " in said
    )
    assert said_of([[10.0, 10.0, unknown], *costs[1:]]).endswith(
        "Some of its seeds are missing, so that it is not compared with others."
    )
    assert said_of([costs[0], [11.0, 11.1, unknown]]).endswith("is not compared with them.")
    assert said_of([[10.0], [11.0]]).endswith("is chance: train more seeds.")


def test_nats_of_other_likelihoods_and_of_one_combination_are_not_compared():
    assert lowest(grid((1.0,)), records().isel(beta=0)) == []
    likelihoods = replace(
        grid(), settings=("likelihood",), values={"likelihood": ("bernoulli", "gaussian")}
    )
    assert lowest(likelihoods, records().rename(beta="likelihood")) == []
