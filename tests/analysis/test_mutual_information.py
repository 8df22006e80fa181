"""Information of a layer with its images, against mixtures that are known."""

import jax
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm

from jaxvae.analysis import aggregate_information
from tests.tiers import parametrize

N, K = 60, 3
RANDOM = np.random.default_rng(0)
MEANS = RANDOM.standard_normal((N, K))
LOG_VARIANCES = RANDOM.uniform(-3, 0.5, (N, K))
SAMPLES = MEANS + np.exp(LOG_VARIANCES / 2) * RANDOM.standard_normal((N, K))
LABELS = RANDOM.choice(["cat", "dog", "eel"], N)


def by_definition(labels):
    """Logarithms of q(z | x), q(z), q(z | y) and p(z) of every sample, in float64."""
    own, every, within = np.zeros((3, N))
    for i, z in enumerate(SAMPLES):
        log_q = norm.logpdf(z, MEANS, np.exp(LOG_VARIANCES / 2)).sum(axis=1)
        alike = np.flatnonzero(labels == labels[i])
        own[i] = log_q[i]
        every[i] = logsumexp(log_q) - np.log(N)
        within[i] = logsumexp(log_q[alike]) - np.log(len(alike))
    return own, every, within, norm.logpdf(SAMPLES).sum(axis=1)


@parametrize("batch_size", [7, 60, 1000])
def test_the_estimates_are_those_of_the_mixtures(batch_size):
    found = aggregate_information(
        SAMPLES, MEANS, LOG_VARIANCES, labels=LABELS, batch_size=batch_size
    )
    own, every, within, prior = by_definition(LABELS)
    expected = own - every, every - prior, within - every
    for estimate, values in zip(found, expected, strict=True):
        np.testing.assert_allclose(estimate.value, values.mean(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(estimate.stderr, values.std(ddof=1) / N**0.5, rtol=1e-5)


def test_trailing_axes_and_the_order_of_examples_do_not_matter():
    expected = aggregate_information(SAMPLES, MEANS, LOG_VARIANCES, labels=LABELS)
    order = RANDOM.permutation(N)
    shaped = (array[order].reshape(N, 1, K) for array in (SAMPLES, MEANS, LOG_VARIANCES))
    found = aggregate_information(*shaped, labels=LABELS[order])
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("offset", "scale"), [(1e3, 1e-3), (1e5, 1e-2), (-1e5, 1e5), (0, 1e-60), (0, 1e60)]
)
def test_units_and_origin_do_not_matter_where_the_prior_moves_along(offset, scale):
    expected = aggregate_information(SAMPLES, MEANS, LOG_VARIANCES, labels=LABELS)
    found = aggregate_information(
        offset + scale * SAMPLES,
        offset + scale * MEANS,
        LOG_VARIANCES + 2 * np.log(scale),
        labels=LABELS,
        prior_mean=offset,
        prior_log_variance=2 * np.log(scale),
    )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5)


def test_distant_posteriors_have_the_logarithm_of_their_number():
    means = np.arange(N)[:, None] * 100.0
    found = aggregate_information(means + 0.3, means, np.zeros((N, 1)), labels=LABELS)
    np.testing.assert_allclose(found.information.value, np.log(N), rtol=1e-6)
    np.testing.assert_allclose(found.information.stderr, 0, atol=1e-7)
    shares = np.unique(LABELS, return_counts=True)[1] / N
    entropy = -(shares * np.log(shares)).sum()
    np.testing.assert_allclose(found.label_information.value, entropy, rtol=1e-5)


def test_equal_posteriors_have_no_information():
    means, log_variances = np.full((N, K), 0.7), np.full((N, K), -2.0)
    samples = means + np.exp(-1) * RANDOM.standard_normal((N, K))
    found = aggregate_information(samples, means, log_variances, labels=LABELS)
    np.testing.assert_allclose(found.information.value, 0, atol=1e-6)
    np.testing.assert_allclose(found.label_information.value, 0, atol=1e-6)


def test_posteriors_equal_to_the_prior_match_it():
    means, log_variances = np.full((N, K), 0.7), np.full((N, K), -2.0)
    samples = means + np.exp(-1) * RANDOM.standard_normal((N, K))
    found = aggregate_information(
        samples, means, log_variances, prior_mean=means[0], prior_log_variance=-2.0
    )
    np.testing.assert_allclose(found.mismatch.value, 0, atol=1e-6)
    assert found.label_information is None


def test_two_points_a_little_apart_have_the_information_of_the_integral():
    def integrand(z):
        mixture = (norm.pdf(z, 0.1) + norm.pdf(z, -0.1)) / 2
        return norm.pdf(z, 0.1) * np.log(norm.pdf(z, 0.1) / mixture)

    expected = quad(integrand, -12, 12)[0]
    labels = np.tile([-1, 1], 1000)
    means = 0.1 * labels[:, None]
    samples = means + np.random.default_rng(2).standard_normal(means.shape)
    found = aggregate_information(samples, means, np.zeros_like(means), labels=labels)
    assert abs(found.information.value - expected) < 4 * found.information.stderr
    np.testing.assert_allclose(found.label_information.value, found.information.value, atol=1e-6)
    assert abs(found.mismatch.value - (0.005 - expected)) < 4 * found.mismatch.stderr


@pytest.mark.slow
def test_few_images_give_less_information_than_there_is():
    # x ~ N(0, 1), q = N(x, s^2): log(1 + 1 / s^2) / 2 nats.
    deviation = 0.1
    expected = np.log(1 + deviation**-2) / 2
    found = []
    for n in (10, 100, 2000):
        means = np.random.default_rng(n).standard_normal((n, 1))
        samples = means + deviation * np.random.default_rng(n + 1).standard_normal((n, 1))
        log_variances = np.full((n, 1), 2 * np.log(deviation))
        found.append(aggregate_information(samples, means, log_variances).information)
    assert found[0].value < found[1].value < expected
    assert abs(found[2].value - expected) < 4 * found[2].stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": MEANS[:, :2]}, r"of one shape, got \(60, 3\), \(60, 2\), \(60, 3\)"),
        ({"samples": SAMPLES * np.nan}, "expected finite samples and posteriors"),
        ({"samples": SAMPLES * 1e30}, "samples of the posteriors, got one more than 1e18"),
        ({"samples": SAMPLES * 1e300}, "samples of the posteriors, got one more than 1e18"),
        ({"prior_mean": np.nan}, "expected a finite prior"),
        ({"prior_mean": 1e60}, "expected a finite prior"),
        ({"labels": LABELS[:5]}, r"expected labels \[n = 60\], got shape \(5,\)"),
        (
            {"prior_mean": np.zeros(2)},
            "expected 1 or 3 numbers for the mean .* of the prior, got 2",
        ),
        ({"batch_size": 0}, "a batch_size of at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"samples": SAMPLES, "means": MEANS, "log_variances": LOG_VARIANCES, **change}
    with pytest.raises(ValueError, match=message):
        aggregate_information(**arguments)


@pytest.mark.parametrize("log_variance", [-90.0, -150.0])
def test_posteriors_of_hardly_any_width_have_the_logarithm_of_their_number(log_variance):
    found = aggregate_information(MEANS, MEANS, np.full_like(MEANS, log_variance))
    np.testing.assert_allclose(found.information.value, np.log(N), rtol=1e-6)
    assert np.isfinite(found.mismatch.value)


def test_it_is_the_same_where_nothing_is_compiled():
    compiled = aggregate_information(SAMPLES[:5], MEANS[:5], LOG_VARIANCES[:5])
    with jax.disable_jit():
        plain = aggregate_information(SAMPLES[:5], MEANS[:5], LOG_VARIANCES[:5])
    np.testing.assert_allclose(compiled.information, plain.information, rtol=1e-5)
