"""What a run says of the targets that it missed, from an evaluation made by hand."""

import numpy as np
import pytest

from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.evaluation import Evaluation
from jaxvae.commands.outcome import _missed_targets
from jaxvae.objectives.multipliers import LEAST, MOST
from jaxvae.runs.config import RunConfig
from tests.models.hierarchies import chain

RATES = RunConfig(objective="rate_targets", coefficients={"targets": (50.0, None)})
DISTORTION = RunConfig(objective="distortion_target", coefficients={"target": 500.0})


def missed(config, *, rate=(20.0, 0.5), distortion=(900.0, 3.0), betas=(1.0, 1.0)):
    """The sentences on two layers, of which the lower one has 3 nats."""
    values, errors = np.transpose([rate, (3.0, 0.1)])
    known = {"rates": Estimate(values, errors), "distortion": Estimate(*distortion)}
    evaluation = Evaluation(**dict.fromkeys(Evaluation._fields) | known)
    return _missed_targets(config, chain(2), evaluation, betas)


def test_a_rate_that_was_asked_for_and_missed_is_said_of_its_layer():
    (sentence,) = missed(RATES)
    assert sentence.startswith("rate of z_2: 20.00 ± 0.50 nats on held-out images, ")
    assert "where the target of training is 50: train longer" in sentence


def test_a_distortion_that_was_asked_for_and_missed_is_said():
    (sentence,) = missed(DISTORTION)
    assert sentence.startswith("distortion: 900.0 ± 3.0 nats on held-out images")
    assert "the target of training is 500" in sentence


@pytest.mark.parametrize("beta", [LEAST, MOST])
def test_a_target_whose_own_beta_is_at_the_end_of_its_range_may_be_out_of_reach(beta):
    (sentence,) = missed(RATES, betas=(beta, 1.0))
    assert "its beta has come to the end of its range" in sentence
    (of_another_layer,) = missed(RATES, betas=(1.0, beta))
    assert "end of its range" not in of_another_layer


@pytest.mark.parametrize("rate", [(50.0, 0.1), (47.6, 0.1), (52.4, 0.1), (41.1, 3.0), (58.9, 3.0)])
def test_a_target_is_hit_within_a_twentieth_or_three_standard_errors(rate):
    assert missed(RATES, rate=rate) == []


@pytest.mark.parametrize("rate", [(47.4, 0.1), (52.6, 0.1), (40.9, 3.0), (59.1, 3.0)])
def test_a_target_is_missed_beyond_them(rate):
    assert len(missed(RATES, rate=rate)) == 1


def test_without_targets_none_is_missed():
    assert missed(RunConfig(objective="hierarchical_vae")) == []
