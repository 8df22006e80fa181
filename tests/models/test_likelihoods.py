"""The likelihoods against their definitions, their extremes and reference values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models import bernoulli, gaussian, learned_gaussian, logistic_mixture
from jaxvae.models.likelihoods import discretized_logistic
from jaxvae.objectives import bernoulli_nll, discretized_logistic_mixture_nll, gaussian_nll
from tests.objectives.losses import assert_reference, reference_cases
from tests.reference import load

bernoulli_nll, gaussian_nll, discretized_logistic_mixture_nll, discretized_logistic = map(
    jax.jit,
    (bernoulli_nll, gaussian_nll, discretized_logistic_mixture_nll, discretized_logistic),
)
EXTREME = [-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30]


def definition(logits, images):
    logits, images = np.asarray(logits, np.float64), np.asarray(images, np.float64)
    terms = np.logaddexp(0, logits) - images * logits
    return terms.reshape(len(terms), -1).sum(axis=1)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("bernoulli-"))
def test_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        rows = bernoulli_nll(jnp.asarray(inputs["logits"], dtype), jnp.asarray(inputs["x"], dtype))
        actual = {"nll": np.asarray(rows.mean()), "nll_rows": np.asarray(rows)}
    assert_reference(case, actual, expected, double=double)


def test_every_image_has_the_definition_in_float64():
    random = np.random.default_rng(0)
    logits = 5 * random.normal(size=(6, 9, 9, 3)).astype("f4")
    images = random.uniform(size=logits.shape).astype("f4")
    # 243 positive float32 terms.
    np.testing.assert_allclose(bernoulli_nll(logits, images), definition(logits, images), rtol=1e-5)


def test_binary_images_have_the_log_probability_of_their_pixels():
    logits = jnp.array([[0.3, -1.2, 2.0]])
    probability = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    expected = (
        -np.log(probability[0, 0]) - np.log(1 - probability[0, 1]) - np.log(probability[0, 2])
    )
    np.testing.assert_allclose(
        bernoulli_nll(logits, jnp.array([[1.0, 0.0, 1.0]])), [expected], rtol=1e-6
    )


def test_the_minimum_over_logits_is_the_entropy_of_the_pixel():
    image = jnp.array([[0.2]])
    best = jnp.log(image / (1 - image))
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    np.testing.assert_allclose(bernoulli_nll(best, image), [entropy], rtol=1e-6)


@pytest.mark.parametrize("logit", EXTREME)
@pytest.mark.parametrize("pixel", [0.0, 0.5, 1.0])
def test_it_is_finite_at_extreme_logits(logit, pixel):
    actual = bernoulli_nll(jnp.array([[logit]]), jnp.array([[pixel]]))
    np.testing.assert_allclose(actual, definition([[logit]], [[pixel]]), rtol=1e-6, atol=1e-38)


@jax.jit
@jax.grad
def slope_of_the_sum(logits, images):
    return bernoulli_nll(logits, images).sum()


@pytest.mark.parametrize("logit", EXTREME)
def test_its_gradient_is_the_probability_minus_the_pixel_at_extreme_logits(logit):
    pixel = jnp.array([[0.25]])
    gradient = slope_of_the_sum(jnp.array([[logit]]), pixel)
    probability = 0.0 if logit < -50 else 1.0 if logit > 50 else 0.5
    np.testing.assert_allclose(gradient, [[probability - 0.25]], atol=1e-6)


def test_pixels_may_have_any_shape():
    logits = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype("f4")
    images = np.random.default_rng(1).uniform(size=logits.shape).astype("f4")
    # Operation by operation: a compiler groups the sums of two shapes in two ways.
    nll = bernoulli_nll.__wrapped__
    flat = nll(logits.reshape(3, -1), images.reshape(3, -1))
    np.testing.assert_array_equal(nll(logits, images), flat)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("gaussian-nll"))
def test_gaussian_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        x, mean, log_variance = (jnp.asarray(inputs[k], dtype) for k in ("x", "mean", "log_var"))
        fixed = 2 * np.log(case["parameters"]["sigma"])
        actual = {
            "nll_pixelwise": np.asarray(gaussian_nll(mean, x, log_variance=log_variance)),
            "nll_fixed": np.asarray(gaussian_nll(mean, x, log_variance=fixed)),
        }
    assert_reference(case, actual, expected, double=double)


def test_a_gaussian_density_integrates_to_one():
    x = jnp.linspace(-20, 20, 4001)[:, None]
    density = jnp.exp(-gaussian_nll(jnp.full_like(x, 0.3), x, log_variance=jnp.log(2.0)))
    np.testing.assert_allclose(np.trapezoid(density, x[:, 0]), 1, rtol=1e-5)


@pytest.mark.parametrize("nll", [bernoulli_nll, gaussian_nll])
def test_parameters_that_would_be_broadcast_are_refused(nll):
    one, three = np.zeros((4, 2, 2, 1), np.float32), np.zeros((4, 2, 2, 3), np.float32)
    for given, images in ((one, three), (three, one), (three[:1], three), (three[0], three)):
        with pytest.raises(ValueError, match=r"of shape \(4, 2, 2, .\), as the images are, got"):
            nll(given, images)


def test_a_mixture_of_other_pixels_is_refused():
    with pytest.raises(ValueError, match=r"parameters of pixels of shape \(4, 2, 2\), as the imag"):
        discretized_logistic_mixture_nll(jnp.zeros((1, 2, 2, 10)), jnp.zeros((4, 2, 2, 3)))


def channels_last(array):
    return np.moveaxis(array, 1, -1)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", [c for c in reference_cases("dlogistic") if "mix" not in c.id])
def test_discretized_logistic_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        mean, log_scale = (jnp.asarray(inputs[k], dtype) for k in ("mean", "log_scale"))
        log_prob = discretized_logistic(mean, log_scale, jnp.asarray(inputs["pixels"], dtype) / 255)
        nll = -np.asarray(log_prob).reshape(len(log_prob), -1).sum(axis=1)
        actual = {"log_prob": np.asarray(log_prob), "nll": nll}
    assert_reference(case, actual, expected, double=double)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("dlogistic-mixture"))
def test_mixture_values_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        parameters = jnp.asarray(channels_last(inputs["params"]), dtype)
        images = jnp.asarray(channels_last(inputs["pixels"]), dtype) / 255
        actual = {"nll": np.asarray(discretized_logistic_mixture_nll(parameters, images))}
    assert_reference(case, actual, expected, double=double)


@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 5.0])
@pytest.mark.parametrize("mean", [-1.5, -0.2, 1.0])
def test_the_probabilities_of_all_256_pixels_add_up_to_one(mean, log_scale):
    pixels = jnp.arange(256) / 255
    log_prob = discretized_logistic(jnp.float32(mean), jnp.float32(log_scale), pixels)
    np.testing.assert_allclose(np.exp(np.asarray(log_prob, np.float64)).sum(), 1, rtol=1e-4)


def test_one_component_is_one_discretized_logistic():
    mean, log_scale, images = np.random.default_rng(0).uniform(size=(3, 2, 4, 4, 1)).astype("f4")
    images = np.round(images * 255) / 255
    parameters = np.concatenate([np.zeros_like(mean), mean, log_scale], axis=-1)
    expected = -discretized_logistic(mean, log_scale, images).sum(axis=(1, 2, 3))
    actual = discretized_logistic_mixture_nll(parameters, images)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


value_and_gradients = jax.jit(jax.value_and_grad(discretized_logistic, argnums=(0, 1)))


@pytest.mark.parametrize("log_scale", [-80.0, -20.0, 80.0, 95.0, 1e30])
@pytest.mark.parametrize("pixel", [0, 1, 128, 255])
def test_the_logistic_and_its_gradients_are_finite_at_extreme_scales(log_scale, pixel):
    value, gradients = value_and_gradients(0.1, log_scale, pixel / 255)
    assert np.isfinite([value, *gradients]).all()


def nats_of_a_wide_pixel(log_scales, mean, image):
    """Of logistics of equal weights and one mean, in extended precision."""
    inverse = np.exp(-np.asarray(log_scales, np.longdouble))
    upper, lower = ((2 * image - 1 - mean + side / 255) * inverse for side in (1, -1))
    # The difference of two logistic functions without cancellation.
    width = -np.expm1(lower - upper) / ((1 + np.exp(-upper)) * (1 + np.exp(lower)))
    return float(-np.log(width.mean()))


@pytest.mark.parametrize(
    "log_scales", [(2.0,), (80.0,), (87.0,), (300.0,), (300.0, 89.0), (0.0, 90)]
)
def test_wide_components_have_the_likelihood_of_the_definition(log_scales):
    image, mean, m = 100 / 255, 0.3, len(log_scales)
    parameters = jnp.array([0.0] * m + [mean] * m + list(log_scales))[None, None, None]

    @jax.value_and_grad
    def nats(parameters):
        return discretized_logistic_mixture_nll(parameters, jnp.full((1, 1, 1, 1), image))[0]

    found, slopes = nats(parameters)
    np.testing.assert_allclose(found, nats_of_a_wide_pixel(log_scales, mean, image), rtol=1e-6)
    assert jnp.isfinite(slopes).all()
    step = 1e-3
    for place in range(m):
        way = step * np.eye(m)[place]
        above, below = (nats_of_a_wide_pixel(log_scales + s * way, mean, image) for s in (1, -1))
        expected = (above - below) / (2 * step)
        np.testing.assert_allclose(slopes[..., 2 * m + place], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 12), (1, 4), (1, 0)])
def test_parameters_that_do_not_fit_are_refused(shape):
    channels, parameters = shape
    with pytest.raises(ValueError, match=r"expected a multiple of (3|10) parameters"):
        discretized_logistic_mixture_nll(
            jnp.ones((2, 4, 4, parameters)), jnp.ones((2, 4, 4, channels))
        )


def test_images_of_two_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        discretized_logistic_mixture_nll(jnp.ones((1, 2, 2, 10)), jnp.ones((1, 2, 2, 2)))


# --- likelihoods of a decoder ---------------------------------------------------------

LIKELIHOODS = {
    "bernoulli": bernoulli(),
    "gaussian": gaussian(standard_deviation=0.2),
    "learned": learned_gaussian(),
    "mixture": logistic_mixture(components=4),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_takes_as_many_parameters_as_it_says(name, channels):
    likelihood = LIKELIHOODS[name]
    parameters = jnp.zeros((2, 4, 4, likelihood.parameters(channels)))
    images = jnp.zeros((2, 4, 4, channels))
    assert jax.eval_shape(likelihood.nll, parameters, images).shape == (2,)
    assert jax.eval_shape(likelihood.mean, parameters).shape == images.shape


def test_gaussian_likelihoods_agree_where_the_learned_variance_is_the_fixed_one():
    mean, images = np.random.default_rng(0).uniform(size=(2, 3, 4, 4, 1)).astype("f4")
    learned = np.concatenate([mean, np.full_like(mean, 2 * np.log(0.2))], axis=-1)
    np.testing.assert_allclose(
        LIKELIHOODS["learned"].nll(learned, images),
        LIKELIHOODS["gaussian"].nll(mean, images),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(LIKELIHOODS["learned"].mean(learned), mean)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mean_of_a_mixture_is_that_of_its_pixels(channels):
    likelihood, draws = LIKELIHOODS["mixture"], 200_000
    shape = (1, 1, 1, likelihood.parameters(channels))
    # Narrow components within the range: the ends of it cut nothing off.
    parameters = 0.3 * np.random.default_rng(2).normal(size=shape).astype("f4")[0, 0, 0]
    each = parameters[4:].reshape(channels, -1, 4)
    each[:, 1] -= 3
    rng = np.random.default_rng(0)
    weights = np.exp(parameters[:4]) / np.exp(parameters[:4]).sum()
    taken = rng.choice(4, draws, p=weights)
    noise = rng.logistic(size=(channels, draws))
    pixels = [each[c, 0, taken] + np.exp(each[c, 1, taken]) * noise[c] for c in range(channels)]
    if channels == 3:
        coefficients = np.tanh(each[:, 2, :])[:, taken]
        pixels[1] = pixels[1] + coefficients[0] * pixels[0]
        pixels[2] = pixels[2] + coefficients[1] * pixels[0] + coefficients[2] * pixels[1]
    expected = (np.mean(pixels, axis=1) + 1) / 2
    error = 4 * np.std(pixels, axis=1) / 2 / np.sqrt(draws)
    actual = jax.jit(likelihood.mean)(parameters.reshape(shape))[0, 0, 0]
    assert np.all(np.abs(actual - expected) < error)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan])
def test_a_standard_deviation_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="positive standard_deviation"):
        gaussian(standard_deviation=scale)


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one component, got 0"):
        logistic_mixture(components=0)
