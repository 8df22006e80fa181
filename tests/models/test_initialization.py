"""Whether layers start as those of the library whose name is given."""

import jax
import numpy as np
import pytest

from jaxvae.models import (
    compact_vae,
    convolutional_vae,
    dense_discriminator,
    dense_vae,
    initialized,
    residual_vae,
    two_layer_hvae,
)
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.config import RunConfig
from tests.tiers import parametrize

SHAPE = (16, 16, 1)


def layers_of(model, name):
    """Kernel and bias of every layer that has both, by its place."""
    variables = jax.jit(initialized(model, name).init)(jax.random.key(0))
    leaves, layers = jax.tree_util.tree_flatten_with_path(variables)[0], {}
    for path, leaf in leaves:
        keys = [str(getattr(part, "key", part)) for part in path]
        layers.setdefault("/".join(keys[:-1]), {})[keys[-1]] = np.asarray(leaf)
    return {place: each for place, each in layers.items() if {"kernel", "bias"} <= set(each)}


def assert_uniform(values, limit):
    """Within the limit, near to it, and of its variance."""
    assert np.abs(values).max() <= limit
    # The largest of n is within 10 / n of the limit but for a chance of exp(-10).
    assert np.abs(values).max() > limit * (1 - 10 / values.size)
    # The variance of n squares is 4/45: five standard errors.
    assert abs(3 * np.mean((values / limit) ** 2) - 1) < 5 * 3 * np.sqrt(4 / 45 / values.size)


@pytest.fixture(scope="module")
def compact():
    return compact_vae(image_shape=SHAPE, latents=3)


# By hand: places of compact_vae, inputs and outputs times the pixels of the kernel.
FANS = {
    "encoder/DownConvolution_0": (16 * 1, 16 * 32),
    "encoder/DownConvolution_2": (4 * 32, 4 * 64),
    "encoder/Dense_0": (64, 256),
    "mean": (256, 3),
    "decoder/Dense_1": (256, 64),
    "decoder/UpConvolution_0": (16 * 64, 16 * 64),
    "decoder/UpConvolution_3": (16 * 32, 16 * 1),
}


@parametrize("name", ["pytorch", "keras"])
def test_weights_are_uniform_within_the_limits_of_the_library(compact, name):
    layers = layers_of(compact, name)
    for place, (inputs, outputs) in FANS.items():
        (layer,) = (each for path, each in layers.items() if path.endswith(place))
        # torch.nn.init takes the second axis of a kernel as inputs, which ConvTranspose2d stores
        # as [in, out, k, k].
        counted = outputs if "UpConvolution" in place else inputs
        limits = {"pytorch": 1 / np.sqrt(counted), "keras": np.sqrt(6 / (inputs + outputs))}
        assert_uniform(layer["kernel"], limits[name])
        if name == "pytorch":
            assert 0 < np.abs(layer["bias"]).max() <= limits[name]
        else:
            assert not layer["bias"].any()


def test_flax_is_the_model_itself(compact):
    assert initialized(compact, "flax") is compact


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        dense_vae(image_shape=SHAPE, latents=3, widths=(20, 10)),
        convolutional_vae(image_shape=SHAPE, latents=3, widths=(4, 8)),
        two_layer_hvae(image_shape=(28, 28, 1), channels=4, top=3),
        dense_discriminator(latents=3, depth=2, width=10),
    ],
    ids=["dense", "convolutional", "two layers", "discriminator"],
)
def test_every_layer_with_a_bias_is_drawn_anew(model):
    before, after = layers_of(model, "flax"), layers_of(model, "pytorch")
    assert before.keys() == after.keys()
    for place, layer in after.items():
        for name, values in layer.items():
            assert values.shape == before[place][name].shape
            assert not np.any(values == before[place][name]), (place, name)


@pytest.mark.slow
def test_branches_that_start_at_zero_stay_so():
    layers = layers_of(residual_vae(image_shape=SHAPE, latents=3, widths=(4, 4)), "pytorch")
    ends = [layer for place, layer in layers.items() if place.endswith("SameConvolution_1")]
    assert len(ends) == 4
    assert not any(values.any() for layer in ends for values in layer.values())


@pytest.mark.slow
def test_the_same_key_gives_the_same_start(compact):
    one, other = layers_of(compact, "keras"), layers_of(compact, "keras")
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
def test_a_run_starts_its_model_and_its_discriminator_as_it_is_told():
    config = RunConfig(
        network="dense_vae",
        options={"widths": [20]},
        objective="factor_vae",
        coefficients={"gamma": 10.0},
        initialization="keras",
    )
    model = build_model(config, SHAPE)
    state = build_trainer(config, model, dataset_size=100).init(jax.random.key(0))
    first = state.variables.params["encoder"]["Dense_0"]["kernel"]
    assert_uniform(np.asarray(first), np.sqrt(6 / (256 + 20)))
    last = state.adversary.params["Dense_1"]["kernel"]
    assert_uniform(np.asarray(last), np.sqrt(6 / 2000))


def test_other_names_are_refused(compact):
    with pytest.raises(ValueError, match="initialization among flax, pytorch, keras, got torch"):
        initialized(compact, "torch")
