"""Every sign of collapse is seen where it is, and only there."""

import jax
import numpy as np
import pytest

from jaxvae.analysis import (
    Estimate,
    Evaluation,
    ExampleCosts,
    ShuffleEffect,
    collapse_warnings,
    collapsed_latents,
    evaluate,
    largest_eigenvalue,
    rate_warnings,
    shuffle_effect,
    unused_latents,
)
from jaxvae.metrics import water_filling
from jaxvae.metrics.latents import LatentTypes
from tests.analysis import linear
from tests.models.hierarchies import LinearGaussian

SIZES = (10, 100)
NOTHING = Estimate(np.float64(0), np.float64(0))


def evaluated(rates=(5.0, 20.0), active=(3, 40)):
    rates = Estimate(np.array(rates), np.full(len(rates), 0.1))
    return Evaluation(
        distortion=NOTHING,
        rates=rates,
        information_bounds=rates,
        mean_distortion=NOTHING,
        psnr=NOTHING,
        mean_psnr=NOTHING,
        bits_per_dimension=NOTHING,
        active_units=np.array(active),
        number_rates=(),
        latent_types=(),
        examples=ExampleCosts(np.zeros(2), np.zeros((2, len(active))), np.zeros(2)),
    )


def shuffled(costs, errors):
    cost = Estimate(np.array(costs), np.array(errors))
    return ShuffleEffect(cost, cost)


def seen(*arguments, **options):
    found = collapse_warnings(*arguments, **options)
    return [(one.layer, one.condition.split(",")[0], one.measured) for one in found]


def test_a_latent_as_wide_as_the_prior_whose_mean_varies_has_not_collapsed():
    # Three of the same width: the rates are those of a Gaussian posterior with these means.
    deviations = np.array([0.0, 0.2, 2.0])
    rates = (np.array([0.004, 0.004, 0.004]) + deviations**2 / 2,)
    (collapsed,) = collapsed_latents(evaluated()._replace(number_rates=rates))
    np.testing.assert_array_equal(collapsed, [True, False, False])
    (unknown,) = collapsed_latents(evaluated()._replace(number_rates=(np.array([np.nan]),)))
    assert not unknown.any()


def test_nothing_is_said_of_layers_that_are_used():
    shuffle = shuffled([3.0, 30.0], [0.1, 0.1])
    weights = {"betas": [1.0, 1.0], "variance": 0.5, "eigenvalues": np.array([0.1, 2.0])}
    assert collapse_warnings(evaluated(), sizes=SIZES, shuffle=shuffle, **weights) == ()


def test_a_low_rate_is_one_per_dimension():
    # 0.5 nats are much for 10 numbers, and little for 100.
    assert seen(evaluated(rates=(0.5, 0.5)), sizes=SIZES) == [
        ("z_1", "the rate is below 0.01 nats per dimension", 0.005)
    ]


def test_a_layer_without_active_units_is_named():
    assert seen(evaluated(active=(0, 1)), sizes=SIZES) == [
        ("z_2", "none of 10 units is active", 0.0)
    ]


@pytest.mark.parametrize(
    ("cost", "error", "warned"),
    [(0.2, 0.3, True), (-0.2, 0.3, True), (0.0, 0.0, True), (0.4, 0.3, False), (-1.0, 0.3, True)],
)
def test_a_sample_is_unread_where_shuffling_it_is_within_its_error(cost, error, warned):
    found = seen(evaluated(), sizes=SIZES, shuffle=shuffled([cost, 9.0], [error, 0.1]))
    expected = [
        ("z_2", "it is ignored: shuffling its samples between images hardly changes the loss", cost)
    ]
    assert found == (expected if warned else [])


@pytest.mark.parametrize(("bottom", "warned"), [(95.0, False), (96.0, True)])
def test_the_bottom_layer_is_not_to_have_all_of_the_rate(bottom, warned):
    found = seen(evaluated(rates=(5.0, bottom)), sizes=SIZES)
    share = bottom / (5 + bottom)
    expected = [("z_1", "it has more than 95% of the total rate", pytest.approx(share))]
    assert found == (expected if warned else [])


def test_one_layer_has_all_of_the_rate_and_none_of_the_blame():
    assert collapse_warnings(evaluated(rates=(9.0,), active=(3,)), sizes=[4]) == ()


@pytest.mark.parametrize("beta", [3.9, 4.0, 4.1])
def test_a_beta_is_too_high_where_the_linear_optimum_has_no_rate(beta):
    eigenvalues, variance = np.array([0.3, 2.0, 1.0]), 0.5
    found = collapse_warnings(
        evaluated(), sizes=SIZES, betas=[beta, 1.0], variance=variance, eigenvalues=eigenvalues
    )
    no_rate = water_filling(eigenvalues, level=beta * variance).rate == 0
    assert len(found) == int(no_rate) == (beta >= 4)
    if found:
        assert found[0].layer == "z_2"
        assert found[0].measured == beta * variance
        assert "below 4," in found[0].advice


def test_layers_are_named_from_the_top_and_signs_kept_in_order():
    found = seen(
        evaluated(rates=(0.0, 0.0, 0.0), active=(0, 0, 0)),
        sizes=[1, 2, 3],
        shuffle=shuffled([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    )
    assert [layer for layer, *_ in found] == ["z_3"] * 3 + ["z_2"] * 3 + ["z_1"] * 3
    assert len({condition for _, condition, _ in found[::3]}) == 1


def of_types(active_units, mixed, passive):
    masks = np.array([[False] * 2, mixed, passive])
    types = LatentTypes(*masks)
    return evaluated(rates=(0.1,), active=(active_units,))._replace(latent_types=(types,))


def test_latents_of_which_none_is_active_are_unused_though_some_are_mixed():
    said = unused_latents(of_types(0, mixed=[True, False], passive=[False, True]))
    assert said.startswith("None of the 2 latents is active")
    assert "--epochs" in said
    assert "--learning-rate" in said
    assert unused_latents(of_types(1, mixed=[True, False], passive=[False, True])) is None


@pytest.mark.parametrize(("rate", "spent"), [(0.9, False), (32.2, True)])
def test_a_rate_that_no_image_changes_is_told(rate, spent):
    none = of_types(0, mixed=[True, False], passive=[False, True])
    said = unused_latents(none._replace(rates=evaluated(rates=(rate,), active=(0,)).rates))
    assert ("spends 32.2 nats on latents that are the same for all images" in said) == spent


def test_one_image_tells_nothing_of_unused_latents():
    assert unused_latents(of_types(0, mixed=[False] * 2, passive=[False] * 2)) is None


def test_a_top_layer_that_is_its_prior_has_no_rate_and_no_active_unit():
    class Collapsed(LinearGaussian):
        def posterior(self, index, features, state, prior, *, train):
            own = super().posterior(index, features, state, prior, train=train)
            return prior if index == 0 else own

    hvae = linear.hierarchy()
    hvae = linear.build_hvae(
        Collapsed(inferred=0.0),
        image_shape=hvae.image_shape,
        shapes=hvae.shapes,
        likelihood=linear.gaussian(standard_deviation=linear.DEVIATION),
    )
    arguments = hvae, linear.NOTHING, linear.IMAGES
    evaluation = evaluate(*arguments, key=jax.random.key(0))
    shuffle = shuffle_effect(*arguments, key=jax.random.key(1))
    found = collapse_warnings(evaluation, sizes=[1, 2], shuffle=shuffle)
    top = [one.condition for one in found if one.layer == "z_2"]
    assert top[:2] == ["the rate is below 0.01 nats per dimension", "none of 1 units is active"]
    assert shuffle.distortion.value[0] == 0
    bottom = [one.condition for one in found if one.layer == "z_1"]
    assert bottom == ["it has more than 95% of the total rate"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [3]}, r"expected 2 whole sizes of at least 1, got \[3\]"),
        ({"sizes": 3}, "expected 2 whole sizes of at least 1, got 3"),
        ({"sizes": [3, 0]}, r"expected 2 whole sizes of at least 1, got \[3, 0\]"),
        ({"sizes": [3, 1.5]}, r"expected 2 whole sizes of at least 1, got \[3, 1.5\]"),
        ({"sizes": [3, np.nan]}, "expected 2 whole sizes of at least 1"),
        ({"evaluation": evaluated(rates=(np.nan, 1.0))}, "expected finite rates"),
        ({"evaluation": evaluated(rates=(-0.1, 1.0))}, r"rates \[l\] of at least 0"),
        ({"shuffle": shuffled([1.0], [0.1])}, "expected 2 finite costs of shuffling"),
        ({"shuffle": shuffled([np.nan, 1.0], [0.1, 0.1])}, "2 finite costs of shuffling"),
        ({"shuffle": shuffled([0.0, 1.0], [np.nan, 0.1])}, "costs of shuffling with finite errors"),
        ({"variance": 1.0}, "together, got no betas, eigenvalues"),
        (
            {"betas": [1.0], "variance": 1.0, "eigenvalues": np.ones(3)},
            r"expected 2 finite betas of at least 0, got \[1.0\]",
        ),
        *(
            (
                {"betas": [1.0, beta], "variance": 1.0, "eigenvalues": np.ones(3)},
                "expected 2 finite betas of at least 0",
            )
            for beta in (np.nan, -1.0)
        ),
        (
            {"betas": [1.0, 1.0], "variance": np.inf, "eigenvalues": np.ones(3)},
            "expected a finite variance above 0",
        ),
        (
            {"betas": [1.0, 1.0], "variance": 0.0, "eigenvalues": np.ones(3)},
            "expected a finite variance above 0",
        ),
        (
            {"betas": [1.0, 1.0], "variance": 1.0, "eigenvalues": np.array([1.0, np.nan])},
            "expected finite eigenvalues",
        ),
    ],
)
def test_numbers_that_are_not_one_a_layer_are_refused(change, message):
    arguments = {"evaluation": evaluated(), "sizes": SIZES, **change}
    with pytest.raises(ValueError, match=message):
        collapse_warnings(arguments.pop("evaluation"), **arguments)


def test_of_one_layer_a_number_is_its_rate_and_its_size():
    assert rate_warnings(0.1, sizes=20) == rate_warnings([0.1], sizes=[20]) != ()


def test_a_rate_that_rounding_leaves_below_zero_is_low():
    assert [one.layer for one in rate_warnings([-1e-9, 2.0], sizes=[4, 4])] == ["z_2", "z_1"]


@pytest.mark.parametrize(("rates", "sizes"), [([np.nan], [1]), ([-1.0], [1]), ([1.0], [2.5])])
def test_rates_and_sizes_that_cannot_be_are_refused(rates, sizes):
    with pytest.raises(ValueError, match="expected"):
        rate_warnings(rates, sizes=sizes)


def test_costs_of_shuffling_are_finite_where_all_errors_are():
    assert shuffled([1.0, 2.0], [0.1, 0.1]).is_finite
    assert not shuffled([1.0, np.inf], [0.1, np.nan]).is_finite


@pytest.mark.parametrize("shape", [(40, 3, 4, 1), (5, 4, 4, 3), (2, 2, 2, 1)])
def test_the_largest_eigenvalue_is_that_of_the_covariance(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    covariance = np.cov(images.reshape(len(images), -1) / 255, rowvar=False)
    expected = np.linalg.eigvalsh(covariance)[-1]
    np.testing.assert_allclose(largest_eigenvalue(images), expected, rtol=1e-12)


def test_images_that_are_all_the_same_vary_in_no_direction():
    assert largest_eigenvalue(np.full((3, 2, 2, 1), 255, np.uint8)) == 0


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2 images for a covariance, got 1"):
        largest_eigenvalue(np.zeros((1, 2, 2, 1), np.uint8))
