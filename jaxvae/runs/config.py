"""A run in words: what is trained, on what, and how, as names and numbers.

The names are those of `jaxvae.runs.choices`; `jaxvae.runs.building` makes models of them.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from jaxvae.files.refusals import all_pass
from jaxvae.runs.choices import HUGE, LARGEST, TINY, is_foreign
from jaxvae.runs.folder import write_settings
from jaxvae.typing import ImageShape

IMAGES = "images"
"""In the settings of a folder, which images its results were made of."""
PER_EPOCH = "steps_per_epoch"
"""In the settings of a run, how many steps an epoch has: snapshots go by their step."""
FROM = "from"
"""In the settings of a run, which run it began with, and after how many epochs."""
# What stands in the settings of a run beside them.
_BESIDE = (IMAGES, PER_EPOCH, FROM)

# A number, or one a layer of a hierarchy from the top to the bottom, None for those without.
Coefficient = float | Sequence[float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of a run: which model is trained, on which data, and how.

    Attributes:
        data: a name that `jaxvae.data.load` knows, or the path of images.
        image_size: pixels along each side to resize to; None for the images as they are.
        image_key: the feature or array that holds the images; None for the usual names.
        split: `TRAIN` or `TRAIN/TEST`; None for the usual names.
        value_range: pixels that become black and white; None to go by type and range.
        train_size: training images; None for all.
        binarize: whether pixels are made black or white, at half of the range.
        network: such as `compact_vae`.
        options: what else the network takes, such as `widths`.
        latents: size of the bottleneck; None for 10, and for hierarchies, whose sizes are
            options.
        initialization: initialization of the layers, as `jaxvae.models.initialized` names it.
        likelihood: likelihood of the images.
        likelihood_options: what it takes, such as `standard_deviation`.
        objective: such as `beta_tc_vae`.
        coefficients: coefficients of the objective, by name: a number, or one for every layer of a
            hierarchy, from the top to the bottom.
        ramps: steps over which a coefficient grows from 0, by its name, or for every layer.
        learning_rate: learning rate of Adam.
        epsilon: epsilon of Adam, which divides by sqrt(second moment) + epsilon.
        l2: penalty, added to the gradient before Adam.
        clip: norm to which larger gradients are scaled down, before the penalty; None for
            gradients as they are.
        skip: norm beyond which a gradient is not used at all; None for no such norm. With
            `clip` or `skip`, gradients that are not finite are never used.
        average: decay of the moving average of the parameters, which is then what is saved
            and evaluated; None for the parameters themselves.
        warmup: steps over which the learning rate grows from 0; None for none.
        batch_size: images a step.
        epochs: passes over the training images.
        seed: seed of parameters, noise and batches.
    """

    data: str = "sprites"
    image_size: int | None = None
    image_key: str | None = None
    split: str | None = None
    value_range: Sequence[float] | None = None
    train_size: int | None = None
    binarize: bool = False
    network: str = "compact_vae"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    latents: int | None = None
    initialization: str = "flax"
    likelihood: str = "bernoulli"
    likelihood_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    objective: str = "beta_vae"
    coefficients: Mapping[str, Coefficient] = dataclasses.field(default_factory=dict)
    ramps: Mapping[str, int | Sequence[int]] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-4
    epsilon: float = 1e-8
    l2: float = 0.0
    clip: float | None = None
    skip: float | None = None
    average: float | None = None
    warmup: int | None = None
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0

    def __hash__(self) -> int:
        # What it holds in dictionaries is made of JSON's kinds.
        return hash(json.dumps(dataclasses.asdict(self), sort_keys=True, default=str))

    def __post_init__(self) -> None:
        all_pass(
            *(
                partial(_refuse_other_kinds, name, getattr(self, name), hint)
                for name, hint in _hints().items()
            )
        )
        all_pass(
            *(partial(self._refuse_number, name) for name in ("learning_rate", "epsilon", "l2")),
            *(partial(self._refuse_number, name) for name in ("clip", "skip")),
            *(partial(self._refuse_count, name) for name in ("latents", "batch_size", "epochs")),
            partial(self._refuse_count, "warmup"),
            self._refuse_seed,
            *(partial(self._refuse_coefficient, name) for name in self.coefficients),
            *(partial(self._refuse_ramp, name) for name in self.ramps),
        )

    def _refuse_number(self, name: str) -> None:
        value = getattr(self, name)
        if value is not None and not (name == "l2" and value == 0):
            _refuse_beyond_float32(name, value)

    def _refuse_count(self, name: str) -> None:
        count = getattr(self, name)
        if count is not None and count < 1:
            raise ValueError(f"expected {name} of at least 1, got {count}")
        if count is not None and count > LARGEST:
            raise ValueError(f"expected {name} of at most {LARGEST}, got {count}")

    def _refuse_seed(self) -> None:
        if not 0 <= self.seed < 2**32:
            bound = "of at least 0" if self.seed < 0 else f"below {2**32}"
            raise ValueError(f"expected seed {bound}, got {self.seed}")

    def _refuse_coefficient(self, name: str) -> None:
        given = self.coefficients[name]
        if not all(map(_is_coefficient, numbers(given))):
            raise ValueError(f"expected a finite {name}, got {given}")

    def _refuse_ramp(self, name: str) -> None:
        steps = self.ramps[name]
        if any(type(count) is not int or count < 1 for count in numbers(steps)):
            raise ValueError(f"expected a ramp of {name} over at least 1 step, got {steps}")
        if max(numbers(steps)) > LARGEST:
            raise ValueError(f"expected a ramp of {name} over at most {LARGEST}, got {steps}")


def run_settings(config: RunConfig, *, image_shape: ImageShape) -> dict[str, Any]:
    """All that a run is told, and the shape of its images, without which no model is built."""
    return {**dataclasses.asdict(config), "image_shape": list(image_shape)}


def write_config(
    path: Path,
    config: RunConfig,
    *,
    image_shape: ImageShape,
    per_epoch: int,
    images: Mapping[str, Any] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write a configuration as JSON, whole; makes the folder.

    Args:
        path: `run.json` in the folder of the run.
        config: configuration of the run.
        image_shape: `(h, w, c)` of the images it is trained on.
        per_epoch: steps of an epoch.
        images: which they are, as `jaxvae.runs.images` says it; None for unknown.
        origin: the run that it began with, as `jaxvae.runs.continuing` says it; None for none.

    Raises:
        OSError: if it cannot be written.
    """
    settings = {**run_settings(config, image_shape=image_shape), PER_EPOCH: per_epoch}
    known = {IMAGES: images, FROM: origin}
    write_settings(path, settings | {name: each for name, each in known.items() if each})


def parsed_config(
    settings: Mapping[str, Any], path: Path, *, trust: bool = False
) -> tuple[RunConfig, ImageShape]:
    """The configuration that `run_settings` made settings of, and the shape of the images.

    What stands beside them, such as which images they were, is for others.

    Args:
        settings: as they were read.
        path: path of the file that they were in.
        trust: whether code that they name outside of jaxvae, which runs when the model is built,
            may run.

    Raises:
        ValueError: for settings of something else, and for those that name other code where it is
            not trusted.
    """
    fields = {name: value for name, value in settings.items() if name not in _BESIDE}
    try:
        height, width, channels = image_shape = tuple(fields.pop("image_shape"))
        if not all(type(side) is int and 1 <= side <= LARGEST for side in image_shape):
            raise ValueError(f"image_shape {image_shape}")
        config = RunConfig(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected the settings of a run in {path}, got {error}") from error
    foreign = filter(is_foreign, (config.network, config.likelihood, config.objective))
    for name in () if trust else foreign:
        raise ValueError(
            f"expected names of jaxvae in {path}, got {name}, code that would be run; only where "
            "you know whose it is, allow it with --trust"
        )
    return config, (height, width, channels)


@cache
def _hints() -> dict[str, Any]:
    # A sweep has thousands of configurations.
    return get_type_hints(RunConfig)


def _refuse_beyond_float32(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"expected {name} finite and positive, got {value}")
    if not TINY <= value <= HUGE:
        raise ValueError(
            f"expected {name} of {TINY:.2g} to {HUGE:.2g}, as float32 has them, got {value}"
        )


def _refuse_other_kinds(name: str, value: Any, hint: Any) -> None:
    alternatives = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(each) or each for each in alternatives)
    kinds += (int,) * (float in kinds)
    if isinstance(value, bool) != (hint is bool) or not isinstance(value, kinds):
        among = " or ".join(kind.__name__ for kind in kinds if kind is not NoneType)
        raise ValueError(f"expected {name} as {among}, got {value!r}")


def numbers(value: Any) -> Sequence[Any]:
    """A setting that is one number, or one for every layer, as a sequence."""
    return value if isinstance(value, Sequence) else (value,)


def word(value: Any, between: str = ",") -> str:
    """The value of a setting as `jaxvae train` is told it, or with something else between numbers.

    Those of `jaxvae sweep` have a slash there: a comma is between values.
    """
    if isinstance(value, list | tuple):
        return between.join(word(each, between) for each in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)


def _is_coefficient(value: Any) -> bool:
    """A number of float32, or None for a layer without one."""
    return value is None or (type(value) in (int, float) and abs(value) <= HUGE)
