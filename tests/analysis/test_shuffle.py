"""What exchanging a layer's sample costs, against linear-Gaussian hierarchies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.analysis import shuffle_effect
from jaxvae.models import build_hvae, dense_vae
from tests.analysis import linear
from tests.models.hierarchies import Chain
from tests.tiers import parametrize

KEY = jax.random.key(3)
X = linear.pixels()
HVAE = linear.hierarchy()


def over_pairs(cost):
    """Mean over all pairs of different images, by its values at 200 shifts."""
    shifts = np.random.default_rng(1).choice(np.arange(1, len(X)), 200, replace=False)
    return np.mean([cost(np.roll(X, shift, axis=0)).mean() for shift in shifts])


@parametrize("inferred", [0.6, 0.7, 0.0])
def test_the_growth_is_that_of_the_expected_costs(inferred):
    found = shuffle_effect(
        linear.hierarchy(inferred=inferred), linear.NOTHING, linear.IMAGES, key=KEY
    )

    def distortion(bottom, top):
        return linear.nll(linear.squared_errors(X, bottom, top, inferred))

    own = distortion(X, X).mean()
    top = over_pairs(lambda other: distortion(X, other)) - own
    bottom = over_pairs(lambda other: distortion(other, other)) - own
    rate = over_pairs(lambda other: linear.bottom_rates(X, other, inferred))
    rate -= linear.bottom_rates(X, X, inferred).mean()
    for estimate, expected in (
        (found.distortion, [top, bottom]),
        (found.cost, [top + rate, bottom]),
    ):
        np.testing.assert_array_less(np.abs(estimate.value - expected), 4 * estimate.stderr + 1e-6)


def test_a_layer_that_inference_does_not_read_is_worth_the_rate_below_it():
    hvae = linear.hierarchy(inferred=0.0)
    found = shuffle_effect(hvae, linear.NOTHING, linear.IMAGES, key=KEY)
    assert found.distortion.value[0] == found.distortion.stderr[0] == 0
    assert found.cost.value[0] > 10 * found.cost.stderr[0]


def test_a_layer_that_nothing_reads_is_worth_nothing():
    class Deaf(Chain):
        def absorb(self, index, state, sample, *, train):
            kept = jnp.zeros_like(sample) if index == 0 else sample
            return super().absorb(index, state, kept, train=train)

    hvae = build_hvae(Deaf((2, 3), (1, 2, 1)), image_shape=(1, 2, 1), shapes=[(2,), (3,)])
    found = shuffle_effect(hvae, jax.jit(hvae.init)(KEY), linear.IMAGES[:50], key=KEY)
    for estimate in found:
        assert estimate.value[0] == estimate.stderr[0] == 0
        assert estimate.value[1] != 0


def test_the_growth_of_the_bottom_layer_is_its_distortion():
    found = shuffle_effect(HVAE, linear.NOTHING, linear.IMAGES, key=KEY)
    assert found.cost.value[1] == found.distortion.value[1]
    assert found.cost.stderr[1] == found.distortion.stderr[1]


@pytest.mark.slow
def test_the_standard_errors_are_the_spread_over_data_sets():
    images = np.random.default_rng(5).integers(0, 256, (40, 300, 1, 2, 1), dtype=np.uint8)
    found = [
        shuffle_effect(HVAE, linear.NOTHING, chunk, key=key)
        for chunk, key in zip(images, jax.random.split(KEY, 40), strict=True)
    ]
    for name in ("distortion", "cost"):
        values = np.array([getattr(one, name).value for one in found])
        errors = np.array([getattr(one, name).stderr for one in found])
        ratio = values.std(axis=0, ddof=1) / errors.mean(axis=0)
        # Known to 11%.
        assert np.all((ratio > 0.7) & (ratio < 1.3)), (name, ratio)


@parametrize("batch_size", [700, 2000])
def test_pairs_and_noise_do_not_depend_on_the_batch_size(batch_size):
    arguments = HVAE, linear.NOTHING, linear.IMAGES
    one = shuffle_effect(*arguments, key=KEY)
    two = shuffle_effect(*arguments, key=KEY, batch_size=batch_size)
    for this, that in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(this, that, rtol=1e-4)


def test_one_image_alone_is_refused():
    with pytest.raises(ValueError, match="at least 2 images to shuffle between, got 1"):
        shuffle_effect(HVAE, linear.NOTHING, linear.IMAGES[:1], key=KEY)


def test_a_model_of_one_layer_is_refused():
    vae = dense_vae(image_shape=(4, 4, 1), latents=2, widths=(4,))
    with pytest.raises(ValueError, match=r"expected a hierarchical VAE.* of type HVAE, got VAE"):
        shuffle_effect(vae, None, np.zeros((3, 4, 4, 1), np.uint8), key=KEY)
