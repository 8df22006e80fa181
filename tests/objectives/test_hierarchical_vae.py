"""The rates of a hierarchy: identities, betas and free bits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxvae.models import Gaussian, HierarchyOutputs, StochasticLayer
from jaxvae.objectives import distortion_target, hierarchical_vae, layer_rates
from tests.models.hierarchies import chain, chain_outputs
from tests.objectives.losses import assert_reference, reference_cases
from tests.reference import load
from tests.tiers import parametrize

IMAGE = (2, 3, 1)
# One program each instead of one for every operation.
hierarchical_vae, layer_rates = jax.jit(hierarchical_vae), jax.jit(layer_rates)


# --- definitions ----------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("layer-rates", "hierarchical"))
def test_rates_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        given = {
            name: jnp.asarray(value, jnp.float64 if double else jnp.float32)
            for name, value in inputs.items()
        }
        top = Gaussian(given["mean_2"], given["log_var_2"])
        bottom = Gaussian(given["mean_1"], given["log_var_1"])
        priors = (
            jax.tree.map(jnp.zeros_like, top),
            Gaussian(given["prior_mean_1"], given["prior_log_var_1"]),
        )
        layers = tuple(
            StochasticLayer(posterior, prior, posterior.mean)
            for posterior, prior in zip((top, bottom), priors, strict=True)
        )
        parameters = case["parameters"]
        nll = jnp.full(len(top.mean), parameters["distortion"], top.mean.dtype)
        beta = jnp.array([parameters["beta_2"], parameters["beta_1"]])
        outputs = HierarchyOutputs(nll, layers, {}, {})
        loss, terms = hierarchical_vae(outputs, beta=beta)
        actual = {
            "rate_2": terms.rates[0],
            "rate_1": terms.rates[1],
            "rate_total_bits": terms.rates.sum() / np.log(2),
            "loss": loss,
        }
    assert_reference(case, actual, expected, double=double)


@parametrize("depth", [2, 3, 10])
def test_the_rates_add_up_to_the_divergence_of_the_joint_distributions(depth):
    # E_q[log q(z | x) - log p(z)] by Monte Carlo, one image, all layers sampled together.
    hvae, samples = chain(depth), 20_000
    random = np.random.default_rng(depth)
    noise = random.normal(size=(samples, hvae.latents)).astype("f4")
    images = np.tile(random.uniform(size=IMAGE).astype("f4"), (samples, 1, 1, 1))
    variables = jax.jit(hvae.init)(jax.random.key(depth))
    outputs = jax.jit(hvae.apply)(variables, images, noise)
    rates = np.asarray(layer_rates(outputs), np.float64)
    assert rates.shape == (samples, depth)
    assert np.all(rates >= 0)
    log_ratio = np.zeros(samples)
    for layer in outputs.layers:
        densities = (
            norm.logpdf(layer.sample, each.mean, np.exp(each.log_variance / 2))
            for each in (layer.posterior, layer.prior)
        )
        posterior, prior = (np.asarray(each, np.float64).sum(axis=1) for each in densities)
        log_ratio += posterior - prior
    difference = log_ratio - rates.sum(axis=1)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(samples)


def test_a_rate_is_zero_where_the_posterior_is_the_prior_and_only_there():
    outputs = chain_outputs(2)
    top, bottom = outputs.layers
    same = outputs._replace(layers=(top, bottom._replace(posterior=bottom.prior)))
    rates = np.asarray(layer_rates(same))
    np.testing.assert_array_equal(rates[:, 1], 0)
    assert np.all(rates[:, 0] > 0)


def test_equal_betas_are_a_beta_vae_with_the_sum_of_the_rates():
    outputs = chain_outputs(3)
    loss, terms = hierarchical_vae(outputs, beta=3.0)
    expected = np.mean(outputs.nll) + 3 * np.mean(np.sum(layer_rates(outputs), axis=1))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    same = hierarchical_vae(outputs, beta=np.full(3, 3.0))[0]
    np.testing.assert_array_equal(loss, same)
    np.testing.assert_allclose(terms.reconstruction, np.mean(outputs.nll), rtol=1e-6)


def test_the_derivative_by_a_beta_is_the_rate():
    outputs = chain_outputs(3)
    betas = np.array([0.5, 1.0, 4.0], np.float32)
    slopes = jax.grad(lambda beta: hierarchical_vae(outputs, beta=beta)[0])(betas)
    rates = hierarchical_vae(outputs, beta=betas)[1].rates
    np.testing.assert_array_equal(slopes, rates)


def test_betas_can_be_mapped_over():
    outputs, betas = chain_outputs(2), np.array([[1.0, 2.0], [3.0, 0.5]], np.float32)
    mapped = jax.vmap(lambda beta: hierarchical_vae(outputs, beta=beta)[0])(betas)
    looped = [hierarchical_vae(outputs, beta=beta)[0] for beta in betas]
    np.testing.assert_allclose(mapped, looped, rtol=1e-6)


def test_a_layer_below_its_free_bits_gets_no_gradient_and_costs_them():
    outputs = chain_outputs(2)
    rates = hierarchical_vae(outputs)[1].rates
    free = np.array([rates[0] + 1, 0.0], np.float32)

    def loss(posteriors):
        layers = tuple(
            layer._replace(posterior=posterior)
            for layer, posterior in zip(outputs.layers, posteriors, strict=True)
        )
        return hierarchical_vae(outputs._replace(layers=layers), free=free)[0]

    posteriors = [layer.posterior for layer in outputs.layers]
    value, slopes = jax.jit(jax.value_and_grad(loss))(posteriors)
    assert all(not np.any(leaf) for leaf in slopes[0])
    assert all(np.any(leaf) for leaf in slopes[1])
    expected = np.mean(outputs.nll) + free[0] + rates[1]
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_rates_of_bfloat16_layers_are_taken_in_float32():
    outputs = chain_outputs(2)
    coarse = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), outputs.layers)
    exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), coarse)
    one, two = (layer_rates(outputs._replace(layers=each)) for each in (coarse, exact))
    assert one.dtype == jnp.float32
    np.testing.assert_array_equal(one, two)


def test_a_list_is_taken_and_any_other_number_of_layers_refused():
    outputs = chain_outputs(2)
    for objective in (hierarchical_vae, partial(distortion_target, target=1.0)):
        as_list, as_array = (objective(outputs, beta=b)[0] for b in ([1, 2.0], np.array([1.0, 2])))
        np.testing.assert_array_equal(as_list, as_array)
        for beta in ([[1.0], [2.0]], [1.0], [1.0, 2.0, 3.0]):
            with pytest.raises(ValueError, match="expected beta for each of 2 layers, or one for"):
                objective(outputs, beta=beta)
