"""What is concluded from records of which the truth is known."""

import numpy as np
import pytest
import xarray as xr
from jax.random import key

from benchmarks.advise import linear_images
from jaxvae.advising.criteria import criteria_of, decided_bounds
from jaxvae.advising.data import DataDimension, data_dimension
from jaxvae.advising.reading import by_setting, read_records
from jaxvae.advising.results import _page, conclude
from jaxvae.advising.sentences import answer, diagnoses, disagreement
from jaxvae.analysis.profile import gaussian_dimension
from jaxvae.commands.advise import _answer_of
from jaxvae.metrics import two_nn
from tests.advising.records import falling, records_of

SIZES = (2, 4, 8, 16)
# As if TwoNN gave every Gaussian its dimension.
NULLS = {size: (float(size), 0.1) for size in SIZES}


def said(records, **given):
    return " ".join([answer(read_records(records)), *diagnoses(read_records(records), **given)])


def dimension_of(value, stderr, *, smallest=None):
    """The dimension of data, of which nothing is in doubt."""
    scales = np.array([value if smallest is None else smallest])
    return DataDimension(value, stderr, 2000, scales, (2,), (), ())


def disagreed(records):
    reading = read_records(records)
    return disagreement(criteria_of(reading, NULLS), reading)


def test_where_delta_is_level_from_a_size_on_that_size_is_the_answer():
    found = answer(read_records(records_of(falling(8))))
    assert found.startswith("Use a bottleneck of 8: no larger one, up to 16")
    assert "sizes 5 to 8 remain; 4 is too small" in found


def test_few_trainings_that_differ_decide_nothing_and_say_what_remains():
    reading = read_records(records_of(falling(8, seeds=2, noise=0.4)))
    assert answer(reading).startswith("Not decided, sizes 1 or more remain")
    assert answer(reading, ending="Time is over.").startswith("Time is over. Sizes 1 or more")


def test_a_size_that_keeps_less_than_a_smaller_one_is_no_evidence_that_it_is_enough():
    # As images of three factors were read: 16 latents could do what 8 do.
    lost = np.array([0.0565, 0.0494, 0.0365, 0.2229])[:, None] * np.exp([[0.02, -0.02, 0.0]])
    records = records_of(lost, sizes=np.array([3, 4, 8, 16]))
    assert answer(read_records(records)).startswith("Not decided, sizes 5 or more remain")
    assert "Longer training, or another learning rate, may decide it." in said(records)
    assert "0.223 at 16, and 0.0365 at 8" in said(records)
    # With 16 as good as 8, that is enough.
    enough = records_of(np.append(lost[:3], lost[2:3], axis=0), sizes=np.array([3, 4, 8, 16]))
    assert answer(read_records(enough)).startswith("Use a bottleneck of 8")
    assert "Not trained well" not in said(enough)


def test_that_a_size_keeps_less_in_the_means_alone_is_said_to_be_perhaps_chance():
    # The largest size has 2.5 times the Delta, in the means of two seeds that differ as much.
    turns = np.outer([1, -1, 1], [1, -1])
    lost = np.array([0.2, 0.1, 0.25])[:, None] * np.exp(0.4 * turns)
    found = said(records_of(lost))
    assert "Perhaps not trained well: in the means of these seeds larger sizes have 2" in found
    assert "larger sizes have 2 times the Δ of smaller ones or more (0.25 at 8, and" in found
    assert "Not trained well" not in found
    assert "the largest size keeps less than a smaller one, which may be chance." in found


def test_a_size_that_keeps_less_is_compared_with_a_smaller_one_though_a_larger_one_is_the_best():
    turns = np.exp([[0.02, -0.02, 0.0]])
    lost = np.array([0.5, 0.2, 0.6, 0.05])[:, None] * turns
    assert "(0.6 at 8, and 0.2 at 4; 95% confidence)" in said(records_of(lost))
    assert "Perhaps not trained well: with this one seed larger sizes" in said(
        records_of(lost[:, :1])
    )


def test_seeds_do_not_decide_about_smaller_sizes_than_were_trained():
    turns = np.outer([1, -1, 1], [1, -1])
    records = records_of(0.1 * np.exp(0.05 * turns), sizes=np.array([5, 7, 14]))
    assert "seeds would decide between these sizes, and training smaller ones than 5" in said(
        records
    )


def test_two_sizes_are_compared_where_one_has_a_further_seed():
    records = records_of(falling(4, sizes=(4, 10), seeds=2), sizes=np.array([4, 10]))
    records["missing"][1, 1] = True
    reading = read_records(records)
    assert reading.sizes.tolist() == [4, 10]
    assert reading.seeds == (0,)


def test_one_seed_decides_nothing():
    found = answer(read_records(records_of(falling(8, seeds=1))))
    assert found.startswith("Not decided, sizes 1 or more remain (95% confidence, 1 seed).")
    assert found.endswith("train several seeds.")


def test_one_size_alone_decides_nothing():
    found = answer(read_records(records_of(falling(8, sizes=(8,)))))
    assert found.startswith("Not decided, sizes 1 or more remain (95% confidence, 5 seeds).")
    assert found.endswith("One size has nothing to be compared with: train larger ones.")


def wanted(lost, spread):
    """What would decide, of two seeds that differ so much in log Delta."""
    turns = np.outer([1, -1, 1], [1, -1])
    return answer(read_records(records_of(np.array(lost)[:, None] * np.exp(spread * turns))))


def test_that_delta_still_falls_is_a_fact_only_where_it_is_beyond_chance():
    # The last step is 15%: one more like it would gain more than the tolerance.
    surely = wanted([0.2, 0.17, 0.1445], 0.001)
    assert surely.endswith("Larger sizes may decide it: Δ still falls up to the largest one.")
    assert wanted([0.2, 0.17, 0.1445], 0.2).endswith("which may be chance.")


def test_where_more_seeds_would_decide_their_number_is_said():
    found = wanted([0.3, 0.05, 0.05], 0.1)
    assert "If the means and the spread of these seeds stay as they are, about " in found
    assert found.endswith(" seeds would decide it.")


@pytest.mark.parametrize("seeds", [2, 3])
def test_where_nothing_would_decide_nothing_is_said_to_do_so_whatever_the_means(seeds):
    # 15% less at every doubling: no size is enough, whatever the number of seeds.
    random, reading = np.random.default_rng(0), read_records(records_of(np.ones((6, seeds))))
    shape, if_the_means = 0.85 ** np.arange(6)[:, None], 0
    for _ in range(150):
        drawn = 0.3 * shape * np.exp(0.2 * random.standard_normal((6, seeds)))
        found = answer(reading._replace(imbalance=drawn)).partition(". ")[2]
        if_the_means += found.startswith("If the means and the spread of these seeds stay as they")
        assert "would decide" not in found or found.startswith("If the means")
    assert if_the_means > 15


def test_a_delta_that_still_falls_at_the_largest_size_is_a_bottleneck_that_is_too_small():
    found = said(records_of(falling(99, noise=1e-6)))
    assert found.startswith("Not decided, sizes 9 or more remain: 8 is too small")
    assert "The bottleneck is too small: 16 latents still lower Δ by 50%" in found
    # Of so few images nothing is said of a size.
    few = records_of(falling(99, noise=1e-6)).assign_attrs(points=40)
    assert "too small" not in said(few)


def test_the_criteria_stand_side_by_side_each_with_what_it_says():
    gap = {"mean": [2.0, 4.0, 5.0, 5.0], "sample": [2.0, 4.0, 5.5, 12.0]}
    records = records_of(
        falling(8), cost=[120.0, 110, 100, 100], active=[2.0, 4, 8, 9], dimensions=gap
    )
    found = criteria_of(read_records(records), NULLS)
    assert [each.size for each in found] == [8, 8, 8, 9, 4]


def test_where_criteria_differ_the_one_with_error_rates_is_to_be_trusted():
    records = records_of(falling(8), active=[2.0, 4, 8, 12])
    found = disagreed(records)
    assert "active units at the largest size says 12" in found
    assert "Trust the equivalence test" in found


def test_fondue_is_the_largest_size_whose_gap_is_a_fifth_of_the_dimension_of_the_data():
    gap = {"mean": [2.0, 4.0, 7.0, 9.0], "sample": [2.0, 5.0, 8.01, 15.0]}
    found = criteria_of(read_records(records_of(falling(8), dimensions=gap)), NULLS)[2]
    assert (found.name, found.answer, found.size) == ("FONDUE", "4", 4)


def test_fondue_does_not_see_one_latent_without_information_beside_eight_with():
    random = np.random.default_rng(0)
    for _ in range(5):
        informed = random.standard_normal((2000, 9))
        informed[:, 8] = 0
        without = random.standard_normal((2000, 9)) * np.append(np.full(8, 0.2), 1.0)
        found = dict(zip(("mean", "sample"), (informed, informed + without), strict=True))
        dimensions = {name: [float(two_nn(each).value)] * 2 for name, each in found.items()}
        dimensions["input"] = dimensions["mean"]
        records = records_of(np.full((2, 3), 0.1), sizes=np.array([8, 9]), dimensions=dimensions)
        fondue = criteria_of(read_records(records), {8: (8.0, 0.1), 9: (9.0, 0.1)})[2]
        assert fondue.answer == "9 or more"


def test_a_size_that_is_not_told_from_the_lowest_negative_elbo_may_be_higher_and_is_said_to():
    # By a standard deviation between trainings, of two seeds.
    random, named = np.random.default_rng(0), 0
    reading = read_records(records_of(falling(8, sizes=(2, 4, 8), seeds=2)))
    for _ in range(200):
        costs = np.array([[101.0], [100.0], [100.0]]) + random.standard_normal((3, 2))
        found = criteria_of(reading._replace(cost=costs), NULLS)[1]
        assert found.name == "negative ELBO not told from the lowest"
        assert "may be higher all the same" in found.trust
        named += found.size == 2
    assert named > 100


def criteria_of_means(means, samples, *, active, data, nulls):
    """FONDUE and the Gaussian null, of the IDs of clouds by size."""
    dimensions = {
        "input": [float(two_nn(data).value)] * len(SIZES),
        **{
            name: [float(two_nn(cloud).value) for cloud in clouds]
            for name, clouds in (("mean", means), ("sample", samples))
        },
    }
    records = records_of(falling(8), dimensions=dimensions, active=active)
    return criteria_of(read_records(records), nulls)[2::2]


@pytest.mark.parametrize(
    ("spread", "active", "n", "expected"),
    [
        (1.0, SIZES, 400, ["16 or more", "16 or more"]),
        # Collapsed: clouds of means have no scale, but the latents carry nothing.
        (1e-3, (0,) * 4, 400, ["less than 2", "less than 2"]),
        (1.0, SIZES, 60, ["unknown", "unknown"]),
    ],
)
def test_latents_without_information_and_few_images_do_not_look_like_full_ones(
    spread, active, n, expected
):
    random = np.random.default_rng(0)
    clouds = [random.standard_normal((n, size)).astype(np.float32) for size in SIZES]
    nulls = {size: gaussian_dimension(key(0), n=n, features=size, clouds=4) for size in SIZES}
    means = [np.float32(spread) * cloud for cloud in clouds]
    noise = [random.standard_normal(cloud.shape).astype(np.float32) for cloud in clouds]
    samples = [mean + (1 - 0.9 * spread) * each for mean, each in zip(means, noise, strict=True)]
    found = criteria_of_means(means, samples, active=active, data=clouds[2], nulls=nulls)
    assert [each.answer for each in found] == expected


def test_models_that_have_learned_nothing_show_no_size_to_be_enough():
    level = 0.95 * np.exp(0.001 * np.random.default_rng(0).standard_normal((4, 5)))
    for records in (records_of(level), records_of(falling(8), active=[0.0] * 4)):
        assert answer(read_records(records)).startswith("Not decided: the models have learned")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"earlier": 1.4}, "Undertrained: the last part of training lowered Δ by more"),
        ({"training_cost": [90.0] * 4}, "Use more images or fewer --epochs."),
        ({"training_cost": [90.0] * 4, "earlier": 1.4}, "of their KL. Use more images."),
        ({"active": [0.0] * 4}, "Collapsed latents: none of 16 is active"),
    ],
)
def test_what_ails_models_is_named(given, expected):
    assert expected in said(records_of(falling(8), **given))
    assert expected not in said(records_of(falling(8)))


def told_overfitted(excess, *, images, deviation, seeds=2, draws=300):
    """How often models are said to be overfitted whose held-out images truly cost so much more.

    Nats at a KL of 20; costs of images have the given deviation, those of models differ by a tenth
    of it. There are 2,000 training images.
    """
    random, told = np.random.default_rng(0), 0
    records = records_of(falling(8, seeds=seeds)).assign_attrs(points=images)
    reading = read_records(records)
    for _ in range(draws):
        held_out, trained = (
            deviation * (random.standard_normal(n) + 0.1 * random.standard_normal((4, seeds, n)))
            for n in (images, 2000)
        )
        errors = [each.std(axis=-1) / each.shape[-1] ** 0.5 for each in (held_out, trained)]
        costs = [100 + excess + held_out.mean(axis=-1), 100 + trained.mean(axis=-1)]
        drawn = dict(zip(("cost", "training_cost"), costs, strict=True))
        drawn |= dict(zip(("cost_stderr", "training_cost_stderr"), errors, strict=True))
        told += "Overfitted" in " ".join(diagnoses(reading._replace(**drawn)))
    return told / draws


@pytest.mark.parametrize(("images", "deviation"), [(50, 20), (100, 40)])
def test_models_whose_few_held_out_images_cost_more_by_chance_are_rarely_said_to_be_overfitted(
    images, deviation
):
    assert told_overfitted(0.0, images=images, deviation=deviation) <= 0.05


def test_models_whose_held_out_images_cost_much_more_are_said_to_be_overfitted():
    assert told_overfitted(10.0, images=200, deviation=20, draws=50) > 0.95


def test_without_errors_over_images_nothing_is_said_of_overfitting():
    records = records_of(falling(8), training_cost=[90.0] * 4)
    assert "Overfitted" in said(records)
    assert "Overfitted" not in said(records.drop_vars("cost_stderr"))


def test_latents_to_spare_are_named_only_where_no_size_is_enough():
    active = [2.0, 4, 6, 6]
    expected = "of 16 latents 6 are active at the largest size"
    needed = {"dimensions": {"input": [8.0] * 4}}
    assert expected in said(records_of(falling(99), active=active, **needed))
    assert expected not in said(records_of(falling(8), active=active, **needed))


def test_as_many_active_latents_as_the_data_have_dimensions_are_not_collapsed():
    records = records_of(falling(99), active=[2.0, 4, 6, 6])
    assert "Collapsed" not in said(records, dimension=dimension_of(6.0, 0.1))
    assert "Collapsed" in said(records, dimension=dimension_of(7.0, 0.1))


def test_a_size_below_the_dimension_by_all_estimates_is_told():
    dimension, expected = dimension_of(12.0, 0.1, smallest=9.0), "Fewer latents than dimensions"
    assert "the dimension of the images is 9.0 ± 0.1, of which 8 latents" in (
        said(records_of(falling(8)), dimension=dimension)
    )
    assert expected not in said(records_of(falling(8)), dimension=dimension_of(8.1, 0.1))
    # Noise of pixels raises TwoNN alone.
    assert expected not in said(
        records_of(falling(8)), dimension=dimension_of(9.0, 0.1, smallest=8.1)
    )
    assert expected not in said(records_of(falling(8)), dimension=dimension._replace(doubts=("",)))


def test_noise_of_the_pixels_does_not_make_the_true_rank_too_few_latents():
    # TwoNN less two standard errors is above 3 in all of these draws.
    records, told = records_of(falling(3, sizes=(2, 3, 6)), sizes=np.array([2, 3, 6])), 0
    assert decided_bounds(read_records(records)).sufficient == 3
    for draw in range(20):
        random = np.random.default_rng(draw)
        noisy = linear_images(3, random, 500) + 2 * random.standard_normal((500, 28, 28))
        images = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        told += "Fewer latents" in said(records, dimension=data_dimension(images))
    assert told <= 1


def test_models_that_use_fewer_latents_than_the_data_have_dimensions_are_told():
    records = records_of(falling(8), active=[2.0, 4, 8, 9])
    assert "keep fewer dimensions than the data have" in said(
        records, dimension=dimension_of(14.0, 1.0)
    )
    assert "keep fewer dimensions than the data have" not in said(
        records, dimension=dimension_of(10.0, 1.0)
    )
    # Noise of the pixels raised it by a part of a dimension.
    assert "keep fewer dimensions than the data have" not in said(
        records, dimension=dimension_of(9.9, 0.2)
    )
    surely = records.assign_attrs(fewest_latents=10)
    assert "the data have dimension 10 or more" in said(surely, dimension=dimension_of(9.9, 0.2))


@pytest.mark.parametrize("fewest", [0, 4, 8])
def test_a_size_below_the_dimension_of_the_data_is_never_the_answer(fewest):
    concluded = conclude(records_of(falling(4)).assign_attrs(fewest_latents=fewest))
    used = max(fewest, 4)
    text = " ".join(concluded.sentences)
    assert text.startswith(f"Use a bottleneck of {used}")
    assert ("By Δ alone 4 would do" in text) == (used > 4)
    assert ("criteria" in text) == (used == 4)
    # What the figure shows and the benchmark counts.
    assert decided_bounds(concluded.reading).sufficient == used
    assert concluded.criteria[0].size == 4


def test_sizes_below_the_dimension_of_the_data_do_not_remain():
    alike = records_of(falling(2)).assign_attrs(fewest_latents=2)
    assert said(alike).startswith("Use a bottleneck of 2: no larger one")
    assert "The data have 2 dimensions or more." in said(alike)
    decides = conclude(alike).criteria[0]
    assert (decides.answer, decides.size) == ("2", 2)
    assert "smaller sizes are left out, as the data have 2 dimensions or more" in decides.evidence
    nothing = records_of(falling(99)).assign_attrs(fewest_latents=20)
    assert said(nothing).startswith(
        "Not decided, sizes 20 or more remain: the data have 20 dimensions or more. "
    )


def test_a_seed_of_which_a_model_failed_is_left_out_and_named():
    records = records_of(falling(8))
    records["failed"][1, 4] = True
    reading = read_records(records)
    assert reading.seeds == (0, 1, 2, 3)
    assert "K = 4 seed 4" in " ".join(diagnoses(reading))


def test_a_size_with_one_model_so_far_is_left_out_rather_than_all_other_seeds():
    records = records_of(falling(8, seeds=6))
    records["missing"][2, 1:] = True
    reading = read_records(records)
    assert (reading.sizes.tolist(), len(reading.seeds)) == ([2, 4, 16], 6)


def test_an_experiment_that_names_sizes_otherwise_is_read_the_same():
    records = records_of(falling(8))
    named = records.squeeze("latent_layer", drop=True).rename(latents="bottleneck")
    left, right = read_records(records), read_records(named.isel(bottleneck=[3, 1, 0, 2]))
    assert decided_bounds(left) == decided_bounds(right)
    np.testing.assert_array_equal(left.imbalance, right.imbalance)


def test_records_of_something_else_are_refused():
    with pytest.raises(ValueError, match="expected records of a sweep over --latents"):
        read_records(xr.Dataset({"imbalance": ("seed", [1.0])}))


@pytest.mark.parametrize(
    ("points", "distinct", "expected"),
    [
        (500, 40, "460 of the 500 held-out images measured are copies of others"),
        (40, 40, "only 40 distinct held-out images were measured, and at least 50 are needed"),
    ],
)
def test_copies_and_few_images_show_no_size_to_be_enough(points, distinct, expected):
    records = records_of(falling(8))
    records.attrs["points"] = points
    counted = xr.zeros_like(records["intrinsic_dimension"]) + distinct
    reading = read_records(records.assign(distinct_points=counted))
    assert answer(reading).startswith(f"Not decided: {expected}")
    assert decided_bounds(reading).sufficient is None


@pytest.mark.parametrize(("points", "few"), [(199, True), (200, False)])
def test_few_held_out_images_are_said_to_be_no_part_of_the_confidence(points, few):
    records = records_of(falling(8), active=[2.0, 4, 8, 8])
    records.attrs["points"] = points
    said = " ".join(diagnoses(read_records(records)))
    assert ("not about other images" in said) == few
    assert (
        "Use a bottleneck of 8, as far as 199 held-out images tell" in answer(read_records(records))
    ) == few


def test_on_few_images_no_criterion_is_to_be_trusted_alone():
    records = records_of(falling(8), active=[2.0, 4, 8, 12])
    assert "Trust the equivalence test" in disagreed(records)
    records.attrs["points"] = 60
    assert "none of them is to be trusted alone" in disagreed(records)
    assert "a larger size may be needed" in disagreed(records)


@pytest.mark.parametrize(
    ("given", "used", "why"),
    [
        (
            {"cost": [120.0, 110, 100, 100]},
            8,
            "the negative ELBO of smaller ones is more than two standard errors above the lowest",
        ),
        ({"active": [2.0, 4, 6, 6]}, 8, "models of 16 latents use 6"),
        ({}, 16, "models of 16 latents use 16"),
        ({"active": [2.0, 3, 3, 3]}, 4, ""),
    ],
)
def test_on_few_images_a_size_is_enough_only_if_elbo_and_active_units_say_so_too(given, used, why):
    records = records_of(falling(4), **{"active": [2.0, 4, 4, 4]} | given if given else {})
    assert said(records).startswith("Use a bottleneck of 4: no larger one, up to 16, lowers Δ")
    records.attrs["points"] = 60
    assert decided_bounds(read_records(records)) == (2, used)
    why = f"{why}. By Δ alone 4 would do: no larger one, up to 16" if why else "no larger one"
    expected = f"Use a bottleneck of {used}, as far as 60 held-out images tell: {why}"
    assert said(records).startswith(expected)


def test_a_criterion_that_no_size_meets_does_not_agree_with_one_that_some_does():
    gap = {"mean": [1.0, 1.0, 1.0, 1.0], "sample": [3.0, 4.0, 8.0, 15.0]}
    records = records_of(
        falling(8), cost=[120.0, 110, 100, 100], active=[2.0, 4, 8, 8], dimensions=gap
    )
    found = disagreed(records)
    assert "FONDUE says less than 2" in found
    assert "agree" not in found


def test_models_whose_other_seeds_are_not_trained_yet_are_said_not_to_be_read():
    records = records_of(falling(8))
    assert "Not read" not in said(records)
    records["missing"][-1, 1:] = True
    assert "Not read: K = 16 seed 0. Sizes are compared by the same seeds" in said(records)
    records["failed"][0, 0] = True
    assert "are not trained yet or have failed" in said(records)


def test_a_sweep_that_also_varies_beta_is_read_for_every_beta():
    parts = [records_of(falling(4)), records_of(falling(8))]
    both = xr.concat(parts, xr.Variable("beta", [1.0, 4.0]), data_vars="all")
    read = by_setting(both.assign_attrs(parts[0].attrs))
    assert [setting for setting, _ in read] == ["beta 1.0", "beta 4.0"]
    for (_, some), own in zip(read, parts, strict=True):
        assert answer(read_records(some)) == answer(read_records(own))
    # What has no model is said, and the rest is read.
    both["failed"][0] = True
    lines = [_answer_of(*one) for one in by_setting(both.assign_attrs(parts[0].attrs))]
    assert lines[0][0].startswith("beta 1.0: expected a model that is done")
    assert lines[1][:2] == ["beta 4.0:", answer(read_records(parts[1]))]
    ((setting, alone),) = by_setting(parts[0])
    assert setting == ""
    assert alone.identical(parts[0])


def test_criteria_whose_numbers_are_unknown_say_so():
    unknown = {"input": [np.nan] * 4, "mean": [2.0, np.nan, 5.0, 5.0]}
    records = records_of(falling(8, seeds=1), dimensions=unknown)
    _, cost, fondue, _, filled = criteria_of(read_records(records), NULLS)
    assert [each.answer for each in (cost, fondue, filled)] == ["unknown"] * 3
    assert "takes two seeds" in cost.evidence


def test_the_chart_shows_what_the_figure_does_the_line_to_beat_and_the_sizes_that_remain():
    concluded = conclude(records_of(falling(8)))
    (chart,) = _page(concluded, "title").charts
    lower = next(one.drawn for one in chart.traces if one.drawn["name"].endswith("25% lower"))
    least = np.exp(np.log(concluded.reading.imbalance).mean(axis=1)).min()
    assert lower["y"] == pytest.approx([least / 0.75] * 2)
    (remaining,) = chart.layout["shapes"]
    assert (remaining["x0"], remaining["x1"]) == (4.7, 8.3)
    assert remaining["showlegend"]
