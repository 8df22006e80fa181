"""Named metrics of named arrays: their numbers, their errors and nulls, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.analysis.measure import measure
from jaxvae.analysis.registry import METRICS
from jaxvae.metrics import imbalance_matrix, information_imbalance, two_nn
from jaxvae.metrics.overlap import label_overlap, neighborhood_overlap
from tests.clouds import gaussian

KEY = jax.random.key(0)
N = 140
FIRST = gaussian(N, 4)
# Of one width, so that they share what is compiled.
SPACES = {
    "first": FIRST.reshape(N, 2, 2),
    "second": FIRST + 0.3 * gaussian(N, 4, 1),
    "third": gaussian(N, 4, 2),
}
LABELS = np.where(FIRST[:, 0] > 0, "right", "left")


@pytest.fixture(scope="module")
def measured():
    return measure(SPACES, key=KEY, metrics=["id", "imbalance"])


def test_the_spaces_keep_their_names_order_and_widths(measured):
    assert measured.spaces == ("first", "second", "third")
    assert measured.features == (4, 4, 4)
    assert (measured.points, measured.available) == (N, N)


def test_a_value_is_the_metric_at_all_points(measured):
    dimensions = [two_nn(space) for space in SPACES.values()]
    np.testing.assert_array_equal(measured.metrics["id"].value, [d.value for d in dimensions])
    np.testing.assert_array_equal(measured.metrics["id"].distinct, [N, N, N])
    expected = imbalance_matrix(list(SPACES.values()))
    np.testing.assert_array_equal(measured.metrics["imbalance"].value, expected)


def test_the_error_of_few_points_is_a_jackknife_near_that_of_fresh_points():
    clouds = [gaussian(80, 4, seed) for seed in range(24)]
    true = np.std([two_nn(cloud).value for cloud in clouds], ddof=1)
    errors = []
    for seed, cloud in enumerate(clouds):
        few = measure({"few": cloud}, key=jax.random.key(seed), metrics=["id"], draws=0)
        assert few.metrics["id"].error == "jackknife"
        assert np.isnan(few.metrics["id"].subset)
        errors.append(few.metrics["id"].stderr[0])
    # An upper bound, 1.3 to 2 times the true error: not in one data set a matter of chance.
    assert true < np.sqrt(np.mean(np.square(errors))) < 2.5 * true
    assert np.min(errors) > 0.5 * true


def test_of_subsets_as_large_as_a_hundred_points_the_error_is_their_spread():
    measured = measure({"many": gaussian(400, 4)}, key=KEY, metrics=["id"], parts=4, draws=0)
    assert measured.metrics["id"].error == "subsets"
    assert np.isfinite(measured.metrics["id"].subset)


def test_shuffled_points_have_an_imbalance_of_one(measured):
    off_diagonal = ~np.eye(3, dtype=bool)
    # Five draws, each with a spread of 0.58 / sqrt(n).
    np.testing.assert_allclose(
        measured.metrics["imbalance"].null[off_diagonal], 1, atol=4 * 0.58 / np.sqrt(5 * N)
    )


@pytest.mark.slow
def test_labels_are_of_any_kind_and_shuffled_ones_agree_by_chance():
    found = measure({"first": FIRST}, key=KEY, metrics=["label-overlap"], labels=LABELS)
    overlap, right = found.metrics["label-overlap"], LABELS == "right"
    expected = label_overlap(FIRST, right.astype(int), k=30)
    np.testing.assert_allclose(overlap.value, [expected], rtol=1e-6)
    np.testing.assert_allclose(overlap.null, right.mean() ** 2 + (1 - right.mean()) ** 2, atol=0.05)
    assert overlap.value > overlap.null + 5 * overlap.null_spread


def test_the_overlap_of_a_space_with_itself_is_that_of_its_ties():
    spaces = {"pairs": np.repeat(FIRST[:60], 2, axis=0), "plain": FIRST[:120]}
    found = measure(spaces, key=KEY, metrics=["overlap"], k=4, draws=0).metrics["overlap"].value
    for place, space in enumerate(spaces.values()):
        expected = neighborhood_overlap(space, space, k=4)
        np.testing.assert_allclose(found[place, place], expected, rtol=1e-6)
    assert found[0, 0] < 0.95
    assert found[1, 1] == 1


def test_the_metric_of_a_subset_is_kept_because_it_moves_with_the_size():
    spaces = {"a": gaussian(200, 4), "b": gaussian(200, 4, 1)}
    measured = measure(spaces, key=KEY, metrics=["imbalance"], parts=2, draws=0)
    imbalance = measured.metrics["imbalance"]
    # The floor of Delta at k = 1 is 2 / n.
    np.testing.assert_allclose(np.diag(imbalance.value), 2 / 200, rtol=1e-5)
    np.testing.assert_allclose(np.diag(imbalance.subset), 2 / 100, rtol=1e-5)


def test_the_numbers_of_a_metric_do_not_depend_on_the_others(measured):
    alone = measure(SPACES, key=KEY, metrics=["imbalance"])
    for one, other in zip(alone.metrics["imbalance"], measured.metrics["imbalance"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_key_gives_other_errors_and_the_same_values(measured):
    other = measure(SPACES, key=jax.random.key(1), metrics=["imbalance"]).metrics["imbalance"]
    one = measured.metrics["imbalance"]
    np.testing.assert_array_equal(one.value, other.value)
    assert not np.array_equal(one.stderr, other.stderr)
    assert not np.array_equal(one.null, other.null)


@pytest.mark.slow
def test_some_of_the_points_are_the_same_rows_of_every_space():
    rows = np.arange(300.0)[:, None]
    spaces = {"a": rows, "b": jnp.asarray(rows), "c": np.sqrt(rows)}
    found = measure(spaces, key=KEY, metrics=["imbalance"], points=N, draws=0)
    assert (found.points, found.available) == (N, 300)
    # The same rows of a and b: nothing is lost but by ties of the line.
    direct = found.metrics["imbalance"].value
    assert direct[0, 1] == direct[0, 0]
    assert direct[0, 1] < 0.02


def test_without_draws_there_is_no_null():
    found = measure(SPACES, key=KEY, metrics=["imbalance"], draws=0).metrics["imbalance"]
    assert np.isnan(found.null).all()
    assert np.isfinite(found.value).all()


def test_the_report_ends_at_one_and_never_goes_back():
    seen = []
    measure(SPACES, key=KEY, metrics=["imbalance"], draws=2, report=seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    assert {progress.doing for progress in seen} == {
        "imbalance: value", "imbalance: error", "imbalance: null",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_value_an_error_and_a_null(name):
    spaces = {name: SPACES[name] for name in ("first", "second")}
    found = measure(spaces, key=KEY, metrics=[name], labels=LABELS, draws=2).metrics[name]
    shape = (2, 2) if METRICS[name].of == "pairs" else found.value.shape
    compared = ~np.eye(*shape, dtype=bool) if METRICS[name].of == "pairs" else np.ones(shape, bool)
    for array in (found.value, found.stderr, found.null, found.null_spread):
        assert array.shape == shape
        assert np.isfinite(array[compared]).all()
    assert (found.stderr[compared] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].of == "pairs"])
def test_related_spaces_stand_out_from_the_null_of_every_metric_of_pairs(name):
    found = measure(SPACES, key=KEY, metrics=[name]).metrics[name]
    related, unrelated = (0, 1), (0, 2)

    def away(pair):
        return abs(found.value[pair] - found.null[pair]) / found.null_spread[pair]

    assert away(related) > 5
    assert away(unrelated) < 5


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({}, "at least one representation, got none"),
        ({"a": np.ones(20)}, r"a: expected an array \[n, ...\] .* got shape \(20,\)"),
        ({"a": np.ones((20, 0))}, r"a: expected an array .* got shape \(20, 0\)"),
        ({"a": np.ones((20, 2), complex)}, "a: expected real numbers, got complex128"),
        ({"a": np.full((20, 2), "x")}, "a: expected real numbers, got <U1"),
        ({"a": np.ones((20, 2)), "b": np.ones((1500, 2))}, "every space, got a 20, b 1,500"),
    ],
    ids=["none", "flat", "no features", "complex", "text", "lengths"],
)
def test_arrays_that_are_no_points_are_refused(spaces, message):
    with pytest.raises(ValueError, match=message):
        measure(spaces, key=KEY)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_space_and_row(value):
    spaces = {"good": gaussian(50, 2), "bad": gaussian(50, 2)}
    spaces["bad"][[17, 30], 1] = value
    with pytest.raises(ValueError, match=r"bad: expected finite values, got .* in row 17"):
        measure(spaces, key=KEY)


def test_the_row_of_a_value_that_is_not_finite_is_that_of_all_points():
    cloud = gaussian(5000, 2)
    cloud[2500:] = np.nan
    with pytest.raises(ValueError, match=r"row 2[5-9]\d\d"):
        measure({"a": cloud}, key=KEY, points=100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ["id", "cca"]}, "metrics among id, .*; got cca"),
        ({"metrics": ["idd"]}, "got idd; did you mean id?"),
        ({"metrics": []}, "at least one metric among id"),
        ({"metrics": ["label-overlap"]}, "expected labels for label-overlap"),
        ({"metrics": ["gride"], "points": 70}, "65 points or more for gride .*got 63 of n = 70"),
        ({"metrics": ["imbalance"], "k": 126}, "expected 127 points or more for imbalance"),
        ({"metrics": ["imbalance"], "k": 0}, "expected k of at least 1, got 0"),
        ({"parts": 1}, "expected 2 to n = 140 parts, got 1"),
        ({"parts": 141}, "expected 2 to n = 140 parts, got 141"),
        ({"draws": 1}, r"draws of 0 \(no null\) or at least 2, got 1"),
        ({"points": 2}, "expected at least 3 points, got points = 2"),
        ({"labels": LABELS[:-1]}, "third 140, labels 139"),
        ({"labels": FIRST}, r"labels: expected one for every point \[n\]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be_measured_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        measure(SPACES, key=KEY, **settings)


def test_one_space_cannot_be_compared():
    with pytest.raises(ValueError, match="expected at least two spaces for imbalance"):
        measure({"a": FIRST}, key=KEY)


def test_the_error_of_an_imbalance_near_its_floor_is_not_that_of_the_floor_of_a_subset():
    def pair(seed):
        random = np.random.default_rng(seed)
        space = random.standard_normal((600, 5))
        return space, space + 0.01 * random.standard_normal((600, 5))

    true = np.std([information_imbalance(*pair(seed)).forward for seed in range(1, 31)], ddof=1)
    given = dict(zip("ab", pair(0), strict=True))
    measured = measure(given, key=jax.random.key(0), metrics=["imbalance"], parts=6, draws=0)
    found = measured.metrics["imbalance"]
    assert found.subset[0, 1] > 5 * found.value[0, 1]
    # A jackknife is 1.3 to 1.9 times too large; both errors are known to a fifth.
    assert 0.8 * true < found.stderr[0, 1] < 3 * true
