"""Where an objective takes one number, several are refused: its loss is one number."""

import jax
import numpy as np
import pytest

from jaxvae.objectives import (
    annealed_vae,
    beta_tc_vae,
    beta_vae,
    dip_penalty,
    dip_vae_i,
    dip_vae_ii,
    distortion_target,
    factor_vae,
    rate_targets,
)
from tests.models.hierarchies import chain_outputs
from tests.objectives.outputs import draw

OBJECTIVES = {
    beta_vae: {"beta": 1.0},
    annealed_vae: {"capacity": 1.0, "gamma": 1.0},
    beta_tc_vae: {"dataset_size": 100, "beta": 1.0},
    dip_vae_i: {"off_diagonal": 1.0, "diagonal": 1.0},
    dip_vae_ii: {"off_diagonal": 1.0, "diagonal": 1.0},
    factor_vae: {"discriminator": lambda sample: sample[:, :2], "gamma": 1.0},
    rate_targets: {"targets": (1.0, 1.0, 1.0), "penalty": 1.0},
    distortion_target: {"target": 1.0, "weight": 1.0, "penalty": 1.0},
}
ONE_NUMBER = [
    (objective, name)
    for objective, given in OBJECTIVES.items()
    for name, value in given.items()
    if isinstance(value, float)
]


@pytest.mark.parametrize(("objective", "name"), ONE_NUMBER)
def test_several_numbers_in_the_place_of_one_are_refused_also_while_traced(objective, name):
    hierarchical = objective in (rate_targets, distortion_target)
    outputs, given = chain_outputs(3) if hierarchical else draw(), OBJECTIVES[objective]

    def loss(value):
        return objective(outputs, **(given | {name: value}))[0]

    for several in ([1.0], np.ones(3)):
        with pytest.raises(ValueError, match=rf"expected one number as {name}, got shape \("):
            loss(several)
    with pytest.raises(ValueError, match=f"expected one number as {name}, got shape"):
        jax.eval_shape(loss, np.ones(3, np.float32))
    assert jax.eval_shape(jax.vmap(loss), np.ones(4, np.float32)).shape == (4,)


def test_a_penalty_has_weights_of_one_number():
    with pytest.raises(ValueError, match=r"one number as diagonal, got shape \(2,\)"):
        dip_penalty(np.eye(2), off_diagonal=1.0, diagonal=[1.0, 2.0])
