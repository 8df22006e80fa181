"""Whether a model was still improving, by its loss."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import linregress, t

from jaxvae.analysis.training_loss import change_at_the_end
from jaxvae.runs.curve import Curve


def curve(loss, *, begun=0):
    steps = begun + np.arange(1, len(loss) + 1)
    return Curve(steps.tolist(), {"loss": list(loss)}, begun)


@pytest.mark.parametrize("begun", [0, 700])
def test_the_last_quarter_is_compared_with_the_one_before(begun):
    loss = np.r_[np.full(16, 50.0), 4, 5, 6, 5, 4, 6, 6, 4, 2, 3, 4, 3, 2, 4, 4, 2]
    change = change_at_the_end(curve(loss, begun=begun))
    assert change.value == -2
    blocks = loss[16:].reshape(8, 2).mean(axis=1)
    # The variance that a regression line leaves, from the error of its slope.
    line = linregress(np.arange(8), blocks)
    squares = (line.stderr**2 * 42) * (1 / 4 + 1 / 4)
    assert change.stderr == pytest.approx(np.sqrt(squares) * t.ppf(0.975, 6) / 2, rel=1e-9)


@pytest.mark.parametrize("loss", [[], [5.0, 4.0], np.linspace(9, 1, 9)])
def test_of_few_windows_nothing_is_said(loss):
    assert change_at_the_end(curve(loss)) is None


def beyond(loss):
    """Shares of curves of which the change is two errors below zero, and above it."""
    changes = [change_at_the_end(curve(each)) for each in loss]
    values = np.array([change.value / change.stderr for change in changes])
    return np.mean(values < -2), np.mean(values > 2)


@pytest.mark.parametrize(("count", "correlation"), [(12, 0.0), (200, 0.0), (200, 0.5)])
def test_a_level_loss_is_called_changed_in_five_percent_also_where_windows_are_alike(
    count, correlation
):
    noise = np.random.default_rng(0).normal(size=(2000, count + 100))
    loss = lfilter([1], [1, -correlation], noise, axis=1)[:, 100:]
    # Three standard errors of 2,000 curves above half of 5%.
    most = 0.025 + 3 * (0.025 * 0.975 / 2000) ** 0.5
    assert all(0 < share < most for share in beyond(loss))


def test_a_loss_that_falls_by_five_errors_is_found():
    noise = np.random.default_rng(0).normal(size=(400, 200))
    fall = 5 * np.sqrt(2 / 50) / 50
    falling, rising = beyond(noise - fall * np.arange(200))
    assert falling > 0.9
    assert rising == 0
