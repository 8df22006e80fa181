"""Whether presets are what the papers did."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.bottleneck import PRESETS
from experiments.bottleneck.config import runs
from experiments.learning_dynamics import PRESETS as DYNAMICS
from experiments.learning_dynamics import models
from experiments.learning_dynamics.config import data_and_networks
from experiments.learning_dynamics.runs import run_config
from jaxvae.data.sprites import GRID_SIZE
from jaxvae.runs.building import build_model, build_optimizer, build_trainer

# Bonheme and Grzes (2022): images there are, those that `jaxvae.data.load` holds out, and shape.
# smallNORB has two splits of the same size; of 17,568 cars a tenth is held out.
IMAGES = {
    "paper-dsprites": (GRID_SIZE, 10_000, (64, 64, 1)),
    "paper-smallnorb": (48_600, 24_300, (64, 64, 1)),
    "paper-cars3d": (17_568, 1_756, (64, 64, 3)),
}


@pytest.mark.parametrize("name", ["paper-mnist", "paper-cifar10"])
def test_steps_on_the_mean_are_those_of_the_paper_on_the_sum_of_a_batch(name):
    # Camboulin, Doimo and Glielmo (2024): Adam(1e-3, weight_decay=1e-4) of PyTorch, batches of 256.
    theirs = optax.chain(optax.add_decayed_weights(1e-4), optax.adam(1e-3, eps=1e-8))
    config = next(iter(runs(PRESETS[name]).values()))
    ours, batch = build_optimizer(config), config.batch_size
    assert batch == 256
    random = np.random.default_rng(0)
    weights = [jnp.asarray(random.standard_normal(50), jnp.float32)] * 2
    states = [ours.init(weights[0]), theirs.init(weights[1])]
    for _ in range(20):
        # Gradients of the size of the penalty, where its strength shows.
        mean = jnp.asarray(1e-6 * random.standard_normal(50), jnp.float32)
        for index, (method, gradient) in enumerate(((ours, mean), (theirs, batch * mean))):
            steps, states[index] = method.update(gradient, states[index], weights[index])
            weights[index] = optax.apply_updates(weights[index], steps)
    # 256 is a power of two: nothing is rounded differently.
    np.testing.assert_array_equal(*weights)


def steps_of(name):
    """In an epoch, and in all."""
    config, (images, held_out, _) = DYNAMICS[name], IMAGES[name]
    available = images - held_out
    train_size = available if config.train_size is None else config.train_size
    assert train_size <= available
    per_epoch = train_size // config.batch_size
    return per_epoch, config.epochs * per_epoch


@pytest.mark.parametrize("name", IMAGES)
def test_learning_dynamics_take_the_steps_of_the_paper_and_compare_at_its_shares_of_them(name):
    config, (per_epoch, steps) = DYNAMICS[name], steps_of(name)
    assert abs(steps / 300_000 - 1) < 0.02
    shares = np.array([0, 2, 7, 14, 19, 26]) / 26
    np.testing.assert_allclose(np.array(config.measured) * per_epoch / steps, shares, atol=1e-3)
    assert (config.batch_size, config.learning_rate, config.latents) == (64, 1e-4, 10)


@pytest.mark.parametrize("name", IMAGES)
def test_learning_dynamics_train_the_models_of_the_paper(name):
    config, strengths = DYNAMICS[name], {}
    (place,) = data_and_networks(config)
    for model in models(config):
        settings = run_config(config, place, model)
        assert settings.initialization == "keras"
        ramps = {"capacity": 100_000} if model.objective == "annealed_vae" else {}
        assert settings.ramps == ramps
        strengths.setdefault(model.objective, set()).add((model.value, model.seed))
    values = {
        "beta_vae": (1, 2, 4, 6, 8),
        "annealed_vae": (5, 10, 25, 50, 75),
        "weighted_beta_tc_vae": (1, 2, 4, 6, 8),
        "dip_vae_ii": (1, 2, 5, 10, 20),
    }
    expected = {
        name: {(v, seed) for v in each for seed in range(5)} for name, each in values.items()
    }
    assert strengths == expected


@pytest.mark.parametrize("name", IMAGES)
def test_learning_dynamics_are_compared_on_as_many_images_as_the_paper_or_all_held_out(name):
    config, (_, held_out, _) = DYNAMICS[name], IMAGES[name]
    assert config.points == min(10_000, held_out)
    assert max(config.imbalance_points, config.procrustes_points) <= config.points


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_learning_dynamics_can_be_trained(name):
    config, (images, held_out, shape) = DYNAMICS[name], IMAGES[name]
    (place,) = data_and_networks(config)
    firsts = {model.objective: model for model in models(config)}
    for model in firsts.values():
        settings = run_config(config, place, model)
        vae = build_model(settings, shape)
        trainer = build_trainer(settings, vae, dataset_size=images - held_out)
        state = jax.eval_shape(trainer.init, jax.random.key(0))
        batch = jax.ShapeDtypeStruct((config.batch_size, *shape), jnp.uint8)
        assert jax.eval_shape(trainer.step, state, batch)[1].shape == ()
