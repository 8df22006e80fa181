"""The settings in effect where some were not given."""

import dataclasses

import jax

from jaxvae.runs.building import build_model, build_trainer, in_effect
from jaxvae.runs.config import RunConfig
from tests.runs.states import assert_can_be_trained


def test_what_was_not_given_is_the_default_of_network_and_objective():
    config = RunConfig(network="dense_vae", objective="beta_tc_vae", options={"widths": (16,)})
    settings = in_effect(dataclasses.asdict(config))
    assert settings["latents"] == 10
    assert settings["options"] == {"widths": [16]}
    assert settings["coefficients"]["beta"] == 1.0
    assert settings | {"latents": None, "coefficients": {}} == dataclasses.asdict(config) | {
        "options": {"widths": [16]}
    }


def test_a_hierarchy_has_no_bottleneck_and_nothing_is_made_of_nothing():
    config = RunConfig(network="two_layer_hvae", objective="hierarchical_vae")
    assert in_effect(dataclasses.asdict(config))["latents"] is None
    assert in_effect({}) == {}


def test_a_ramp_alone_leads_to_the_default_of_its_coefficient():
    config = RunConfig(network="dense_vae", options={"widths": (4,)}, latents=2, ramps={"beta": 4})
    trainer = build_trainer(config, build_model(config, (4, 4, 1)), dataset_size=9)
    assert jax.jit(trainer.init)(jax.random.key(0)).coefficients == {"beta": 1.0}


def test_a_hierarchy_can_be_trained_for_the_rates_of_some_of_its_layers():
    config = RunConfig(network="two_layer_hvae", options={"channels": 4, "top": 3})
    targets = {"objective": "rate_targets", "coefficients": {"targets": [50.0, None]}}
    assert_can_be_trained(dataclasses.replace(config, **targets), (28, 28, 1))
