"""When layers are learned, and which half is first, where it is known."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.error_rates.order import Case, rates
from jaxvae.analysis.learning import (
    convergence_epoch,
    learned_share,
    learning_epochs,
    learning_order,
    of_both,
    tangent_scale,
)


def test_a_layer_has_converged_where_it_stays_above_the_threshold():
    epochs = [0, 1, 2, 4]
    similarity = np.array([[0.5, 0.95, 0.2], [0.8, 0.85, 0.95], [1.0, 0.95, 0.4], [1.0, 1.0, 1.0]])
    # Between epochs 1 and 2, half way; after its last fall; from 0.4 to 1 over two epochs.
    expected = [1.5, 1.5, 2 + 2 * 0.5 / 0.6]
    np.testing.assert_allclose(convergence_epoch(epochs, similarity), expected)


def test_a_layer_that_always_was_there_converged_at_the_start():
    assert convergence_epoch([0, 1], np.array([0.9, 1.0])) == 0


@pytest.mark.parametrize(
    "values", [[0.1, np.nan, 1.0], [0.1, 0.2, 0.8], [0.1, -np.inf, 1.0], [np.inf, 1.0, 1.0]]
)
def test_a_layer_that_is_not_finite_or_ends_below_never_converged(values):
    assert np.isnan(convergence_epoch([0, 1, 2], np.array(values)))


def one(*curve):
    """Similarities of one model and layer."""
    return np.array(curve, float)[:, None, None]


def test_the_learned_share_goes_from_zero_to_one_at_the_replicate():
    # From .6 to .9, the similarity of the replicate.
    share = learned_share(one(0.6, 0.75, 0.9, 1.0), np.array([[0.9]]))
    np.testing.assert_allclose(share[:, 0, 0], [0, 0.5, 1, 1])


def test_the_epoch_of_learning_is_the_mean_of_the_epochs_at_which_shares_are_learned():
    # A third is learned between epochs 0 and 1, two thirds between 1 and 4: .5 / 3 + 2.5 * 2 / 3.
    found = learning_epochs([0, 1, 4], one(0.1, 0.4, 1.0), np.array([[1.0]]))
    np.testing.assert_allclose(found.epoch, 0.5 / 3 + 2.5 * 2 / 3)


def test_a_layer_that_starts_at_its_end_has_nothing_to_learn():
    found = learning_epochs([0, 1, 2], one(0.9999, 0.99992, 1.0), np.array([[0.99999]]))
    assert found.nothing.all()
    assert np.isnan(found.epoch).all()
    assert not found.undefined.any()


@pytest.mark.parametrize(("start", "nothing"), [(0.981, True), (0.979, False)])
def test_what_is_as_near_to_the_end_as_replicates_are_has_nothing_to_learn(start, nothing):
    # Distances of replicates of two models: .005 and .015, .01 in the mean, of which twice counts.
    similarity = np.array([[start] * 2, [0.99] * 2, [1.0] * 2])[:, :, None]
    found = learning_epochs([0, 1, 2], similarity, np.array([[0.995], [0.985]]))
    np.testing.assert_array_equal(found.nothing[:, 0], [nothing] * 2)


@pytest.mark.parametrize(
    ("curve", "replicate"), [((0.1, np.nan, 1.0), 0.99), ((0.1, 0.5, 1.0), np.nan)]
)
def test_a_layer_with_nan_is_undefined_and_not_without_anything_to_learn(curve, replicate):
    found = learning_epochs([0, 1, 2], one(*curve), np.array([[replicate]]))
    assert found.undefined.all()
    assert not found.nothing.any()
    assert np.isnan(found.epoch).all()


def test_an_encoder_that_is_near_its_end_untrained_can_still_be_first():
    # Similarities fluctuate by .01. By nine tenths of the way to 1, of which the encoder has made
    # .8, .8 and 1, it would come at epoch 2.5, and the decoder at 1.8.
    encoder, decoder = (0.95, 0.99, 0.99, 1.0), (0.10, 0.50, 0.99, 1.0)
    similarity = np.array([encoder, decoder]).T[:, None]
    found = learning_epochs([0, 1, 2, 3], similarity, np.array([[0.99, 0.99]]))
    np.testing.assert_allclose(found.epoch[0, 0], 0.5)
    np.testing.assert_allclose(found.epoch[0, 1], 0.5 + 0.49 / 0.89)


@pytest.mark.parametrize("last", [0.89, 0.905, 0.9])
def test_one_replicate_that_is_far_from_the_end_changes_no_other_model(last):
    # Untrained, the layer is at .9: the way to the last replicate alone is none, or backwards.
    similarity = np.repeat(one(0.9, 0.95, 0.98, 0.99, 1.0), 3, axis=1)
    replicate = np.array([[0.999], [0.999], [last]])
    found = learning_epochs([0, 1, 2, 4, 8], similarity, replicate)
    # Of the way to .999, what is left at the epochs is .099, .049, .019, .009 and nothing.
    expected = ((0.099 + 0.049) / 2 + (0.049 + 0.019) / 2 + (0.019 + 0.009) + 0.009 * 2) / 0.099
    np.testing.assert_allclose(found.epoch[:2], expected)
    # The way to the last replicate counts as .05 long: of it -.6 and -.8 are left at 2 and 4.
    np.testing.assert_allclose(found.epoch[2], 0.5 - 0.3 - 1.4 - 1.6)


def test_a_replicate_that_is_far_from_the_end_counts_as_half_as_far_as_the_untrained_layer():
    # .8 is .2 from the end; the last replicate is .15 from it, and counts as .1.
    similarity = np.repeat(one(0.8, 0.85, 0.9, 1.0), 3, axis=1)
    share = learned_share(similarity, np.array([[0.99], [0.99], [0.85]]))
    np.testing.assert_allclose(share[:, 2, 0], [0, 0.5, 1, 1])


def test_fluctuations_long_after_all_was_learned_move_no_mean():
    # The last intervals count for many epochs: single models come before the first epoch.
    random = np.random.default_rng(0)
    epochs, models = [0, 1, 2, 4, 7, 10, 20, 40], 2000
    similarity = np.full((len(epochs), models, 1), 0.9)
    similarity[1:-1] += 0.06 * random.standard_normal((len(epochs) - 2, models, 1))
    similarity[0], similarity[-1] = 0.7, 1
    # The end counts as the replicate does: a share of 1.
    found = learning_epochs(epochs, similarity, np.full((models, 1), 0.9)).epoch
    assert (found < 0).any()
    assert abs(found.mean() - 0.5) < 5 * found.std() / np.sqrt(models)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_a_layer_with_an_infinite_similarity_is_undefined(value):
    for curve, replicate in (((0.1, value, 1.0), 0.99), ((0.1, 0.5, 1.0), value)):
        found = learning_epochs([0, 1, 2], one(*curve), np.array([[replicate]]))
        assert found.undefined.all()
        assert np.isnan(found.epoch).all()


@pytest.mark.parametrize("shape", [(), (2,), (1, 2), (3,), (2, 3)])
def test_replicates_of_another_shape_than_models_and_layers_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected similarities \[epochs, models, layers\]"):
        learning_epochs([0, 1], np.ones((2, 3, 2)), np.ones(shape))


@pytest.mark.parametrize("epochs", [[0, np.inf], [0, np.nan], [1, 0]])
def test_epochs_that_do_not_ascend_to_a_finite_end_are_refused(epochs):
    for ask in (convergence_epoch, lambda e, s: learning_epochs(e, s, np.ones((1, 1)))):
        with pytest.raises(ValueError, match="expected finite, ascending epochs"):
            ask(epochs, one(0.5, 1.0))


def test_no_epoch_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        convergence_epoch([], np.ones((0, 2)))


def test_an_infinite_epoch_is_undefined():
    order = learning_order(np.array([1.0, np.inf]), np.array([2.0, 2.0]), np.arange(2))
    assert (order.encoder, order.undefined, order.seeds) == (1, 1, 1)


@pytest.mark.parametrize("seeds", [[0.2, 0.7], ["a", "b"]])
def test_seeds_that_are_not_whole_are_refused(seeds):
    with pytest.raises(ValueError, match="expected whole numbers as seeds"):
        learning_order(np.zeros(2), np.ones(2), seeds)


@pytest.mark.parametrize("tests", [0, -1, 1.5])
def test_a_number_of_tests_that_cannot_be_is_refused(tests):
    with pytest.raises(ValueError, match="expected a whole number of tests of at least 1"):
        learning_order(np.zeros(2), np.ones(2), np.arange(2), tests=tests)


def test_noise_does_not_make_a_layer_late():
    # Both layers have learned all between epochs 0 and 1; one of them fluctuates by a tenth of
    # its way. Where it stays above nine tenths is up to the noise, its epoch is not.
    random = np.random.default_rng(0)
    models, epochs = 2000, np.arange(11)
    ends = np.full((11, models), 0.9)
    ends[0], ends[-1] = 0.5, 1
    noisy = (
        ends + 0.04 * random.standard_normal(ends.shape) * ((epochs > 0) & (epochs < 10))[:, None]
    )
    similarity = np.stack([ends, noisy], axis=2)
    found = learning_epochs(epochs, similarity, np.full((models, 2), 0.9)).epoch
    np.testing.assert_allclose(found[:, 0], 0.5)
    assert abs(found[:, 1].mean() - 0.5) < 5 * found[:, 1].std() / np.sqrt(models)


def test_ties_and_undefined_models_are_counted_apart():
    encoder, decoder = (
        np.array([1.0, 2.0, 3.0, np.nan, 1.0]),
        np.array([2.0, 2.0, 1.0, 1.0, np.nan]),
    )
    order = learning_order(encoder, decoder, np.arange(5))
    assert (order.encoder, order.decoder, order.ties, order.undefined) == (1, 1, 1, 2)
    assert order.seeds == 3
    np.testing.assert_allclose(order.lead, (1 + 0 - 2) / 3)


def test_the_p_value_is_that_of_a_paired_t_test_of_seeds():
    random = np.random.default_rng(0)
    seeds = np.repeat(np.arange(4), 3)
    encoder, decoder = random.normal(size=12), random.normal(1, size=12)
    order = learning_order(encoder, decoder, seeds)
    # Models of a seed are no seeds of their own.
    means = [half.reshape(4, 3).mean(axis=1) for half in (decoder, encoder)]
    np.testing.assert_allclose(order.p_value, stats.ttest_rel(*means).pvalue)
    assert order.seeds == 4


@pytest.mark.parametrize(
    ("decoder", "seeds", "conditions"),
    [(np.ones(3), [0, 1], None), (np.ones(2), [0, 1, 2], None), (np.ones(3), [0, 1, 2], ["a"])],
)
def test_halves_seeds_and_conditions_of_other_lengths_are_refused(decoder, seeds, conditions):
    with pytest.raises(ValueError, match=r"of one length \[m\], got shapes \(3,\)"):
        learning_order(np.zeros(3), decoder, seeds, conditions)


def test_what_rounding_leaves_of_a_tie_is_no_lead():
    order = learning_order(np.full(2, 0.3), np.full(2, 0.1 + 0.2), np.arange(2))
    assert (order.ties, order.lead, order.p_value, order.first) == (2, 0.0, 1.0, None)


def test_conditions_that_a_seed_lacks_are_in_the_lead_of_none():
    # One condition leads by 1, 1.1 and 1.2 epochs, the other by 10, where it is known.
    leads = np.array([1, 1.1, 1.2, 10, 10, np.nan])
    order = learning_order(np.zeros(6), leads, np.array([0, 1, 2] * 2), ["a"] * 3 + ["b"] * 3)
    np.testing.assert_allclose(order.lead, 1.1)
    assert (order.encoder, order.undefined, order.seeds) == (5, 1, 3)


def test_seeds_without_a_condition_in_common_are_not_compared():
    order = learning_order(np.zeros(2), np.ones(2), np.arange(2), ["a", "b"])
    assert (order.seeds, order.first) == (0, None)
    assert np.isnan(order.lead)


def test_the_p_value_is_multiplied_by_the_number_of_tests():
    leads = np.array([1.0, 2.0, 1.5])
    alone = learning_order(np.zeros(3), leads, np.arange(3))
    one_of_two = learning_order(np.zeros(3), leads, np.arange(3), tests=2)
    np.testing.assert_allclose(one_of_two.p_value, 2 * alone.p_value)
    assert learning_order(np.zeros(3), leads, np.arange(3), tests=1000).p_value == 1


@pytest.mark.parametrize(
    ("leads", "first"),
    [
        ([2.0, 2.1, 2.05], "encoder"),
        ([-2.0, -2.1, -2.05], "decoder"),
        ([2.0, 0.1, 1.0], None),
        ([2.0], None),
        ([np.nan, np.nan], None),
        ([0.0, 0.0], None),
    ],
)
def test_a_half_is_first_only_where_the_seeds_agree(leads, first):
    order = learning_order(np.zeros(len(leads)), np.array(leads), np.arange(len(leads)))
    assert order.first == first


def cka_with(of_end, more):
    """Linear CKA of some features with these and others, in float64."""

    def products(features):
        centered = features - features.mean(axis=0)
        return centered @ centered.T

    one, other = products(of_end), products(np.concatenate([of_end, more], axis=1))
    return np.sum(one * other) / np.sqrt(np.sum(one**2) * np.sum(other**2))


def test_the_tangent_scale_is_even_in_the_size_of_what_is_unrelated_to_the_end():
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 7)))[0]
    basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
    sizes = np.array([0.01, 0.1, 1.0, 2.0])
    similarity = np.array([cka_with(basis[:, :4], size * basis[:, 4:]) for size in sizes])
    # Inner products grow with the square of the features: 3 directions, relative to 4.
    np.testing.assert_allclose(1 - tangent_scale(similarity), sizes**4 * 3 / 4, rtol=1e-6)
    np.testing.assert_allclose(tangent_scale(np.array([1.0, 0.01, -0.2])), [1, -398, -398])
    np.testing.assert_array_equal(tangent_scale(np.array([np.nan, np.inf])), [np.nan, np.inf])


def test_halves_of_one_pace_are_not_told_apart_by_how_far_they_were_from_their_end():
    # What is unrelated to the end falls to a third in 1.5 epochs in both; CKA begins at .95 and .1.
    epochs, seeds = np.array([0, 1, 2, 4, 6, 8, 10]), np.arange(4)
    pace = 1.5 + 0.01 * seeds[:, None]
    left = np.exp(-epochs[:, None, None] / pace) - np.exp(-epochs[-1] / pace)
    start = np.sqrt(1 / np.array([0.95, 0.1]) ** 2 - 1)
    similarity = 1 / np.hypot(1, start * left / left[0])
    replicate = np.ones((4, 2))
    by_cka, by_tangent = (
        learning_order(*learning_epochs(epochs, *scaled).epoch.T, seeds)
        for scaled in ((similarity, replicate), map(tangent_scale, (similarity, replicate)))
    )
    assert by_cka.first == "encoder"
    assert abs(by_tangent.lead) < 0.02
    assert of_both(by_cka, by_tangent).first is None


def test_a_half_is_first_where_it_is_by_both_scales():
    def order(*leads):
        return learning_order(np.zeros(len(leads)), np.array(leads), np.arange(len(leads)))

    clear, unclear, other = order(2.0, 2.1, 2.05), order(2.0, 0.1, 1.0), order(-2.0, -2.1, -2.05)
    assert of_both(clear, clear) == clear
    assert of_both(clear, unclear) == clear._replace(p_value=unclear.p_value)
    assert of_both(clear, other) == clear._replace(p_value=1.0)
    assert np.isnan(of_both(clear, order(2.0)).p_value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    # Of a start near the end, where noise is nearly as large as what is to learn, and of one pace
    # on the other scale, where CKA alone names the encoder.
    [Case(0.98, 0.01), Case(0.95, 0.01, even="tangent")],
)
def test_halves_without_a_difference_are_named_by_mistake_in_at_most_five_percent(case):
    found = rates(case, seeds=5, studies=1000)
    # Three standard errors of 5%.
    assert found["encoder"] + found["decoder"] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
