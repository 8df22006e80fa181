"""Signs that a layer of a hierarchy carries nothing, or everything, and what to try."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxvae.analysis.evaluation import Evaluation
from jaxvae.analysis.exchange import ShuffleEffect
from jaxvae.geometry.arrays import as_float64
from jaxvae.models.hvae import layer_names
from jaxvae.training.images import as_images
from jaxvae.typing import ArrayLike

_LEAST_RATE = 0.01
_LARGEST_SHARE = 0.95


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
        """As a sentence."""
        return f"{self.layer}: {self.condition} ({self.measured:.3g}): {self.advice}"


def collapse_warnings(
    evaluation: Evaluation,
    *,
    sizes: Sequence[int],
    shuffle: ShuffleEffect | None = None,
    betas: Sequence[float] | None = None,
    variance: float | None = None,
    eigenvalues: Float[np.ndarray, " d"] | None = None,
) -> tuple[CollapseWarning, ...]:
    """What in the numbers of a trained hierarchy says that its layers are ill used.

    A layer is warned of where

    - its rate is below 0.01 nats per dimension;
    - none of its units is active;
    - it is ignored: swapping its sample between images costs at most a standard error more
      (`ShuffleEffect.cost`, which counts the rates below: where images are generated from
      z_1 alone, D is blind to the layers above); of a useless layer that is seen five times
      in six;
    - it is the bottom one of several, and has more than 95% of the total rate;
    - `beta_l s2` is at least the largest eigenvalue of the covariance of the data: under a
      Gaussian likelihood of variance s2, the best linear model then spends no rate on it
      (`water_filling`). A nonlinear one may.

    Ask after warm-up: while beta grows, low rates are no sign.

    Args:
        evaluation: of `evaluate`.
        sizes: `[l]`, numbers in every layer, from the top.
        shuffle: of `shuffle_effect`; None leaves this sign out.
        betas: `[l]`, the price of the rate of every layer, from the top.
        variance: s2 of a Gaussian likelihood with one fixed variance.
        eigenvalues: of the covariance of the pixels, in the units of s2: pixels in [0, 1].
            The sign of the price needs all of the last three, or none.

    Returns:
        Warnings, by layer from the top and in the order above; empty where all is well.

    Raises:
        ValueError: for numbers that are not one a layer, rates that are not finite, sizes
            and a variance that are not positive, and some but not all of `betas`,
            `variance` and `eigenvalues`.

    Reference: Xiao and Bamler (2023); Burda, Grosse and Salakhutdinov (2016); Lucas,
    Tucker, Grosse and Norouzi (2019).
    """
    rates = np.atleast_1d(evaluation.rates.value)
    prices = _checked_prices(betas, variance, eigenvalues)
    _refuse_other_layers(rates, sizes, shuffle, prices)
    found: list[CollapseWarning] = []
    for place, layer in enumerate(layer_names(len(rates))):
        rate, size = rates[place], sizes[place]
        signs = [
            _low_rate(rate / size),
            _inactive(int(evaluation.active_units[place]), size),
            None if shuffle is None else _unread(shuffle, place),
            _dominant(rates) if place == len(rates) - 1 else None,
            None if prices is None else _too_expensive(prices, place),
        ]
        found += [CollapseWarning(layer, *sign) for sign in signs if sign is not None]
    return tuple(found)


def rate_warnings(
    rates: Sequence[float] | Float[np.ndarray, " l"], *, sizes: Sequence[int]
) -> tuple[CollapseWarning, ...]:
    """Those of `collapse_warnings` that the rates alone give: to watch training by.

    Args:
        rates: `[l]`, nats per image, from the top; of a batch will do.
        sizes: `[l]`, numbers in every layer, from the top.

    Raises:
        ValueError: for rates that are not finite, and sizes that are not one a layer.
    """
    nats = as_float64(rates)
    _refuse_other_layers(nats, sizes, None, None)
    names = layer_names(len(nats))
    shares = nats / np.asarray(sizes)
    signs = [(name, _low_rate(share)) for name, share in zip(names, shares, strict=True)]
    signs.append((names[-1], _dominant(nats)))
    return tuple(CollapseWarning(name, *sign) for name, sign in signs if sign is not None)


def largest_eigenvalue(images: UInt8[ArrayLike, "n h w c"]) -> float:
    """Of the covariance of pixels in [0, 1]: what the sign of the price compares with.

    Args:
        images: uint8, two at least. 0 for images that are all the same.

    Raises:
        ValueError: for fewer than two.
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


class _Prices(NamedTuple):
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
        "lower its beta, or let its beta grow from 0 over the first epochs; if it stays so, "
        "leave the layer out",
    )


def _unread(shuffle: ShuffleEffect, place: int) -> _Sign:
    cost, error = (float(np.atleast_1d(each)[place]) for each in shuffle.cost)
    # Exactly 0 with an error of 0 where nothing reads the layer.
    if not cost <= error:
        return None
    return (
        "it is ignored: swapping its sample between images hardly changes the cost",
        cost,
        "the layers below and the decoder do not read it: lower its beta against theirs, make "
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


def _too_expensive(prices: _Prices, place: int) -> _Sign:
    level = float(prices.betas[place] * prices.variance)
    if level < prices.largest:
        return None
    return (
        f"beta s2 is not below the largest eigenvalue of the data, {prices.largest:.3g}",
        level,
        f"no linear model would spend rate on it: lower its beta below "
        f"{prices.largest / prices.variance:.3g}, or the variance of the likelihood",
    )


def _checked_prices(
    betas: Sequence[float] | None,
    variance: float | None,
    eigenvalues: Float[np.ndarray, " d"] | None,
) -> _Prices | None:
    if betas is None and variance is None and eigenvalues is None:
        return None
    if betas is None or variance is None or eigenvalues is None:
        named = {"betas": betas, "variance": variance, "eigenvalues": eigenvalues}
        missing = ", ".join(name for name, value in named.items() if value is None)
        raise ValueError(f"expected betas, variance and eigenvalues together, got no {missing}")
    spectrum = as_float64(eigenvalues)
    if not variance > 0 or spectrum.ndim != 1 or not len(spectrum):
        raise ValueError(
            f"expected a variance above 0 and eigenvalues [d], got {variance} and shape "
            f"{spectrum.shape}"
        )
    if not np.isfinite(spectrum).all():
        raise ValueError("expected finite eigenvalues, got NaN or infinity")
    return _Prices(as_float64(betas), float(variance), float(spectrum.max()))


def _refuse_other_layers(
    rates: Float[np.ndarray, " l"],
    sizes: Sequence[int],
    shuffle: ShuffleEffect | None,
    prices: _Prices | None,
) -> None:
    if not np.isfinite(rates).all():
        raise ValueError(f"expected finite rates, got {rates}")
    if len(sizes) != len(rates) or min(sizes) < 1:
        raise ValueError(f"expected {len(rates)} sizes of at least 1, got {list(sizes)}")
    others = {
        "costs of exchange": None if shuffle is None else shuffle.cost.value,
        "betas": None if prices is None else prices.betas,
    }
    for name, values in others.items():
        if values is not None and np.shape(values) != rates.shape:
            raise ValueError(f"expected {len(rates)} {name}, got shape {np.shape(values)}")
