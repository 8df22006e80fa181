"""Whether a model was still improving, by its loss."""

import numpy as np
import pytest

from jaxvae.analysis.training_loss import change_at_the_end
from jaxvae.runs.curve import Curve


def curve(loss, *, begun=0):
    steps = begun + np.arange(1, len(loss) + 1)
    return Curve(steps.tolist(), {"loss": list(loss)}, begun)


@pytest.mark.parametrize("begun", [0, 700])
def test_the_last_quarter_is_compared_with_the_one_before(begun):
    loss = np.r_[np.full(10, 50.0), 4, 5, 6, 4, 6, 2, 3, 4, 2, 4]
    change = change_at_the_end(curve(loss, begun=begun))
    assert change.value == -2
    assert change.stderr == pytest.approx(np.sqrt(2 * 1 / 5), rel=1e-12)


@pytest.mark.parametrize("loss", [[], [5.0, 4.0], np.linspace(9, 1, 9)])
def test_of_few_windows_nothing_is_said(loss):
    assert change_at_the_end(curve(loss)) is None


def test_a_flat_loss_is_called_falling_as_often_as_two_standard_errors_say():
    random = np.random.default_rng(0)
    changes = [change_at_the_end(curve(random.normal(size=200))) for _ in range(2000)]
    falling = np.mean([change.value < -2 * change.stderr for change in changes])
    assert falling == pytest.approx(0.024, abs=0.01)
