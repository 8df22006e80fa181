"""The deep hierarchy: its layers, how it starts, what its options change, and training."""

from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.analysis import capture
from jaxvae.data import load
from jaxvae.models import deep_hvae, learned_gaussian
from jaxvae.models.vae import Variables
from jaxvae.objectives import hierarchical_vae, layer_rates
from jaxvae.training import train, vae_trainer

SMALL = {"image_shape": (8, 8, 1), "channels": 8, "latent_channels": 2}
# Four layers, two at either of two resolutions: more would only take longer to compile.
TINY = SMALL | {"image_shape": (4, 4, 1)}
FOUR = deep_hvae(**TINY, blocks=(2,))
# Two layers that are one loop: for what holds of every loop.
SHORT = TINY | {"resolutions": (4,), "blocks": (2,)}
LOOP = deep_hvae(**SHORT)
apply_four = jax.jit(FOUR.apply)


def draw(hvae, batch=5):
    random = np.random.default_rng(0)
    images = random.uniform(size=(batch, *hvae.image_shape)).astype("f4")
    return images, random.normal(size=(batch, hvae.latents)).astype("f4")


def trained_like(variables, scale=0.1):
    """Parameters that nothing holds at their start, so that no kernel is zero."""
    leaves, structure = jax.tree.flatten(variables)
    random = np.random.default_rng(0)
    moved = [leaf + scale * random.normal(size=leaf.shape).astype("f4") for leaf in leaves]
    return jax.tree.unflatten(structure, moved)


@pytest.fixture(scope="module")
def started():
    """Four layers: the variables of a key, and what they make of some images."""
    variables = jax.jit(FOUR.init)(jax.random.key(1))
    return variables, apply_four(variables, *draw(FOUR))


@pytest.fixture(scope="module")
def moved(started):
    variables = trained_like(started[0])
    return variables, apply_four(variables, *draw(FOUR))


# --- layers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "sides"),
    [(28, (1, 7, 14, 28)), (32, (1, 4, 8, 16, 32)), (64, (1, 4, 8, 16, 32, 64)), (5, (1, 5))],
)
def test_there_are_three_layers_at_every_halving_of_the_side(side, sides):
    hvae = deep_hvae(image_shape=(side, side, 3))
    assert hvae.shapes == tuple((each, each, 8) for each in sides for _ in range(3))


def test_resolutions_and_layers_are_those_given():
    hvae = deep_hvae(image_shape=(12, 12, 1), resolutions=(2, 4, 12), blocks=(2, 1, 3))
    assert [shape[0] for shape in hvae.shapes] == [2, 2, 4, 12, 12, 12]


@pytest.mark.slow
def test_layers_have_the_shapes_and_taps_they_say():
    # Of more than nine, whose numbers are in another order as texts.
    hvae = deep_hvae(image_shape=(8, 8, 3), blocks=(1, 2, 8), likelihood=learned_gaussian())
    variables = jax.eval_shape(hvae.init, jax.random.key(0))
    outputs = jax.eval_shape(hvae.apply, variables, *draw(hvae, batch=2))
    assert len(outputs.layers) == 11
    for layer, shape in zip(outputs.layers, hvae.shapes, strict=True):
        assert {leaf.shape for leaf in jax.tree.leaves(layer)} == {(2, *shape)}
    latents = [f"z_{number}" for number in range(11, 0, -1)]
    assert list(outputs.taps) == [
        "input",
        *(f"encoder/{depth}" for depth in range(1, 12)),
        *(f"{name}/{part}" for name in latents for part in ("mean", "log_variance", "sample")),
        *(f"decoder/{name}" for name in latents),
        "output",
    ]
    assert outputs.taps["encoder/8"].shape == outputs.taps["decoder/z_8"].shape == (2, 8, 8, 64)
    assert outputs.taps["encoder/9"].shape == outputs.taps["decoder/z_9"].shape == (2, 4, 4, 64)


def test_parameters_are_those_of_the_convolutions_in_as_many_arrays_at_any_depth():
    inner, channels, latents = 2, 8, 2

    def branch(inputs, outputs, size):
        enter, leave = inputs * inner + inner, inner * outputs + outputs
        return enter + 2 * (size**2 * inner**2 + inner) + leave

    def layer(size):
        branches = ((8, 8), (16, 2 * latents), (8, 2 * latents + 8), (8, 8))
        return sum(branch(*each, size) for each in branches) + latents * channels + channels

    counts = set()
    for blocks in (1, 4):
        leaves = jax.tree.leaves(
            jax.eval_shape(deep_hvae(**SMALL, blocks=(blocks,)).init, jax.random.key(0))
        )
        counts.add(len(leaves))
        ends = 9 * channels + channels + channels + 1 + (1 + 4**2 + 8**2) * channels
        layers = blocks * (layer(1) + 2 * layer(3))
        assert sum(leaf.size for leaf in leaves) == ends + layers
    assert len(counts) == 1


# --- the start ------------------------------------------------------------------------


@pytest.mark.slow
def test_priors_start_as_standard_normal_whatever_is_above_them(started):
    for layer in started[1].layers:
        np.testing.assert_array_equal(layer.prior.mean, 0)
        np.testing.assert_array_equal(layer.prior.log_variance, 0)


@pytest.mark.slow
def test_posteriors_start_from_the_images(started):
    for layer in started[1].layers:
        assert np.ptp(np.asarray(layer.posterior.mean), axis=0).max() > 0


@pytest.mark.slow
def test_what_adds_to_a_stream_starts_divided_by_the_root_of_the_depth(started):
    params = started[0].params["network"]
    for kernel in (
        params["encoder"]["leave_kernel"], params["decoder"]["leave_kernel"],
        params["sample_kernel"],
    ):  # fmt: skip
        assert kernel.shape == (4, 1, 1, 2, 8)
        # Of 64 numbers, the deviation is known to 1 / sqrt(2 * 64) = 9%.
        np.testing.assert_allclose(np.std(kernel) * np.sqrt(4 * 2), 1, rtol=0.27)
    np.testing.assert_array_equal(params["priors"]["leave_kernel"], 0)


# --- values ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_rate_of_no_layer_is_negative(moved):
    rates = layer_rates(moved[1])
    assert rates.shape == (5, 4)
    assert bool((rates > 0).all())


@pytest.mark.slow
def test_deviations_stay_within_their_bounds_for_parameters_of_any_size(moved):
    network = dict(moved[0].params["network"])
    for name in ("priors", "posteriors"):
        kernel = network[name]["leave_kernel"]
        network[name] = network[name] | {"leave_kernel": kernel.at[..., 2:4].multiply(1e6)}
    outputs = apply_four(Variables({"network": network}, {}), *draw(FOUR))
    for layer in outputs.layers:
        for gaussian in (layer.prior, layer.posterior):
            assert float(jnp.abs(gaussian.log_variance).max()) == pytest.approx(7, abs=1e-3)
    assert bool(jnp.isfinite(layer_rates(outputs)).all())


@pytest.mark.slow
def test_every_posterior_sees_the_images_themselves(moved):
    # Blind to what the encoder says in all layers but the last, it still sees it there.
    network = dict(moved[0].params["network"])
    kernel = network["posteriors"]["enter_kernel"].at[:-1, :, :, 8:].set(0)
    network["posteriors"] = network["posteriors"] | {"enter_kernel": kernel}
    images, noise = draw(FOUR)
    one, other = (
        apply_four(Variables({"network": network}, {}), each, noise).layers
        for each in (images, images[::-1])
    )
    for index in range(3):
        np.testing.assert_array_equal(one[index].sample, other[index].sample)
    assert not np.array_equal(one[3].sample, other[3].sample)


@pytest.mark.slow
def test_images_are_generated_without_posteriors(moved):
    variables, _ = moved
    _, noise = draw(FOUR)
    network = variables.params["network"]
    rest = {name: each for name, each in network.items() if name not in ("posteriors", "encoder")}
    images = jax.jit(FOUR.decode)(Variables({"network": rest}, {}), noise)
    assert images.shape == (5, 4, 4, 1)
    np.testing.assert_array_equal(images, jax.jit(FOUR.decode)(variables, noise))


# --- options --------------------------------------------------------------------------


def loss_of(hvae, params, images, noise, beta=1.0):
    outputs = hvae.apply(Variables(params, {}), images, noise, train=True)
    return hierarchical_vae(outputs, beta=beta)[0]


def drawn_for(hvae, key=0):
    """Parameters of a trained size, without compiling how they start."""
    random, shapes = np.random.default_rng(key), jax.eval_shape(hvae.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: random.normal(0, 0.3, leaf.shape).astype("f4"), shapes.params)


loss_and_gradient = jax.jit(jax.value_and_grad(loss_of, argnums=1), static_argnums=0)


@pytest.mark.slow
def test_half_precision_changes_the_rates_by_its_rounding(moved):
    variables, expected = moved
    half = deep_hvae(**TINY, blocks=(2,), compute_dtype="bfloat16")
    assert jax.eval_shape(half.init, jax.random.key(0)) == jax.eval_shape(
        FOUR.init, jax.random.key(0)
    )
    outputs = jax.jit(half.apply)(variables, *draw(half))
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
    for one, other in zip(
        (outputs.nll, layer_rates(outputs)), (expected.nll, layer_rates(expected)), strict=True
    ):
        assert not np.array_equal(one, other)
        np.testing.assert_allclose(one, other, rtol=0.03)


@pytest.mark.slow
def test_blocks_computed_again_give_the_same_loss_and_gradient():
    beta, again = np.float32(1), deep_hvae(**SHORT, remat=True)
    one, two = (
        loss_and_gradient(hvae, drawn_for(hvae), *draw(hvae), beta) for hvae in (LOOP, again)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-4), one, two)


def kept(remat, batch=64):
    """What reverse mode keeps: how many leaves of its pullback have a shape."""
    hvae = deep_hvae(**TINY, blocks=(4,), remat=remat)
    params = jax.eval_shape(hvae.init, jax.random.key(0)).params
    loss = partial(loss_of, hvae)
    pullback = jax.eval_shape(lambda *given: jax.vjp(loss, *given)[1], params, *draw(hvae, batch))
    return Counter(leaf.shape for leaf in jax.tree.leaves(pullback))


@pytest.mark.slow
def test_of_the_blocks_of_a_loop_streams_and_convolutions_are_kept_and_these_computed_again():
    inner, channels, latents, pixels = 2, TINY["channels"], TINY["latent_channels"], 4 * 4
    for remat in (True, False):
        shapes = kept(remat)
        # The examples are the last axis: a TPU would fill up columns and channels to 128.
        assert not [shape for shape in shapes if shape[:2] == (4, 64) and len(shape) > 3]
        # Three convolutions of four branches, at the sides 4 and 1.
        for side in (pixels, 1):
            assert shapes[4, side * inner, 64] == (0 if remat else 12)
        # The streams of encoder and decoder, and what gives the Gaussians; what a posterior sees,
        # the stream and the features, is not kept again side by side.
        assert shapes[4, pixels * channels, 64] == 2
        assert shapes[4, pixels * (2 * latents + channels), 64] == 1
        assert shapes[4, pixels * 2 * latents, 64] == 1
        assert shapes[4, pixels * 2 * channels, 64] == 0


# --- training -------------------------------------------------------------------------


@pytest.mark.slow
def test_two_layers_of_a_loop_learn_small_images():
    images = load("sprites", image_size=8, train_size=256).train.images[:, ::2, ::2]
    trainer = vae_trainer(LOOP, hierarchical_vae, optax.adam(3e-3))
    seen = []
    train(
        trainer,
        trainer.init(jax.random.key(0)),
        images,
        epochs=10,
        batch_size=32,
        report=lambda progress: seen.append(progress.loss),
    )
    assert np.isfinite(seen).all()
    assert seen[-1] < seen[0] / 2


@pytest.mark.slow
def test_members_of_an_ensemble_have_the_gradients_that_they_have_alone():
    betas, batch = np.array([0.5, 2.0], "f4"), draw(LOOP)
    members = [drawn_for(LOOP, key) for key in range(2)]
    together = jax.jit(jax.vmap(partial(loss_and_gradient, LOOP), (0, None, None, 0)))
    found = together(jax.tree.map(lambda *leaves: np.stack(leaves), *members), *batch, betas)
    for index, member in enumerate(members):
        alone = loss_and_gradient(LOOP, member, *batch, betas[index])
        jax.tree.map(
            lambda one, other, at=index: np.testing.assert_allclose(one[at], other, 1e-4, 1e-5),
            found,
            alone,
        )


@pytest.mark.slow
def test_layers_are_captured_as_float32(moved):
    half = deep_hvae(**TINY, blocks=(2,), compute_dtype="bfloat16")
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    taps = capture(half, moved[0], images, key=jax.random.key(1), batch_size=3)
    assert {tap.dtype for tap in taps.values()} == {np.dtype("float32")}
    assert taps["decoder/z_1"].shape == (6, 4, 4, 8)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image_shape": (8, 12, 1)},
            "expected square images, got 8 x 12; resize them with image_size",
        ),
        ({"resolutions": (1, 3, 8)}, r"each divide the next, up to the 8 .*, got \[1, 3, 8\]"),
        ({"resolutions": (8, 4)}, r"got \[8, 4\]"),
        ({"resolutions": (2, 4)}, r"got \[2, 4\]"),
        ({"resolutions": (-8, 8)}, r"got \[-8, 8\]"),
        ({"resolutions": (0, 8)}, r"got \[0, 8\]"),
        ({"blocks": (1, 2)}, r"one for each of the 3 resolutions \[1, 4, 8\].* got \[1, 2\]"),
        ({"blocks": (1, 0, 2)}, r"of at least 1, got \[1, 0, 2\]"),
        ({"blocks": ()}, r"got \[\]"),
        ({"channels": 3}, "expected at least 4 channels, got 3"),
        ({"latent_channels": 0}, "none of them empty"),
        ({"compute_dtype": "float16"}, "float32 or bfloat16, got float16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        deep_hvae(**SMALL | options)
