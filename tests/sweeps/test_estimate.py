"""What is said of the time that a sweep takes."""

import optax
import pytest

from jaxvae.models import dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.sweeps.estimate import (
    Seconds,
    Step,
    geometry_seconds,
    time_in_words,
    training_step,
)
from jaxvae.training import vae_trainer


def step_of(width, batch_size):
    vae = dense_vae(image_shape=(8, 8, 1), latents=2, widths=(width,))
    return training_step(vae_trainer(vae, beta_vae, optax.sgd(0.1)), (8, 8, 1), batch_size)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "about 1 minute "), (150, "about 2 minutes "), (3000, "about 50 minutes "),
     (7300, "about 2 hours ")],
)  # fmt: skip
def test_a_duration_is_said_in_minutes_or_hours(seconds, words):
    assert time_in_words([Seconds(seconds - 2, 1), Seconds(1, 0)]).startswith(words)


def test_a_larger_network_and_a_larger_batch_take_longer_but_are_compiled_as_fast():
    small, wide, many = step_of(8, 16), step_of(64, 16), step_of(8, 160)
    assert 0 < small.seconds < min(wide.seconds, many.seconds)
    assert small.compilation == wide.compilation == many.compilation > 0


def test_steps_are_compiled_once_and_initial_states_for_every_size():
    step = Step(0.5, 10.0)
    assert step.many(20) - step.many(10) == pytest.approx(5)
    first = step.many(10, sizes=2) - step.many(10, sizes=1)
    assert first == step.many(10, sizes=3) - step.many(10, sizes=2) > 0


def test_geometry_takes_longer_for_more_points_and_wider_layers():
    little = geometry_seconds(100, [5, 50])
    assert 0 < little < min(geometry_seconds(1000, [5, 50]), geometry_seconds(100, [5, 5000]))
