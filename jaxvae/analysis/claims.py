"""Two claims about a sweep over bottlenecks, tested: a second peak of the ID, a second phase."""

import numpy as np
from jaxtyping import Float

from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.evidence import Evidence, somewhere_all
from jaxvae.geometry.arrays import as_float64
from jaxvae.metrics.dimension import OVERLAP

# Two KL divergences below so many nats are the same.
_LEAST_KL = 0.01


def second_peak(decoder: Estimate, against: Estimate) -> Evidence:
    """Whether a layer of the decoder has a larger ID than all that it is compared with.

    Compared with the input, the sample that enters the decoder and the output, such a layer is
    the second peak of a double hunchback. Above the mean alone it would be no peak: the noise
    of the sample has a dimension too, which the decoder may just pass on.

    The dimension of a layer of the decoder is never truly above that of the sample, from which it
    is computed. What is compared are estimates from finitely many points, which a bent layer
    raises: an untrained decoder may have such a peak too (simulated, `docs/statistics.md`).

    The errors are the spread over seeds and the standard errors of the dimensions over the
    images, widened by 1.2 because neighborhoods overlap. Those of two layers are taken as
    independent, although the images are the same: limits are too wide rather than too narrow.

    Args:
        decoder: IDs with standard errors, as `two_nn` gives them, `[k, s, c]` by bottleneck,
            seed and layer; NaN where a layer has none.
        against: the same of the layers that it is compared with, `[k, s, r]`.

    Returns:
        `Evidence`; `place` is the layer of the decoder, shares are of the largest of the
        others. A layer with NaN is never shown to be a peak, nor not to be one. With one seed
        nothing is decided. Simulated error rates are in `docs/statistics.md`.

    Raises:
        ValueError: for shapes that do not match, no layer, an ID that is not positive, and an
            infinite one or error.

    Reference: Camboulin, Doimo and Glielmo (2024).
    """
    decoder, against = (Estimate(*map(as_float64, each)) for each in (decoder, against))
    for values, errors in (decoder, against):
        fine = values.ndim == 3 and values.shape == errors.shape
        if not fine or values.size == 0 or values.shape[:2] != against.value.shape[:2]:
            raise ValueError(
                "expected dimensions and errors of one shape [bottlenecks, seeds, layers], with "
                f"the same bottlenecks and seeds for all layers, got dimensions of shape "
                f"{values.shape} with errors of shape {errors.shape}"
            )
        if np.any(values <= 0) or np.isinf(values).any() or np.isinf(errors).any():
            raise ValueError(
                "expected positive and finite dimensions with finite errors, or NaN, got "
                f"dimensions from {np.nanmin(values)} to {np.nanmax(values)} with errors up to "
                f"{np.nanmax(errors)}"
            )
    logs, others = (np.log(each.value) for each in (decoder, against))
    # In a seed; the images are those of all seeds.
    squares, other_squares = (
        np.mean(np.square(OVERLAP * each.stderr / each.value), axis=1)
        for each in (decoder, against)
    )
    error = np.sqrt(squares[:, :, None] + other_squares[:, None])
    return somewhere_all(logs[..., None] - others[:, :, None], known_error=error)


def two_phases(
    imbalance: Float[np.ndarray, "k s e"],
    kl: Float[np.ndarray, "k s e"],
    *,
    tolerance: float = 0.05,
) -> Evidence:
    """Whether training has a second phase, in which Delta rises and KL falls.

    That is an epoch between the first and the last measured one such that, until it,
    Delta(output -> input) falls and KL rises, and from it to the end Delta rises and KL falls:
    four changes, each by more than the tolerance.

    Args:
        imbalance: Delta(output -> input) by bottleneck, seed and epoch, positive.
        kl: KL divergences, nats; below .01 they count as .01.
        tolerance: the smallest share by which larger of two values exceeds the smaller one
            that counts as a change, above 0.

    Returns:
        `Evidence`; `place` is the place of the epoch among all, shares are those of the
        smallest change. NaN of a model that failed decides nothing, nor does one seed.
        Simulated error rates are in `docs/statistics.md`.

    Raises:
        ValueError: for shapes that do not match, fewer than three epochs, imbalances that are
            not positive, infinite imbalances and KL, and a tolerance that is not positive.

    Reference: Camboulin, Doimo and Glielmo (2024).
    """
    imbalance, kl = as_float64(imbalance), as_float64(kl)
    shape = imbalance.shape
    if shape != kl.shape or len(shape) != 3 or 0 in shape or shape[-1] < 3:
        raise ValueError(
            "expected imbalances and KL [bottlenecks, seeds, epochs >= 3], got shapes "
            f"{shape} and {kl.shape}"
        )
    if np.any(imbalance <= 0) or not tolerance > 0:
        raise ValueError(
            "expected positive imbalances and a positive tolerance, got a least imbalance of "
            f"{np.nanmin(imbalance)} and tolerance={tolerance}"
        )
    if np.isinf(imbalance).any() or np.isinf(kl).any():
        raise ValueError("expected finite imbalances and KL, or NaN, got an infinite one")
    falling, rising = -np.log(imbalance), np.log(np.maximum(kl, _LEAST_KL))
    changes = [each[..., 1:-1] - each[..., [end]] for each in (falling, rising) for end in (0, -1)]
    evidence = somewhere_all(np.stack(changes, axis=-1), least=float(np.log1p(tolerance)))
    return evidence._replace(place=evidence.place + 1)
