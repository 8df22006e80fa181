"""Whether presets are what the papers did."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.bottleneck import PRESETS
from experiments.bottleneck.training import adam_of


@pytest.mark.parametrize("name", ["paper-mnist", "paper-cifar10"])
def test_steps_on_the_mean_are_those_of_the_paper_on_the_sum_of_a_batch(name):
    # Camboulin, Doimo and Glielmo (2024): Adam(1e-3, weight_decay=1e-4) of PyTorch, batches of 256.
    theirs = optax.chain(optax.add_decayed_weights(1e-4), optax.adam(1e-3, eps=1e-8))
    ours, batch = adam_of(PRESETS[name]), PRESETS[name].batch_size
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
