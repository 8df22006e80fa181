"""States of training: compared, and known by their shapes alone."""

import jax
import numpy as np

from jaxvae.runs.building import build_model, build_trainer


def assert_same(one, other):
    """All their leaves are equal."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert bool((a == b).all())


def assert_can_be_trained(config, image_shape):
    """By the shapes of a step of its training: nothing is compiled."""
    trainer = build_trainer(config, build_model(config, image_shape), dataset_size=256)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    batch = jax.ShapeDtypeStruct((config.batch_size, *image_shape), np.uint8)
    assert jax.eval_shape(trainer.step, state, batch)[1].shape == ()
