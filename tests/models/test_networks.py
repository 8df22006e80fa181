"""What holds for every encoder and decoder that has no batch normalization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.networks import CompactDecoder, CompactEncoder, DenseDecoder, DenseEncoder
from jaxvae.models.residual import ResidualDecoder, ResidualEncoder
from jaxvae.models.transformer import TransformerDecoder, TransformerEncoder
from tests.models.networks import assert_close, draw, outputs_of, parameters_of
from tests.tiers import parametrize

IMAGE, LATENTS = (16, 16, 2), 3
SMALL = {"patch": 4, "width": 12, "depth": 2, "heads": 3}
ENCODERS = (
    DenseEncoder((5, 4)),
    CompactEncoder(),
    ResidualEncoder((4, 6, 5)),
    TransformerEncoder(**SMALL),
)
DECODERS = (
    DenseDecoder((5, 4), IMAGE),
    CompactDecoder(IMAGE),
    ResidualDecoder((4, 6, 5), IMAGE),
    TransformerDecoder(IMAGE, **SMALL),
)
ALL = [*((e, IMAGE) for e in ENCODERS), *((d, (LATENTS,)) for d in DECODERS)]


def name_of(value):
    return type(value).__name__


EACH = pytest.mark.parametrize(
    ("network", "shape"),
    ALL,
    ids=name_of,
)


@parametrize(("network", "shape"), ALL[:2] + ALL[4:6] + ALL[2:4] + ALL[6:], quick=4, ids=name_of)
def test_every_example_is_evaluated_by_itself(network, shape):
    inputs = draw(shape)
    parameters = parameters_of(network, inputs)
    together = outputs_of(network, parameters, inputs)
    alone = outputs_of(network, parameters, inputs[2:3])
    assert_close(alone, jax.tree.map(lambda leaf: np.asarray(leaf)[2:3], together))


@pytest.mark.slow
@EACH
def test_training_and_evaluation_are_the_same(network, shape):
    inputs = draw(shape)
    parameters = parameters_of(network, inputs)
    assert list(parameters) == ["params"]
    training, evaluation = (
        outputs_of(network, parameters, inputs, train=train) for train in (True, False)
    )
    jax.tree.map(np.testing.assert_array_equal, training, evaluation)


@pytest.mark.slow
@EACH
def test_vmap_over_parameters_is_the_loop_over_parameters(network, shape):
    inputs = draw(shape)
    members = [parameters_of(network, inputs, key) for key in range(3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    looped = [outputs_of(network, member, inputs) for member in members]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *looped)
    mapped = jax.jit(jax.vmap(lambda member: network.apply(member, inputs, train=True)))
    assert_close(mapped(stacked), expected)


@pytest.mark.slow
@EACH
def test_gradients_reach_every_parameter(network, shape):
    inputs = draw(shape)
    parameters = parameters_of(network, inputs)

    def loss(parameters):
        return jnp.sum(jnp.sin(network.apply(parameters, inputs, train=True)[0]))

    without = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(parameters))
        if not np.any(leaf)
    ]
    assert without == []
