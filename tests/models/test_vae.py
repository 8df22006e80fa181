"""VAEs as pure functions: taps, sampling, running statistics, sizes, networks of one's own."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models import (
    Likelihood,
    Variables,
    bernoulli,
    build_vae,
    compact_vae,
    convolutional_vae,
    dense_vae,
    gaussian,
    learned_gaussian,
    logistic_mixture,
    residual_vae,
    transformer_vae,
    wide_dense_vae,
)
from jaxvae.models.strided_convolution import convolve_down
from jaxvae.objectives import gaussian_kl
from tests.models import networks
from tests.tiers import parametrize

DENSE = {"image_shape": (4, 4, 1), "latents": 3, "widths": (8, 6)}
CONVOLUTIONAL = {"image_shape": (8, 8, 2), "latents": 3, "widths": (4, 5)}
VAES = {"dense": dense_vae(**DENSE), "convolutional": convolutional_vae(**CONVOLUTIONAL)}
BATCH = 5


def apply(vae, variables, images, noise, *, train=False):
    return _compiled(vae)(variables, images, noise, train=train)


@cache
def _compiled(vae):
    return jax.jit(vae.apply, static_argnames="train")


def draw(vae, key=0):
    random = np.random.default_rng(key)
    images = random.uniform(size=(BATCH, *vae.image_shape)).astype(np.float32)
    return images, random.normal(size=(BATCH, vae.latents)).astype(np.float32)


def variables_of(vae, key=0):
    """Initial parameters plus noise, so that no bias, scale or statistic is 0 or 1."""
    return _initializer(vae)(jax.random.key(key))


@cache
def _initializer(vae):
    def moved(key):
        leaves, tree = jax.tree.flatten(vae.init(key))
        noise = jnp.abs(jax.random.normal(key, (sum(leaf.size for leaf in leaves),)))
        ends = np.cumsum([leaf.size for leaf in leaves])
        parts = zip(leaves, jnp.split(noise, ends[:-1]), strict=True)
        return jax.tree.unflatten(
            tree, [leaf + 0.1 * part.reshape(leaf.shape) for leaf, part in parts]
        )

    return jax.jit(moved)


# The same float32 sums, grouped in another way by the compiler: a few dozen roundings.
assert_close = partial(networks.assert_close, tolerance=1e-5)


# Where both say the same, the convolutional one, which takes seconds, is for the slow run.
@pytest.fixture(params=["dense", pytest.param("convolutional", marks=pytest.mark.slow)])
def vae(request):
    return VAES[request.param]


# --- taps -----------------------------------------------------------------------------

NAMES = {
    "dense": ["encoder/1", "encoder/2", "decoder/1", "decoder/2"],
    # The dense layer of the decoder, then one transposed convolution less than there are.
    "convolutional": ["encoder/1", "encoder/2", "decoder/1", "decoder/2"],
}


@parametrize("name", VAES)
def test_taps_are_named_in_depth_order_under_jit(name):
    vae = VAES[name]
    taps = apply(vae, variables_of(vae), *draw(vae)).taps
    encoder, decoder = NAMES[name][:2], NAMES[name][2:]
    assert list(taps) == [
        "input", *encoder, "mean", "log_variance", "sample", *decoder, "output",
    ]  # fmt: skip


def test_taps_are_in_the_same_order_without_jit():
    vae = VAES["dense"]
    variables, batch = variables_of(vae), draw(vae)
    assert list(vae.apply(variables, *batch).taps) == list(apply(vae, variables, *batch).taps)


def test_ten_layers_stay_in_depth_order_under_jit():
    # In alphabetical order encoder/10 would come before encoder/2.
    vae = dense_vae(image_shape=(2, 2, 1), latents=1, widths=(2,) * 11)
    shapes = jax.eval_shape(vae.init, jax.random.key(0))
    taps = jax.eval_shape(jax.jit(vae.apply), shapes, *draw(vae)).taps
    assert list(taps)[1:12] == [f"encoder/{depth}" for depth in range(1, 12)]


def test_dense_taps_have_the_widths_mirrored_in_the_decoder():
    vae = VAES["dense"]
    taps = apply(vae, variables_of(vae), *draw(vae)).taps
    assert [tap.shape[1:] for tap in taps.values()] == [
        (4, 4, 1), (8,), (6,), (3,), (3,), (3,), (6,), (8,), (4, 4, 1),
    ]  # fmt: skip


def test_convolutional_taps_halve_the_image_and_double_it_again():
    vae = VAES["convolutional"]
    taps = apply(vae, variables_of(vae), *draw(vae)).taps
    assert [tap.shape[1:] for tap in taps.values()] == [
        (8, 8, 2), (4, 4, 4), (2, 2, 5), (3,), (3,), (3,), (20,), (4, 4, 4), (8, 8, 2),
    ]  # fmt: skip


def test_the_taps_are_the_outputs_themselves(vae):
    images, noise = draw(vae)
    outputs = apply(vae, variables_of(vae), images, noise)
    for name in ("mean", "log_variance", "sample"):
        np.testing.assert_array_equal(outputs.taps[name], getattr(outputs, name))
    np.testing.assert_array_equal(outputs.taps["input"], images)
    # Small logits, as at the start: a probability near 1 would not hold enough of its logit.
    outputs = apply(vae, jax.jit(vae.init)(jax.random.key(0)), images, noise)
    probabilities = np.asarray(outputs.taps["output"], np.float64)
    terms = images * np.log(probabilities) + (1 - images) * np.log(1 - probabilities)
    np.testing.assert_allclose(outputs.nll, -terms.sum(axis=(1, 2, 3)), rtol=1e-5)


# --- absent latents -------------------------------------------------------------------


def test_an_absent_latent_has_neither_sample_nor_rate_nor_gradient(vae):
    variables, (images, noise) = variables_of(vae), draw(vae)
    present = np.arange(vae.latents) != 1

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def gradients(params):
        taken = Variables(params, variables.statistics)
        outputs = vae.apply(taken, images, noise, train=True, present=present)
        rates = gaussian_kl(outputs.mean, outputs.log_variance)
        return jnp.mean(outputs.nll) + jnp.sum(rates), (outputs, rates)

    found, (outputs, rates) = gradients(variables.params)
    for values in (outputs.mean, outputs.log_variance, outputs.sample, rates):
        assert np.all((np.asarray(values) != 0) == present)
    for name in ("mean", "log_variance"):
        assert np.all((np.abs(found[name]["kernel"]).max(axis=0) > 0) == present)


def test_the_decoder_sees_zero_in_the_place_of_an_absent_latent(vae):
    variables, (images, noise) = variables_of(vae), draw(vae)
    present = np.arange(vae.latents) != 1
    masked = jax.jit(vae.apply)(variables, images, noise, present=present)
    whole = apply(vae, variables, images, noise)
    expected = jax.jit(vae.decode)(variables, whole.sample.at[:, 1].set(0.0))
    assert_close(masked.taps["output"], expected)


# --- likelihoods ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "likelihood"),
    [
        (dense_vae, learned_gaussian()),
        *(
            pytest.param(dense_vae, likelihood, marks=pytest.mark.slow)
            for likelihood in (bernoulli(), gaussian(standard_deviation=0.3), logistic_mixture())
        ),
        *(
            pytest.param(convolutional_vae, likelihood, marks=pytest.mark.slow)
            for likelihood in (
                bernoulli(),
                gaussian(standard_deviation=0.3),
                learned_gaussian(),
                logistic_mixture(),
            )
        ),
    ],
)
def test_a_decoder_gives_the_parameters_of_its_likelihood(build, likelihood):
    vae = build(image_shape=(8, 8, 3), latents=2, widths=(4, 5), likelihood=likelihood)
    variables, (images, noise) = variables_of(vae), draw(vae)
    outputs = apply(vae, variables, images, noise)
    assert outputs.nll.shape == (BATCH,)
    assert outputs.taps["output"].shape == images.shape
    assert_close(jax.jit(vae.decode)(variables, outputs.sample), outputs.taps["output"])


# --- values ---------------------------------------------------------------------------


def test_the_sample_is_the_mean_plus_noise_times_the_standard_deviation(vae):
    images, noise = draw(vae)
    outputs = apply(vae, variables_of(vae), images, noise)
    mean, log_variance = (
        np.asarray(tap, np.float64) for tap in (outputs.mean, outputs.log_variance)
    )
    expected = mean + np.exp(log_variance / 2) * np.asarray(noise)
    np.testing.assert_allclose(outputs.sample, expected, rtol=1e-6, atol=1e-6)


def test_without_noise_the_sample_is_the_mean(vae):
    images, noise = draw(vae)
    outputs = apply(vae, variables_of(vae), images, np.zeros_like(noise))
    np.testing.assert_array_equal(outputs.sample, outputs.mean)


def test_the_decoded_sample_is_the_output(vae):
    variables = variables_of(vae)
    outputs = apply(vae, variables, *draw(vae))
    assert_close(jax.jit(vae.decode)(variables, outputs.sample), outputs.taps["output"])


def test_a_dense_vae_is_its_matrix_products():
    vae = VAES["dense"]
    variables, (images, noise) = variables_of(vae), draw(vae)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables.params)

    def layer(hidden, *path):
        place = params
        for name in path:
            place = place[name]
        return hidden @ place["kernel"] + place["bias"]

    hidden = np.asarray(images, np.float64).reshape(BATCH, -1)
    for depth in range(2):
        hidden = np.maximum(layer(hidden, "encoder", f"Dense_{depth}"), 0)
    hidden = layer(hidden, "mean") + np.exp(layer(hidden, "log_variance") / 2) * noise
    for depth in range(2):
        hidden = np.maximum(layer(hidden, "decoder", f"Dense_{depth}"), 0)
    expected = layer(hidden, "decoder", "Dense_2").reshape(images.shape)
    # Five float32 layers of up to 16 terms each.
    output = apply(vae, variables, images, noise).taps["output"]
    np.testing.assert_allclose(output, 1 / (1 + np.exp(-expected)), atol=1e-5)


def test_every_image_is_evaluated_by_itself(vae):
    variables, (images, noise) = variables_of(vae), draw(vae)
    outputs = apply(vae, variables, images, noise)
    alone = apply(vae, variables, images[2:3], noise[2:3])
    assert_close(alone.taps, jax.tree.map(lambda tap: np.asarray(tap)[2:3], outputs.taps))


def test_the_same_key_gives_the_same_variables(vae):
    init = jax.jit(vae.init)
    jax.tree.map(np.testing.assert_array_equal, init(jax.random.key(3)), init(jax.random.key(3)))


# --- batch normalization --------------------------------------------------------------


def first_convolution(variables, images):
    layer = variables.params["encoder"]["DownConvolution_0"]
    return np.asarray(jax.jit(convolve_down)(images, layer["kernel"]), np.float64)


@pytest.mark.slow
def test_no_parameter_is_one_that_a_normalization_takes_away():
    vae = VAES["convolutional"]
    variables, (images, noise) = variables_of(vae), draw(vae)

    @jax.jit
    @jax.grad
    def slope(params):
        outputs = vae.apply(variables._replace(params=params), images, noise, train=True)
        return jnp.mean(outputs.nll) + jnp.mean(outputs.mean**2) + jnp.mean(outputs.log_variance)

    # That of a bias before batch normalization is zero but for rounding.
    for path, gradient in jax.tree.leaves_with_path(slope(variables.params)):
        assert np.abs(gradient).max() > 1e-4, jax.tree_util.keystr(path)


def test_evaluation_leaves_the_running_statistics_unchanged(vae):
    variables = variables_of(vae)
    statistics = apply(vae, variables, *draw(vae)).statistics
    jax.tree.map(np.testing.assert_array_equal, statistics, variables.statistics)


def test_training_moves_the_running_statistics_a_tenth_towards_the_batch():
    vae = VAES["convolutional"]
    variables, (images, noise) = variables_of(vae), draw(vae)
    updated = apply(vae, variables, images, noise, train=True).statistics
    hidden = first_convolution(variables, images)
    before = variables.statistics["encoder"]["BatchNorm_0"]
    after = updated["encoder"]["BatchNorm_0"]
    mean = 0.9 * before["mean"] + 0.1 * hidden.mean(axis=(0, 1, 2))
    variance = 0.9 * before["var"] + 0.1 * hidden.var(axis=(0, 1, 2))
    # float32 moments of 80 values around 1.
    np.testing.assert_allclose(after["mean"], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after["var"], variance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_layers_are_normalized_by_batch_moments_in_training_and_running_ones_after(train):
    vae = VAES["convolutional"]
    variables, (images, noise) = variables_of(vae), draw(vae)
    hidden = first_convolution(variables, images)
    running = variables.statistics["encoder"]["BatchNorm_0"]
    mean = hidden.mean(axis=(0, 1, 2)) if train else running["mean"]
    variance = hidden.var(axis=(0, 1, 2)) if train else running["var"]
    affine = variables.params["encoder"]["BatchNorm_0"]
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5) * affine["scale"] + affine["bias"]
    expected = np.where(hidden > 0, hidden, 0.2 * hidden)
    tap = apply(vae, variables, images, noise, train=train).taps["encoder/1"]
    # Values up to about 4 after a division by a standard deviation of about 0.3.
    np.testing.assert_allclose(tap, expected, rtol=1e-4, atol=1e-5)


def test_a_network_without_batch_normalization_has_no_statistics():
    vae = VAES["dense"]
    variables = variables_of(vae)
    assert variables.statistics == {}
    assert apply(vae, variables, *draw(vae), train=True).statistics == {}


# --- purity and transforms ------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
def test_apply_is_a_function_of_its_arguments(vae, train):
    variables = variables_of(vae)
    copy = jax.tree.map(np.array, variables)
    first, second = (apply(vae, variables, *draw(vae), train=train) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    jax.tree.map(np.testing.assert_array_equal, variables, copy)


def test_vmap_over_variables_is_the_loop_over_variables(vae):
    members, (images, noise) = [variables_of(vae, key) for key in range(3)], draw(vae)

    def train_step(variables):
        return apply(vae, variables, images, noise, train=True)

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *map(train_step, members))
    assert_close(jax.vmap(train_step)(stacked), expected)


def test_gradients_reach_every_parameter():
    vae = VAES["convolutional"]
    variables, (images, noise) = variables_of(vae), draw(vae)

    def loss(params):
        outputs = apply(vae, Variables(params, variables.statistics), images, noise, train=True)
        return jnp.mean(outputs.nll) + jnp.mean(outputs.log_variance**2)

    gradients = jax.jit(jax.grad(loss))(variables.params)
    without = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
        # A bias before batch normalization is subtracted again: its gradient is rounding.
        if not np.any(np.abs(leaf) > 1e-12)
    ]
    assert without == []


# --- sizes ----------------------------------------------------------------------------


def tap_shapes(vae):
    """The shape of every tap of one image, without computing it."""
    variables = jax.eval_shape(vae.init, jax.random.key(0))
    inputs = np.zeros((1, *vae.image_shape), np.float32), np.zeros((1, vae.latents), np.float32)
    taps = jax.eval_shape(vae.apply, variables, *inputs).taps
    return {name: tap.shape[1:] for name, tap in taps.items()}


def count_parameters(vae):
    shapes = jax.eval_shape(vae.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes.params))


@pytest.mark.parametrize(("channels", "latents"), [(1, 2), (3, 128)])
def test_the_network_of_the_paper_has_its_parameters_but_those_without_an_effect(channels, latents):
    # The paper's layers before a normalization have biases, which it takes away again.
    def convolution(inputs, outputs):
        return 4 * 4 * inputs * outputs

    def normalization(features):
        return 2 * features

    encoder = (
        convolution(channels, 64) + normalization(64)
        + convolution(64, 128) + normalization(128)
        + convolution(128, 256) + normalization(256)
        + convolution(256, 256) + normalization(256)
    )  # fmt: skip
    bottleneck = 2 * (1024 * latents + latents)
    decoder = (
        latents * 1024 + normalization(1024)
        + convolution(256, 256) + normalization(256)
        + convolution(256, 128) + normalization(128)
        + convolution(128, 64) + normalization(64)
        + convolution(64, channels) + channels
    )  # fmt: skip
    vae = convolutional_vae(image_shape=(32, 32, channels), latents=latents)
    assert count_parameters(vae) == encoder + bottleneck + decoder


def test_the_compact_network_has_the_parameters_of_the_paper():
    vae = compact_vae(image_shape=(64, 64, 1), latents=10)
    decoder = jax.eval_shape(vae.init, jax.random.key(0)).params["decoder"]
    assert sum(leaf.size for leaf in jax.tree.leaves(decoder)) == 381_313
    assert count_parameters(vae) == 309_204 + 381_313


def test_the_wide_dense_network_is_two_layers_and_three():
    vae = wide_dense_vae(image_shape=(64, 64, 1), latents=10)
    encoder = 4096 * 1200 + 1200 + 1200 * 1200 + 1200 + 2 * (1200 * 10 + 10)
    decoder = 10 * 1200 + 1200 + 2 * (1200 * 1200 + 1200) + 1200 * 4096 + 4096
    assert count_parameters(vae) == encoder + decoder


def test_the_wide_dense_decoder_is_bounded_by_its_tanh():
    vae = wide_dense_vae(image_shape=(4, 4, 1), latents=3, width=8)
    images, noise = draw(vae)
    taps = apply(vae, variables_of(vae), images, 100 * noise).taps
    decoder = np.concatenate([taps[f"decoder/{depth}"] for depth in (1, 2, 3)])
    assert decoder.min() < -0.5
    assert np.abs(decoder).max() <= 1


def test_compact_taps_are_the_layers_of_the_paper():
    vae = compact_vae(image_shape=(64, 64, 3), latents=10)
    assert list(tap_shapes(vae).values()) == [
        (64, 64, 3),
        (32, 32, 32), (16, 16, 32), (8, 8, 64), (4, 4, 64), (256,),
        (10,), (10,), (10,),
        (256,), (1024,), (8, 8, 64), (16, 16, 32), (32, 32, 32),
        (64, 64, 3),
    ]  # fmt: skip


def test_the_network_of_the_paper_has_its_eleven_probes_and_the_mean():
    vae = convolutional_vae(image_shape=(32, 32, 3), latents=16)
    assert tap_shapes(vae) == {
        "input": (32, 32, 3),
        "encoder/1": (16, 16, 64),
        "encoder/2": (8, 8, 128),
        "encoder/3": (4, 4, 256),
        "encoder/4": (2, 2, 256),
        "mean": (16,),
        "log_variance": (16,),
        "sample": (16,),
        "decoder/1": (1024,),
        "decoder/2": (4, 4, 256),
        "decoder/3": (8, 8, 128),
        "decoder/4": (16, 16, 64),
        "output": (32, 32, 3),
    }


# --- networks of one's own ------------------------------------------------------------


class Recurrent(nn.Module):
    """An encoder that is not in the library: rows of the image through a recurrent cell."""

    features: int

    @nn.compact
    def __call__(self, images, *, train):
        del train
        rows = images.reshape(len(images), images.shape[1], -1)
        states = nn.RNN(nn.SimpleCell(self.features))(rows)
        return states[:, -1], {"states": states}


class Linear(nn.Module):
    """A decoder without hidden layers."""

    shape: tuple

    @nn.compact
    def __call__(self, latents, *, train):
        del train
        return nn.Dense(int(np.prod(self.shape)))(latents).reshape(-1, *self.shape), {}


def test_linen_modules_of_the_user_make_a_vae():
    vae = build_vae(Recurrent(7), Linear((4, 6, 1)), image_shape=(4, 6, 1), latents=2)
    outputs = apply(vae, variables_of(vae), *draw(vae))
    assert {name: tap.shape for name, tap in outputs.taps.items()} == {
        "input": (BATCH, 4, 6, 1),
        "encoder/states": (BATCH, 4, 7),
        "mean": (BATCH, 2),
        "log_variance": (BATCH, 2),
        "sample": (BATCH, 2),
        "output": (BATCH, 4, 6, 1),
    }


def test_a_decoder_of_the_user_decodes():
    vae = build_vae(Recurrent(7), Linear((4, 6, 1)), image_shape=(4, 6, 1), latents=2)
    images = jax.jit(vae.decode)(jax.jit(vae.init)(jax.random.key(0)), np.zeros((3, 2), np.float32))
    # Without latents only the bias is left, which starts at zero.
    np.testing.assert_array_equal(images, np.full((3, 4, 6, 1), 0.5))


def test_an_image_shape_may_be_a_list():
    assert dense_vae(image_shape=[4, 6, 1], latents=2).image_shape == (4, 6, 1)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "channels", "likelihood"),
    [
        ((4, 6, 3), 1, bernoulli()),
        ((4, 6, 1), 3, bernoulli()),
        ((1, 1, 3), 3, bernoulli()),
        ((4, 6, 1), 3, gaussian()),
        ((4, 6, 2), 3, learned_gaussian()),
    ],
)
def test_a_decoder_whose_images_would_broadcast_is_refused(shape, channels, likelihood):
    images = 4, 6, channels
    vae = build_vae(
        Recurrent(7), Linear(shape), image_shape=images, latents=2, likelihood=likelihood
    )
    with pytest.raises(
        ValueError, match=rf"expected a decoder that gives \(1, 4, 6, .* got \(1, {shape[0]}"
    ):
        jax.eval_shape(vae.init, jax.random.key(0))


@pytest.mark.parametrize(
    "nll", [lambda p, x: ((p - x) ** 2).mean(), lambda p, x: (p - x) ** 2], ids=["one", "of pixels"]
)
def test_a_likelihood_that_is_no_number_of_an_image_is_refused(nll):
    likelihood = Likelihood(lambda channels: channels, nll, lambda parameters: parameters)
    vae = build_vae(
        Recurrent(7), Linear((4, 6, 1)), image_shape=(4, 6, 1), latents=2, likelihood=likelihood
    )
    with pytest.raises(ValueError, match=r"whose nll, summed over pixels, is \(1,\), got"):
        jax.eval_shape(vae.init, jax.random.key(0))


@pytest.mark.parametrize("shape", [(1, 2), (BATCH, 1), (BATCH,)])
def test_noise_that_would_broadcast_is_refused(shape):
    vae = dense_vae(image_shape=(4, 6, 1), latents=2)
    variables = jax.eval_shape(vae.init, jax.random.key(0))
    with pytest.raises(ValueError, match=rf"expected noise of shape \({BATCH}, 2\), got"):
        jax.eval_shape(vae.apply, variables, np.zeros((BATCH, 4, 6, 1)), np.zeros(shape))


@pytest.mark.parametrize("shape", [(BATCH, 1), (BATCH, 3), (2,)])
def test_latents_of_another_number_are_not_decoded(shape):
    vae = dense_vae(image_shape=(4, 6, 1), latents=2)
    variables = jax.eval_shape(vae.init, jax.random.key(0))
    with pytest.raises(ValueError, match=rf"expected latents of shape \({shape[0]}, 2\), got"):
        jax.eval_shape(vae.decode, variables, np.zeros(shape))


@pytest.mark.parametrize("build", [convolutional_vae, compact_vae])
@pytest.mark.parametrize("shape", [(28, 32, 1), (32, 28, 1), (8, 8, 1)])
def test_images_that_cannot_be_halved_four_times_are_refused(build, shape):
    with pytest.raises(ValueError, match=r"divisible by 16 .* got \d+ x \d+; resize"):
        build(image_shape=shape, latents=2)


@pytest.mark.parametrize("build", [convolutional_vae, residual_vae])
def test_no_convolutions_are_refused(build):
    with pytest.raises(ValueError, match="widths of at least one convolution, got none"):
        build(image_shape=(16, 16, 1), latents=2, widths=())


@pytest.mark.parametrize("build", [dense_vae, convolutional_vae, residual_vae])
def test_layers_without_units_are_refused(build):
    with pytest.raises(ValueError, match=r"expected widths of at least 1, got \[8, 0\]"):
        build(image_shape=(16, 16, 1), latents=2, widths=(8, 0))


def test_patches_without_pixels_are_refused():
    with pytest.raises(ValueError, match=r"of at least 1 for patches .*, got 16 x 16 and 0"):
        transformer_vae(image_shape=(16, 16, 1), latents=2, patch=0)


@pytest.mark.parametrize("build", [dense_vae, wide_dense_vae, convolutional_vae, compact_vae])
def test_fewer_than_one_latent_is_refused(build):
    with pytest.raises(ValueError, match="at least one latent, got 0"):
        build(image_shape=(16, 16, 1), latents=0)
