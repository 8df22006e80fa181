"""Signs that a layer of a hierarchy carries no information, or all of it, and what to try."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxvae.analysis.evaluation import Evaluation
from jaxvae.analysis.shuffle import ShuffleEffect
from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_float64
from jaxvae.models.stochastic_layers import layer_names
from jaxvae.runs.config import RunConfig
from jaxvae.training.images import as_images
from jaxvae.typing import ArrayLike

_LEAST_RATE = 0.01
_LARGEST_SHARE = 0.95
# Rounding may leave so many nats less than nothing of a layer without any.
_ROUNDING = 1e-6


class CollapseWarning(NamedTuple):
    """One sign of a collapsed layer.

    Attributes:
        layer: its name, from `z_L`, the top, to `z_1`.
        condition: what is the case.
        measured: the number that shows it, in the units of the condition.
        advice: what to try.
    """

    layer: str
    condition: str
    measured: float
    advice: str

    def __str__(self) -> str:
        """The warning as a sentence."""
        return f"{self.layer}: {self.condition} ({self.measured:.3g}): {self.advice}"


def collapse_warnings(
    evaluation: Evaluation,
    *,
    sizes: int | Sequence[int],
    shuffle: ShuffleEffect | None = None,
    betas: Sequence[float] | None = None,
    variance: float | None = None,
    eigenvalues: Float[np.ndarray, " d"] | None = None,
) -> tuple[CollapseWarning, ...]:
    """Warnings of layers that carry no information, or all of it, in a trained hierarchy.

    There is a warning for a layer if

    - its rate is below 0.01 nats per dimension;
    - none of its units is active;
    - it is ignored: shuffling its samples between images costs at most a standard error more
      (`ShuffleEffect.cost`, which counts the rates of the layers below: where images are
      generated from z_1 alone, D is blind to the layers above). This finds a layer that is not
      used in five of six cases;
    - it is the bottom one of several, and has more than 95% of the total rate;
    - `beta_l s2` is at least the largest eigenvalue of the covariance of the data: under a
      Gaussian likelihood of variance s2, the best linear model then spends no rate on it
      (`water_filling`). A nonlinear one may.

    Call it after warm-up: while beta grows, low rates are no sign of collapse.

    Args:
        evaluation: result of `evaluate`.
        sizes: `[l]`, latent dimensions of every layer, from the top. Of one layer, a number will
            do.
        shuffle: result of `shuffle_effect`; None leaves this sign out.
        betas: `[l]`, the weight of the rate of every layer, from the top.
        variance: s2 of a Gaussian likelihood with one fixed variance.
        eigenvalues: those of the covariance of the pixels, in the units of s2: pixels in [0, 1].
            Either all of the last three are given, for the last sign, or none of them.

    Returns:
        Warnings, by layer from the top and in the order above; empty where all is well. Of one
        image no unit is active: give an evaluation of many.

    Raises:
        ValueError: for numbers that are not one a layer, rates and betas that are not finite or
            are negative, sizes that are not whole and positive, costs of shuffling that are not
            finite or whose errors are not, a variance that is not positive and finite,
            eigenvalues that are not finite, and some but not all of `betas`, `variance` and
            `eigenvalues`.

    Reference: Xiao and Bamler (2023); Burda, Grosse and Salakhutdinov (2016); Lucas,
    Tucker, Grosse and Norouzi (2019).
    """
    rates = _checked_rates(evaluation.rates.value)
    dimensions = _checked_sizes(sizes, len(rates))
    weights = _checked_weights(betas, variance, eigenvalues, len(rates))
    costs = _checked_costs(shuffle, len(rates))
    warnings: list[CollapseWarning] = []
    for index, layer in enumerate(layer_names(len(rates))):
        rate, size = rates[index], dimensions[index]
        signs = [
            _low_rate(rate / size),
            _inactive(int(evaluation.active_units[index]), size),
            None if costs is None else _unread(costs, index),
            _dominant(rates) if index == len(rates) - 1 else None,
            None if weights is None else _too_heavy(weights, index),
        ]
        warnings += [CollapseWarning(layer, *sign) for sign in signs if sign is not None]
    return tuple(warnings)


def unused_latents(evaluation: Evaluation) -> str | None:
    """A sentence that says so, and what to try, where no latent of a VAE is active; else None.

    Args:
        evaluation: result of `evaluate` for a VAE. One image tells nothing, so gives None.

    Raises:
        ValueError: for a hierarchy of several layers.
    """
    (types,) = evaluation.latent_types
    if evaluation.active_units.any() or not any(map(np.any, types)):
        return None
    rate = float(np.sum(evaluation.rates.value))
    spent = f" It spends {rate:.1f} nats on latents that are the same for all images." * (rate > 1)
    return (
        f"None of the {len(types.passive)} latents is active: the model ignores them, as after too "
        f"few steps of training or with too large a beta.{spent} Train for more --epochs, with a "
        "larger --learning-rate, or with a lower beta."
    )


def collapsed_latents(evaluation: Evaluation) -> tuple[Bool[np.ndarray, " k"], ...]:
    """Which latents of every layer have collapsed: their mean rate is below 0.01 nats.

    A rate is the KL divergence of the posterior from the prior, so that the posterior of these is
    the prior for nearly every image. One with the variance of the prior (`latent_types`) may have a
    large rate by its mean, and carries that much.

    Args:
        evaluation: result of `evaluate`.

    Returns:
        Masks `[k]`, from the top layer; False for a rate of NaN.
    """
    return tuple(rates < _LEAST_RATE for rates in evaluation.number_rates)


def rate_warnings(
    rates: float | Sequence[float] | Float[np.ndarray, " l"], *, sizes: int | Sequence[int]
) -> tuple[CollapseWarning, ...]:
    """The warnings of `collapse_warnings` that need the rates alone, to watch training by.

    Args:
        rates: `[l]`, nats per image, from the top; those of a batch will do.
        sizes: `[l]`, latent dimensions of every layer, from the top. Of one layer, a number will
            do as its rate and its size.

    Raises:
        ValueError: for rates that are not finite or are negative, and sizes that are not one
            positive whole number a layer.
    """
    nats = _checked_rates(rates)
    names = layer_names(len(nats))
    shares = nats / _checked_sizes(sizes, len(nats))
    signs = [(name, _low_rate(share)) for name, share in zip(names, shares, strict=True)]
    signs.append((names[-1], _dominant(nats)))
    return tuple(CollapseWarning(name, *sign) for name, sign in signs if sign is not None)


def against_data(
    config: RunConfig, betas: Sequence[float] | None, largest: Callable[[], float]
) -> dict[str, Any]:
    """The last arguments of `collapse_warnings` for a run, whose likelihood has to be Gaussian.

    Args:
        config: configuration of the run.
        betas: the weight of the rate of every layer, where known.
        largest: computes the `largest_eigenvalue` of the data.
    """
    if config.likelihood != "gaussian" or betas is None:
        return {}
    deviation = float(config.likelihood_options.get("standard_deviation", 1.0))
    return {"betas": betas, "variance": deviation**2, "eigenvalues": np.array([largest()])}


def largest_eigenvalue(images: UInt8[ArrayLike, "n h w c"]) -> float:
    """The largest eigenvalue of the covariance of pixels in [0, 1], for `collapse_warnings`.

    Args:
        images: uint8, at least two.

    Returns:
        The eigenvalue, in squared units of the pixels; the covariance divides by n - 1. 0 for
        images that are all the same.

    Raises:
        ValueError: for fewer than two images, and what is no uint8 `[n, h, w, c]`.
    """
    images = as_images(images, None)
    if len(images) < 2:
        raise ValueError(f"expected at least 2 images for a covariance, got {len(images)}")
    pixels = np.asarray(images).reshape(len(images), -1) / 255
    centered = pixels - pixels.mean(axis=0)
    # The two products have the same eigenvalues but for zeros.
    wide = centered.shape[0] < centered.shape[1]
    product = centered @ centered.T if wide else centered.T @ centered
    return float(np.linalg.eigvalsh(product)[-1]) / (len(images) - 1)


class _Weights(NamedTuple):
    betas: Float[np.ndarray, " l"]
    variance: float
    largest: float


_Sign = tuple[str, float, str] | None


def _low_rate(nats: float) -> _Sign:
    if nats >= _LEAST_RATE:
        return None
    return (
        f"the rate is below {_LEAST_RATE} nats per dimension",
        float(nats),
        "lower its beta, let its beta grow from 0 over the first epochs, give it free nats, or "
        "make it smaller",
    )


def _inactive(units: int, size: int) -> _Sign:
    if units > 0:
        return None
    return (
        f"none of {size} units is active",
        0.0,
        "lower its beta, or let its beta grow from 0 over the first epochs; if that does not "
        "help, leave the layer out",
    )


def _unread(costs: list[Float[np.ndarray, " l"]], index: int) -> _Sign:
    cost, error = (float(field[index]) for field in costs)
    # Exactly 0 with an error of 0 where nothing reads the layer.
    if cost > error:
        return None
    return (
        "it is ignored: shuffling its samples between images hardly changes the loss",
        cost,
        "the layers below and the decoder do not use it: lower its beta against theirs, make "
        "them smaller, or weaken the decoder",
    )


def _dominant(rates: Float[np.ndarray, " l"]) -> _Sign:
    total = rates.sum()
    if len(rates) < 2 or not total > 0 or rates[-1] <= _LARGEST_SHARE * total:
        return None
    return (
        f"it has more than {_LARGEST_SHARE:.0%} of the total rate",
        float(rates[-1] / total),
        "raise its beta or lower those above it, make it smaller, or use one layer",
    )


def _too_heavy(weights: _Weights, index: int) -> _Sign:
    level = float(weights.betas[index] * weights.variance)
    if level < weights.largest:
        return None
    return (
        "beta times the variance of the likelihood is not below the largest eigenvalue of the "
        f"data, {weights.largest:.3g}",
        level,
        f"the best linear model would spend no rate on it: lower its beta below "
        f"{weights.largest / weights.variance:.3g}, or lower the variance of the likelihood",
    )


def _checked_weights(
    betas: Sequence[float] | None,
    variance: float | None,
    eigenvalues: Float[np.ndarray, " d"] | None,
    layers: int,
) -> _Weights | None:
    if betas is None and variance is None and eigenvalues is None:
        return None
    if betas is None or variance is None or eigenvalues is None:
        named = {"betas": betas, "variance": variance, "eigenvalues": eigenvalues}
        missing = ", ".join(name for name, value in named.items() if value is None)
        raise ValueError(f"expected betas, variance and eigenvalues together, got no {missing}")
    spectrum, weights = as_float64(eigenvalues), as_float64(betas)
    if not 0 < variance < np.inf or spectrum.ndim != 1 or not len(spectrum):
        raise ValueError(
            "expected a finite variance above 0 and eigenvalues of shape [d], got "
            f"variance={variance} and eigenvalues of shape {spectrum.shape}"
        )
    if not np.isfinite(spectrum).all():
        raise ValueError("expected finite eigenvalues, got NaN or infinity")
    if weights.shape != (layers,) or not _are_nonnegative(weights):
        raise ValueError(f"expected {layers} finite betas of at least 0, got {betas}")
    return _Weights(weights, float(variance), float(spectrum.max()))


def _checked_rates(rates: float | Sequence[float] | ArrayLike) -> Float[np.ndarray, " l"]:
    nats = np.atleast_1d(as_float64(rates))
    if nats.ndim != 1 or not len(nats) or not _are_nonnegative(nats, _ROUNDING):
        raise ValueError(f"expected finite rates [l] of at least 0, got {rates}")
    return nats


def _checked_sizes(sizes: int | Sequence[int], layers: int) -> list[int]:
    refusal = f"expected {layers} whole sizes of at least 1, got {sizes}"
    given = np.atleast_1d(sizes)
    if given.shape != (layers,):
        raise ValueError(refusal)
    return [as_count(size, refusal, least=1) for size in given]


def _checked_costs(
    shuffle: ShuffleEffect | None, layers: int
) -> list[Float[np.ndarray, " l"]] | None:
    """The costs of shuffling and their errors."""
    if shuffle is None:
        return None
    costs = [as_float64(each) for each in shuffle.cost]
    if any(each.shape != (layers,) or not np.isfinite(each).all() for each in costs):
        raise ValueError(
            f"expected {layers} finite costs of shuffling with finite errors, got {shuffle.cost}"
        )
    return costs


def _are_nonnegative(values: Float[np.ndarray, " l"], rounding: float = 0.0) -> bool:
    return bool(np.isfinite(values).all() and (values >= -rounding).all())
