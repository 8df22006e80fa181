"""The time that a unit of a sweep takes: its operations over the speed of the device.

Only what grows with the settings is counted, and compilation as if nothing had been compiled
before. The constants are those of two CPU cores, where such estimates are right within a
factor of two.
"""

import math
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxvae.analysis.capture import captured_spaces
from jaxvae.files.words import counted
from jaxvae.models import HVAE, VAE
from jaxvae.runs.building import key_of, variable_shapes
from jaxvae.runs.sweep_run import latents_of, model_of, program_of
from jaxvae.sweeps.sweep import Sweep
from jaxvae.sweeps.units import Unit, trainer_of
from jaxvae.training import Trainer, steps_per_epoch

# To compile a line of a training step, as XLA is given it, takes the first number of seconds; to
# draw the initial states of a size takes the second.
_LINE, _INITIAL = 0.005, 2.0
# The geometry of a layer takes so many seconds besides its distances.
# To find its neighbors twice and to count ranks takes so many operations for every operation of a
# product of its points with themselves.
_LAYER, _SEARCHES = 0.05, 10.0


class Seconds(NamedTuple):
    """The time that a unit takes, in parts.

    Attributes:
        training: with compilation.
        measuring: all that is done with the models on the way.
    """

    training: float
    measuring: float

    @property
    def measuring_share(self) -> float:
        """The share of measuring in the time of training and measuring."""
        return self.measuring / (self.training + self.measuring) if any(self) else 0.0


class Step(NamedTuple):
    """A training step of one model.

    Attributes:
        seconds: seconds that it takes.
        compilation: seconds to compile it.
    """

    seconds: float
    compilation: float

    def many(self, count: int, *, sizes: int = 1) -> float:
        """Seconds of so many steps in one program that begins with models of so many sizes."""
        return self.compilation + sizes * _INITIAL + count * self.seconds


class _Speed(NamedTuple):
    """The speed of the device: operations of products, and bytes read and written, in a second."""

    operations: float
    bytes: float


@cache
def training_step(trainer: Trainer, image_shape: tuple[int, ...], batch_size: int) -> Step:
    """The cost of a step, counted in the program before it is compiled."""
    state = jax.eval_shape(trainer.init, key_of(0))
    images = jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.uint8)
    lowered = jax.jit(trainer.step).lower(state, images)
    # Not every device counts.
    counted: dict[str, float] = lowered.cost_analysis() or {}
    operations, read = (counted.get(name, 0.0) for name in ("flops", "bytes accessed"))
    speed = _device_speed()
    seconds = operations / speed.operations + read / speed.bytes
    return Step(seconds, _LINE * lowered.as_text().count("\n"))


def geometry_seconds(n: int, features: Iterable[int]) -> float:
    """Dimension and imbalance of layers of so many features over n points."""
    widths = list(features)
    return _LAYER * len(widths) + _SEARCHES * 2 * n**2 * sum(widths) / _device_speed().operations


def seconds_of(sweep: Sweep, unit: Unit) -> Seconds:
    """What a unit takes from its beginning; nothing of one that trains no run, which takes less."""
    if not unit.runs:
        return Seconds(0.0, 0.0)
    config = sweep.runs[unit.runs[0]]
    dataset, image_shape = sweep.load(config), sweep.image_shape(config)
    program, images = program_of(config, unit.latents), dataset.train.images
    step = training_step(
        trainer_of(program, image_shape, len(images)), image_shape, config.batch_size
    )
    steps = sweep.epochs[-1] * steps_per_epoch(images, config.batch_size) * len(unit.runs)
    sizes = len({latents_of(sweep.runs[name], image_shape) for name in unit.runs})
    # A step goes forward once, and backward at twice the cost.
    evaluation = len(dataset.test.images) / config.batch_size * step.seconds / 3
    per_epoch = evaluation + sweep.seconds(config, model_of(program, image_shape), dataset)
    return Seconds(step.many(steps, sizes=sizes), len(sweep.epochs) * len(unit.runs) * per_epoch)


def layer_features(model: VAE | HVAE) -> list[int]:
    """The number of features of every layer of a model for one image."""
    spaces = captured_spaces(model, variable_shapes(model), 1)
    return [math.prod(space.shape) for space in spaces.values()]


def time_in_words(units: Iterable[Seconds]) -> str:
    """The time of all units, one after another, such as "about 3 minutes on this machine"."""
    seconds = sum(sum(unit) for unit in units)
    minutes = max(1, round(seconds / 60))
    count, unit = (minutes, "minute") if minutes < 90 else (round(seconds / 3600), "hour")
    return f"about {counted(count, unit)} on this machine, less where it has run before"


@cache
def _device_speed() -> _Speed:
    """Measured within loops, as in training, in a fifth of a second."""
    rows, square, turns = jnp.ones((256, 512)), jnp.ones((512, 512)) / 512, 10
    values = jnp.ones(2**22)
    product = _fastest(lambda x: x @ square, rows, turns)
    pass_over = _fastest(lambda x: 0.5 * x + 1, values, turns)
    return _Speed(turns * 2 * 256 * 512**2 / product, turns * 2 * values.nbytes / pass_over)


def _fastest(step: Callable[[jax.Array], jax.Array], start: jax.Array, turns: int) -> float:
    """Seconds of so many steps, the fastest of some times."""
    loop, seconds = jax.jit(lambda x: lax.fori_loop(0, turns, lambda _, y: step(y), x)), []
    jax.block_until_ready(loop(start))
    for _ in range(5):
        begun = time.perf_counter()
        jax.block_until_ready(loop(start))
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
