"""The replicate of a state: the same but for what is still to be drawn."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.training import Ensemble, TrainState, replicated, replicated_ensemble
from jaxvae.training.epochs import epoch_order


def state_of(key):
    return TrainState(np.ones(3), (), None, {}, None, key, jnp.int32(7))


def test_a_replicate_is_the_same_state_with_another_order_of_batches():
    state = state_of(jax.random.key(0))
    other = replicated(state)
    assert int(other.step) == 7
    np.testing.assert_array_equal(other.variables, state.variables)
    orders = [epoch_order(each.key, 2, 50) for each in (state, other)]
    assert not np.array_equal(*orders)
    assert replicated(state).key == other.key


def test_every_member_is_replicated_as_it_would_be_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    states = TrainState(np.ones((3, 2)), (), None, {}, None, keys, jnp.full(3, 7))
    ensemble = replicated_ensemble(Ensemble(states, jnp.array([-1, 5, -1])))
    np.testing.assert_array_equal(ensemble.failed, [-1, 5, -1])
    for index, key in enumerate(keys):
        assert ensemble.states.key[index] == replicated(state_of(key)).key
