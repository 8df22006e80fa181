"""Hierarchical VAEs: the networks of the paper, generation, and a VAE as one layer."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models import (
    Gaussian,
    build_hvae,
    build_vae,
    gaussian,
    merge_precisions,
    one_layer_hvae,
    two_layer_hvae,
)
from jaxvae.models.networks import ConvolutionalDecoder, ConvolutionalEncoder
from jaxvae.models.one_layer import OneLayerNetwork
from jaxvae.models.vae import Variables
from jaxvae.objectives import beta_vae, gaussian_kl_between, hierarchical_vae
from tests.models.hierarchies import Chain, OneLayer
from tests.objectives.losses import assert_reference, reference_cases
from tests.reference import load
from tests.tiers import parametrize

IMAGE, SIZES = (2, 3, 1), (2, 3, 4)
CHAIN = build_hvae(Chain(SIZES, IMAGE), image_shape=IMAGE, shapes=[(size,) for size in SIZES])


apply_chain = jax.jit(CHAIN.apply)


@cache
def chain_variables():
    return jax.jit(CHAIN.init)(jax.random.key(1))


def draw(hvae, batch=5):
    random = np.random.default_rng(0)
    images = random.uniform(size=(batch, *hvae.image_shape))
    noise = random.normal(size=(batch, hvae.latents))
    return images.astype(np.float32), noise.astype(np.float32)


def count(hvae):
    shapes = jax.eval_shape(hvae.init, jax.random.key(0)).params
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_the_networks_of_the_paper_have_its_parameters():
    assert count(two_layer_hvae(image_shape=(32, 32, 3))) == 475_811
    assert count(two_layer_hvae(image_shape=(28, 28, 1), channels=16, top=20)) == 122_713


@parametrize("side", [28, 32])
def test_one_layer_has_the_shapes_it_says_and_a_standard_normal_prior(side):
    hvae = one_layer_hvae(image_shape=(side, side, 1), channels=4, width=3)
    variables = jax.eval_shape(hvae.init, jax.random.key(0))
    images, noise = draw(hvae, batch=2)
    outputs = jax.eval_shape(hvae.apply, variables, images, noise)
    assert outputs.taps["output"].shape == images.shape
    assert list(outputs.taps) == [
        "input",
        *(f"encoder/z_1/{depth}" for depth in (1, 2, 3)),
        *(f"z_1/{name}" for name in ("mean", "log_variance", "sample")),
        *(f"decoder/{depth}" for depth in (1, 2)),
        "output",
    ]
    (layer,) = outputs.layers
    assert {leaf.shape for leaf in jax.tree.leaves(layer)} == {(2, 4, 4, 4)}
    network = OneLayerNetwork(4, 3, 1, side == 28)
    prior = network.prior(0, network.start(2), train=False)
    np.testing.assert_array_equal(prior, np.zeros((2, 2, 4, 4, 4)))
    assert count(one_layer_hvae(image_shape=(28, 28, 1), channels=16, width=45)) == 123_378


@pytest.mark.parametrize("ladder", [False, True])
@parametrize("side", [28, 32])
def test_two_layers_have_the_shapes_they_say(side, ladder):
    hvae = two_layer_hvae(image_shape=(side, side, 1), channels=4, top=3, ladder=ladder)
    variables = jax.eval_shape(hvae.init, jax.random.key(0))
    images, noise = draw(hvae, batch=2)
    outputs = jax.eval_shape(hvae.apply, variables, images, noise)
    for layer, shape in zip(outputs.layers, hvae.shapes, strict=True):
        assert {leaf.shape for leaf in jax.tree.leaves(layer)} == {(2, *shape)}
    assert outputs.taps["output"].shape == images.shape
    assert list(outputs.taps) == [
        "input",
        *(f"encoder/z_2/{depth}" for depth in (1, 2, 3)),
        *(f"encoder/z_1/{depth}" for depth in (1, 2)),
        *(f"z_{layer}/{name}" for layer in (2, 1) for name in ("mean", "log_variance", "sample")),
        *(f"decoder/{depth}" for depth in (1, 2)),
        "output",
    ]


def test_a_ladder_trusts_its_prior_where_the_images_say_nothing():
    prior = Gaussian(jnp.array([3.0]), jnp.array([0.5]))
    vague = Gaussian(jnp.array([-7.0]), jnp.array([80.0]))
    for one, other in zip(merge_precisions(vague, prior), prior, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", reference_cases("ladder-", "hierarchical"))
def test_merged_precisions_are_those_of_the_reference(case, double):
    inputs, expected = load(case)
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        seen, prior = (
            Gaussian(
                jnp.asarray(inputs[f"mean_{name}"], dtype),
                jnp.log(jnp.asarray(inputs[f"var_{name}"], dtype)),
            )
            for name in "qp"
        )
        merged = merge_precisions(seen, prior)
        rate = jnp.sum(gaussian_kl_between(*merged, *prior), axis=1)
        actual = {"mean": merged.mean, "var": jnp.exp(merged.log_variance), "rate": rate}
    assert_reference(case, actual, expected, double=double)


def test_samples_are_their_posteriors_moved_by_the_noise_top_first():
    images, noise = draw(CHAIN)
    # Operation by operation, so that the same are rounded in the same way.
    outputs = CHAIN.apply(chain_variables(), images, noise)
    start = 0
    for layer, size in zip(outputs.layers, SIZES, strict=True):
        part = noise[:, start : start + size]
        expected = layer.posterior.mean + jnp.exp(layer.posterior.log_variance / 2) * part
        np.testing.assert_array_equal(layer.sample, expected)
        start += size


def test_a_layer_does_not_depend_on_the_noise_of_those_below():
    images, noise = draw(CHAIN)
    other = noise + (np.arange(CHAIN.latents) >= SIZES[0]).astype(np.float32)
    one, two = (apply_chain(chain_variables(), images, each).layers for each in (noise, other))
    jax.tree.map(np.testing.assert_array_equal, one[0], two[0])
    jax.tree.map(np.testing.assert_array_equal, one[1].posterior, two[1].posterior)
    assert not np.array_equal(one[2].posterior.mean, two[2].posterior.mean)


def test_samples_given_back_change_nothing():
    variables = chain_variables()
    images, noise = draw(CHAIN)
    outputs = CHAIN.apply(variables, images, noise)
    samples = [layer.sample for layer in outputs.layers]
    same = CHAIN.apply(variables, images, np.zeros_like(noise), samples=samples)
    jax.tree.map(np.testing.assert_array_equal, same, outputs)


def test_what_is_below_a_given_sample_is_inferred_from_it():
    variables = chain_variables()
    images, noise = draw(CHAIN)
    inferred = CHAIN.apply(variables, images, noise)
    # The same by inference: the noise that moves the posterior to the wanted sample.
    wanted = np.flip(inferred.layers[1].sample, axis=0)
    mean, log_variance = map(np.asarray, inferred.layers[1].posterior)
    other, place = noise.copy(), slice(SIZES[0], SIZES[0] + SIZES[1])
    other[:, place] = (wanted - mean) * np.exp(-log_variance / 2)
    expected = CHAIN.apply(variables, images, other)
    given = CHAIN.apply(variables, images, noise, samples=(None, wanted, None))
    np.testing.assert_array_equal(given.layers[1].sample, wanted)
    jax.tree.map(np.testing.assert_array_equal, given.layers[0], inferred.layers[0])
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, given.layers[2], expected.layers[2])
    close(given.nll, expected.nll)
    assert not np.allclose(given.nll, inferred.nll)
    samples = [np.zeros_like(inferred.layers[0].sample), wanted, inferred.layers[2].sample]
    taken = CHAIN.apply(
        variables, images, noise, samples=samples, taken=np.array([False, True, False])
    )
    jax.tree.map(np.testing.assert_array_equal, taken, given)


@pytest.mark.parametrize(
    "shapes", [[(5, 2)], [(5, 2), (5, 3), (5, 1)], [(2,), None, None]], ids=str
)
def test_samples_of_other_shapes_are_refused(shapes):
    variables = chain_variables()
    samples = [None if shape is None else np.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=r"expected samples \[\(5, 2\), .* for a layer, got"):
        CHAIN.apply(variables, *draw(CHAIN), samples=samples)


def test_noise_that_would_broadcast_is_refused():
    images, noise = draw(CHAIN)
    with pytest.raises(
        ValueError, match=rf"expected noise of shape \({len(images)}, {sum(SIZES)}\)"
    ):
        CHAIN.apply(chain_variables(), images, noise[:1])


def test_a_choice_of_layers_without_samples_is_refused():
    with pytest.raises(ValueError, match="expected samples beside taken, got none"):
        CHAIN.apply(chain_variables(), *draw(CHAIN), taken=np.array([True, False, False]))


@pytest.mark.parametrize("traced", [False, True])
def test_a_layer_that_is_given_no_sample_keeps_its_own(traced):
    variables = chain_variables()
    images, noise = draw(CHAIN)
    wanted = np.flip(CHAIN.apply(variables, images, noise).layers[0].sample, axis=0)
    samples = (wanted, None, None)

    def apply(taken):
        return CHAIN.apply(variables, images, noise, samples=samples, taken=taken)

    everywhere = (jax.jit(apply) if traced else apply)(np.array([True, True, True]))
    alone = CHAIN.apply(variables, images, noise, samples=samples)
    assert_close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(assert_close, everywhere, alone)


@pytest.mark.parametrize("taken", [[True], [True] * 4, True, [1.0, 0.0, 0.0]], ids=str)
def test_other_choices_of_layers_are_refused(taken):
    images, noise = draw(CHAIN)
    samples = [np.zeros((len(images), size), np.float32) for size in SIZES]
    with pytest.raises(ValueError, match="expected taken as 3 booleans, got"):
        CHAIN.apply(chain_variables(), images, noise, samples=samples, taken=np.array(taken))


def test_images_are_generated_from_the_priors():
    # A posterior equal to its prior makes inference a generation.
    variables = chain_variables()
    images, noise = draw(CHAIN)

    class Blind(Chain):
        def posterior(self, index, features, state, prior, *, train):
            super().posterior(index, features, state, prior, train=train)
            return prior

    blind = build_hvae(Blind(SIZES, IMAGE), image_shape=IMAGE, shapes=CHAIN.shapes)
    output = jax.jit(blind.apply)(variables, images, noise).taps["output"]
    np.testing.assert_allclose(jax.jit(CHAIN.decode)(variables, noise), output, atol=1e-6)
    samples = None, np.ones((len(noise), SIZES[1]), np.float32), None
    output = jax.jit(blind.apply)(variables, images, noise, samples=samples).taps["output"]
    generated = jax.jit(CHAIN.decode)(variables, noise, samples=samples)
    np.testing.assert_allclose(generated, output, atol=1e-6)


def test_given_samples_that_would_broadcast_are_not_decoded():
    with pytest.raises(ValueError, match=r"expected samples \[\(1, 2\), .* for a layer, got"):
        CHAIN.decode(chain_variables(), draw(CHAIN)[1][:1], samples=(np.zeros((5, 2)), None, None))


def test_noise_of_another_width_is_not_decoded():
    noise = draw(CHAIN)[1]
    wanted = rf"expected noise of shape \({len(noise)}, {CHAIN.latents}\), got"
    with pytest.raises(ValueError, match=wanted):
        CHAIN.decode(chain_variables(), noise[:, :-1])


@pytest.fixture(scope="module")
def twins():
    """A VAE with batch normalization, the same as a hierarchy of one layer, their variables."""
    shape, latents = (4, 4, 2), 3
    encoder, decoder = ConvolutionalEncoder((5,)), ConvolutionalDecoder((5,), shape)
    likelihood = gaussian(standard_deviation=0.7)
    options = {"image_shape": shape, "likelihood": likelihood}
    vae = build_vae(encoder, decoder, latents=latents, **options)
    hvae = build_hvae(OneLayer(encoder, decoder, latents), shapes=[(latents,)], **options)
    variables = jax.jit(vae.init)(jax.random.key(2))
    within = Variables({"network": variables.params}, {"network": variables.statistics})
    return (vae, variables), (hvae, within)


@pytest.mark.slow
def test_one_layer_is_a_vae(twins):
    (vae, variables), (hvae, within) = twins
    shapes = jax.eval_shape(hvae.init, jax.random.key(0))
    assert jax.tree.structure(within) == jax.tree.structure(shapes)
    images, noise = draw(vae)
    for train in (True, False):
        one = vae.apply(variables, images, noise, train=train)
        two = hvae.apply(within, images, noise, train=train)
        np.testing.assert_array_equal(one.nll, two.nll)
        np.testing.assert_array_equal(one.sample, two.layers[0].sample)
        jax.tree.map(np.testing.assert_array_equal, one.statistics, two.statistics["network"])
        assert list(one.taps)[-1] == list(two.taps)[-1] == "output"
    np.testing.assert_array_equal(vae.decode(variables, noise), hvae.decode(within, noise))


def test_the_objective_of_one_layer_is_that_of_the_vae(twins):
    (vae, variables), (hvae, within) = twins
    images, noise = draw(vae)

    def loss(params, model, statistics, objective):
        outputs = model.apply(Variables(params, statistics), images, noise, train=True)
        return objective(outputs, beta=4.0)[0]

    gradient = jax.jit(jax.value_and_grad(loss), static_argnums=(1, 3))
    one = gradient(variables.params, vae, variables.statistics, beta_vae)
    two = gradient(within.params, hvae, within.statistics, hierarchical_vae)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-6)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, one[1], two[1]["network"])


def test_images_of_another_size_are_refused():
    with pytest.raises(
        ValueError, match="28 x 28 or 32 x 32 pixels, got 64 x 64; resize them with image_size"
    ):
        two_layer_hvae(image_shape=(64, 64, 1))
    with pytest.raises(
        ValueError, match="28 x 28 or 32 x 32 pixels, got 64 x 64; resize them with image_size"
    ):
        one_layer_hvae(image_shape=(64, 64, 1))


def test_the_shape_of_images_may_be_a_list():
    hvae = two_layer_hvae(image_shape=[28, 28, 1], channels=4, top=3)
    assert hvae.image_shape == (28, 28, 1)


def test_one_layer_without_width_is_refused():
    with pytest.raises(ValueError, match=r"expected widths of at least 1, got \[0\]"):
        one_layer_hvae(image_shape=(28, 28, 1), width=0)


@pytest.mark.parametrize("shapes", [[], [(3,), (0,)]])
def test_hierarchies_without_latents_are_refused(shapes):
    with pytest.raises(ValueError, match="at least one layer, none of them empty"):
        build_hvae(Chain((3,), IMAGE), image_shape=IMAGE, shapes=shapes)
