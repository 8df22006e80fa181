"""The parts of the rate against their definitions, and the beta-TC-VAE against the plain one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.objectives import (
    beta_tc_vae,
    beta_vae,
    minibatch_stratified,
    minibatch_weighted,
    weighted_beta_tc_vae,
)
from jaxvae.objectives.beta_tc_vae import stratified_weights
from tests.objectives.losses import assert_reference, reference_cases
from tests.objectives.outputs import draw
from tests.reference import load

minibatch_stratified, minibatch_weighted = (
    jax.jit(estimate, static_argnames="dataset_size")
    for estimate in (minibatch_stratified, minibatch_weighted)
)
stratified_weights = jax.jit(stratified_weights, static_argnums=(0, 1))


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("tc-"))
def test_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    size = case["parameters"]["dataset_size"]
    with jax.enable_x64(double):
        dtype = np.float64 if double else np.float32
        arrays = [inputs[name].astype(dtype) for name in ("z", "mean", "log_var")]
        stratified = np.asarray(minibatch_stratified(*arrays, dataset_size=size))
        actual = {
            "terms_mws": np.asarray(minibatch_weighted(*arrays, dataset_size=size)),
            "terms_next": stratified,
            "sum": stratified.sum(),
            "weights_next": np.asarray(stratified_weights(len(arrays[0]), size)),
        }
    assert_reference(case, actual, {name: expected[name] for name in actual}, double=double)


def definition(sample, mean, log_variance, weights):
    """Loops in float64: densities under the weighted posteriors of the batch."""
    z, m, v = (np.asarray(a, np.float64) for a in (sample, mean, np.exp(log_variance)))

    def density(i, j, k):
        return np.exp(-((z[i, k] - m[j, k]) ** 2) / (2 * v[j, k])) / np.sqrt(2 * np.pi * v[j, k])

    b, latents = z.shape
    terms = []
    for i in range(b):
        own = sum(np.log(density(i, i, k)) for k in range(latents))
        joint = sum(
            weights[i, j] * np.prod([density(i, j, k) for k in range(latents)]) for j in range(b)
        )
        single = sum(
            np.log(sum(weights[i, j] * density(i, j, k) for j in range(b))) for k in range(latents)
        )
        prior = sum(-(z[i, k] ** 2) / 2 - np.log(2 * np.pi) / 2 for k in range(latents))
        terms.append((own - np.log(joint), np.log(joint) - single, single - prior))
    return np.mean(terms, axis=0)


def weights_of_the_definition(b, n):
    weights = np.full((b, b), 1 / (b - 1))
    for i in range(b):
        weights[i, (i + 1) % b] = (n - b + 1) / (n * (b - 1))
        weights[i, i] = 1 / n
    return weights


@pytest.mark.parametrize("size", [8, 1000])
def test_both_estimators_are_their_definitions(size):
    arrays = draw().sample, *draw()[1:3]
    weighted = definition(*arrays, np.full((8, 8), 1 / (8 * size)))
    stratified = definition(*arrays, weights_of_the_definition(8, size))
    np.testing.assert_allclose(stratified_weights(8, size).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(minibatch_weighted(*arrays, dataset_size=size), weighted, rtol=1e-4)
    np.testing.assert_allclose(
        minibatch_stratified(*arrays, dataset_size=size), stratified, rtol=1e-4
    )


def test_posteriors_equal_to_the_prior_have_stratified_parts_of_zero():
    zero = np.zeros((16, 4), np.float32)
    sample = np.random.default_rng(0).normal(size=(16, 4)).astype("f4")
    terms = minibatch_stratified(sample, zero, zero, dataset_size=100)
    np.testing.assert_allclose(terms, 0, atol=1e-5)


@pytest.mark.parametrize("estimate", [minibatch_weighted, minibatch_stratified])
def test_the_parts_add_up_to_the_sampled_rate(estimate):
    outputs = draw()
    z, m, v = (np.asarray(each) for each in (outputs.sample, outputs.mean, outputs.log_variance))
    rate = np.mean(np.sum((z**2 - (z - m) ** 2 * np.exp(-v) - v) / 2, axis=1))
    found = np.sum(estimate(z, m, v, dataset_size=50), dtype=np.float64)
    np.testing.assert_allclose(found, rate, rtol=1e-5)


def loss_and_gradient(objective):
    outputs = draw()

    def loss(arrays):
        nll, mean, log_variance, noise = arrays
        sample = mean + jnp.exp(log_variance / 2) * noise
        made = outputs._replace(nll=nll, mean=mean, log_variance=log_variance, sample=sample)
        return objective(made)[0]

    mean, log_variance, sample = map(np.asarray, outputs[1:4])
    noise = (sample - mean) * np.exp(-log_variance / 2)
    return jax.jit(jax.value_and_grad(loss))((*outputs[:3], noise))


def test_at_beta_one_loss_and_gradient_are_those_of_the_plain_vae():
    actual = loss_and_gradient(lambda *a: beta_tc_vae(*a, dataset_size=100, beta=1.0))
    for got, want in zip(*map(jax.tree.leaves, (actual, loss_and_gradient(beta_vae))), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_at_other_beta_the_gradient_differs_by_that_of_the_total_correlation(beta):
    def total_correlation(outputs):
        return beta_tc_vae(outputs, dataset_size=100)[1].total_correlation, None

    actual = loss_and_gradient(lambda *a: beta_tc_vae(*a, dataset_size=100, beta=beta))
    plain, part = loss_and_gradient(beta_vae), loss_and_gradient(total_correlation)
    for got, want, more in zip(*map(jax.tree.leaves, (actual, plain, part)), strict=True):
        expected = np.asarray(want) + (beta - 1) * np.asarray(more)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(part[1][1]).max() > 1e-3


def test_weighted_it_is_that_of_locatello_but_for_a_constant():
    # Of batch b, data N and k latents. Theirs: no weights at all.
    batch, latents, size, beta = 8, 3, 100, 6.0

    def theirs(outputs):
        scaled = (outputs.sample[:, None] - outputs.mean) * jnp.exp(-outputs.log_variance / 2)
        densities = -(scaled**2 + outputs.log_variance + jnp.log(2 * jnp.pi)) / 2
        joint = jax.nn.logsumexp(jnp.sum(densities, axis=2), axis=1)
        single = jnp.sum(jax.nn.logsumexp(densities, axis=1), axis=1)
        return beta_vae(outputs)[0] + (beta - 1) * jnp.mean(joint - single), None

    actual = loss_and_gradient(lambda *a: weighted_beta_tc_vae(*a, dataset_size=size, beta=beta))
    loss, gradient = loss_and_gradient(theirs)
    constant = (beta - 1) * (latents - 1) * np.log(batch * size)
    np.testing.assert_allclose(actual[0], loss + constant, rtol=1e-5)
    for got, want in zip(actual[1], gradient, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_beta_may_be_a_batch():
    outputs = draw()

    @jax.jit
    def loss(beta):
        return beta_tc_vae(outputs, dataset_size=100, beta=beta)[0]

    betas = np.array([1.0, 4.0], np.float32)
    np.testing.assert_allclose(jax.vmap(loss)(betas), [loss(b) for b in betas], rtol=1e-6)


@pytest.mark.parametrize(("batch", "size"), [(1, 10), (8, 7)])
def test_a_batch_that_no_stratum_fits_is_refused(batch, size):
    outputs = draw(batch=batch)
    with pytest.raises(ValueError, match=f"a batch of 2 to dataset_size = {size} images"):
        beta_tc_vae(outputs, dataset_size=size)


@pytest.mark.parametrize("objective", [beta_tc_vae, weighted_beta_tc_vae])
@pytest.mark.parametrize("size", [40.5, np.inf, np.nan, True])
def test_a_data_set_of_no_whole_number_of_images_is_refused(objective, size):
    with pytest.raises(ValueError, match=f"whole number of .* as dataset_size, got {size}"):
        objective(draw(), dataset_size=size)


@pytest.mark.parametrize("objective", [beta_tc_vae, weighted_beta_tc_vae])
def test_no_array_is_broadcast_to_more_axes(objective):
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(partial(objective, dataset_size=100), draw())


@pytest.mark.parametrize("objective", [beta_tc_vae, weighted_beta_tc_vae])
def test_the_loss_and_its_gradient_are_finite_for_the_narrowest_posteriors(objective):
    outputs = draw()

    def loss(log_variance):
        narrow = outputs._replace(log_variance=log_variance, sample=outputs.mean)
        return objective(narrow, dataset_size=100)[0]

    value, slopes = jax.value_and_grad(loss)(jnp.full_like(outputs.mean, -120.0))
    assert jnp.isfinite(value)
    assert jnp.isfinite(slopes).all()
