"""Another run of what is left of a training: other batches and noise from a state on.

What two such runs differ by is what training cannot decide: the floor under any difference
between a state and the end.
"""

import jax
import jax.numpy as jnp

from jaxvae.training.members import Ensemble
from jaxvae.training.trainer import TrainState

# Steps fold in whole numbers from 0, epochs the largest one.
_REPLICATE = 2**32 - 2


def replicated(state: TrainState) -> TrainState:
    """A copy of a state, from which training goes on with other batches and noise.

    The key is the only thing that changes: the order of the images and the noise of the latents
    are drawn from it. Same state, same replicate.

    Args:
        state: at the end of an epoch, or the epoch goes on in another order.
    """
    return state._replace(key=jax.random.fold_in(state.key, jnp.uint32(_REPLICATE)))


def replicated_ensemble(ensemble: Ensemble) -> Ensemble:
    """`replicated` of every member: member i is the replicate of the model alone."""
    return ensemble._replace(states=jax.vmap(replicated)(ensemble.states))
