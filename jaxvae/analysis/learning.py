"""The epochs at which layers are learned, and whether encoders are learned before decoders.

A layer is compared with its own state at the end of training. Two things are in the way of
reading off when it was learned: an untrained layer may be like the trained one already, and
trained ones differ by what training cannot decide. What was there at first is no learning, and
a replicate of the last epoch, with other batches, says what cannot be told from the end. And a
similarity is no even measure of the way to the end: which half of a network is first is only said
where it is so by the similarity and by the tangent of its angle (`tangent_scale`).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.analysis.estimate import p_value_of_mean
from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_float64

# Differences of similarities below this are of no interest, however well they are measured.
RESOLUTION = 1e-3
# A layer whose untrained state is not so many times as far from the end as replicates are has
# nothing to learn that could be told from noise.
_FLOORS = 2.0
# Smaller similarities count as this one on the scale of tangents, which has no end.
_LEAST_COSINE = 0.05
# A half is named where p is below this: a little less than .05, because leads of layers that have
# hardly more to learn than noise are not quite Gaussian.
_LARGEST_P = 0.03


class LearningEpochs(NamedTuple):
    """The epochs at which the layers of some models were learned.

    Attributes:
        epoch: mean epoch of learning; NaN where there was nothing to learn, or undefined.
        nothing: where the untrained layer was like the end already.
        undefined: where a similarity is NaN, as that of a constant layer is, or infinite.
    """

    epoch: Float[np.ndarray, "m l"]
    nothing: Bool[np.ndarray, "m l"]
    undefined: Bool[np.ndarray, "m l"]


class Order(NamedTuple):
    """Which half of the networks was learned first, and the test of it.

    Attributes:
        encoder: models whose encoder was.
        decoder: models whose decoder was.
        ties: models whose halves were there at the same epoch.
        undefined: models of which a half has no epoch.
        lead: epochs by which the encoder was earlier, mean over the seeds; negative where it was
            later, NaN without any.
        p_value: probability of a lead so far from 0 if there were none, in any of the tests; NaN
            for fewer than two seeds.
        seeds: how many it is taken over.
    """

    encoder: int
    decoder: int
    ties: int
    undefined: int
    lead: float
    p_value: float
    seeds: int

    @property
    def first(self) -> str | None:
        """The half that is first, where p < .03; None where that is not decided."""
        if not self.p_value < _LARGEST_P:
            return None
        return "encoder" if self.lead > 0 else "decoder"


def tangent_scale(similarity: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Similarities on another scale, where 1 - similarity is the squared tangent of their angle.

    Linear CKA is the cosine of the angle between the inner products of all pairs of examples in one
    layer and those in the other. If a layer is its state at the end plus something else that is
    unrelated to it, the tangent is the size of the inner products of that other part, relative to
    those of the end. CKA itself tells that size unevenly: near the end 1 - CKA falls with its
    square, and far from the end it hardly falls at all. So of two layers that lose the other part
    at the same pace, by CKA the one that begins nearer to its end is the faster one. The square
    adds up over parts that are unrelated, such as the noise of replicates.

    Args:
        similarity: cosines, as CKA is; below .05 they count as .05, since the tangent has no end.
            NaN and infinities stay.

    Returns:
        `2 - 1 / similarity^2`: 1 at the end, -398 at the least.
    """
    similarity = as_float64(similarity)
    cosine = np.clip(similarity, _LEAST_COSINE, 1.0)
    return np.where(np.isfinite(similarity), 2 - 1 / cosine**2, similarity)


def learned_share(
    similarity: Float[np.ndarray, "e m l"], replicate: Float[np.ndarray, "m l"]
) -> Float[np.ndarray, "e m l"]:
    """The share of the way from the untrained layer to its end that is done at every epoch.

    `(s(e) - s(0)) / (r - s(0))`, s(e) being the similarity of a layer at epoch e to its state at
    the end, and r that of the model's own replicate: 0 before training, about 1 where the layer
    differs from the end no more than the replicate does, and 1 at the end. Of a replicate that
    happens to be farther from the end than half as far as the untrained layer, half as far counts:
    r - s(0) is (1 - s(0)) / 2 at least. (One r for all models, their mean, would be an error that
    they share, which a test over seeds cannot see.)

    NaN where there was nothing to learn: where the untrained layer is not twice as far from the
    end, 1 - s(0), as replicates are, 1 - r in the mean over the models, or closer than
    `RESOLUTION`. NaN too where any similarity of the layer is, or is infinite.

    Args:
        similarity: similarity of every model and layer to its state at the end; the first epoch is
            the untrained network, the last one the end.
        replicate: similarity of the end of a replicate to the end, for models whose replicates
            should be as far from it, such as the seeds of an objective.
    """
    similarity, replicate = as_float64(similarity), as_float64(replicate)
    counted = ~_is_undefined(similarity, replicate) & ~_has_nothing(similarity, replicate)
    least = (1 - similarity[0]) / _FLOORS
    distance = np.where(counted, np.maximum(replicate - similarity[0], least), np.nan)
    share = (similarity - similarity[0]) / distance
    share[-1] = np.where(counted, 1.0, np.nan)
    return share


def learning_epochs(
    epochs: Sequence[float],
    similarity: Float[np.ndarray, "e m l"],
    replicate: Float[np.ndarray, "m l"],
) -> LearningEpochs:
    """The mean epoch at which every layer was learned.

    The area between `learned_share` and 1, linear between measured epochs: a share that is
    learned at epoch e counts with e. Unlike the epoch at which a threshold is passed for good,
    it is not later for a layer whose similarity fluctuates more. Fluctuations may put it before the
    first epoch or after the last. It is not moved to these, since that would make layers that
    fluctuate more later than others in the mean.

    Args:
        epochs: ascending from 0.
        similarity: see `learned_share`.
        replicate: see `learned_share`.

    Raises:
        ValueError: for shapes that do not match, no epoch, and epochs that are not finite or do
            not ascend.
    """
    similarity, replicate = as_float64(similarity), as_float64(replicate)
    _refuse_epochs(epochs, similarity)
    if similarity.ndim != 3 or similarity.shape[1:] != replicate.shape:
        raise ValueError(
            "expected similarities [epochs, models, layers] and replicates [models, layers], got "
            f"shapes {similarity.shape} and {replicate.shape}"
        )
    left = 1 - learned_share(similarity, replicate)
    steps = np.diff(as_float64(epochs))[:, None, None]
    undefined = _is_undefined(similarity, replicate)
    area = np.sum((left[1:] + left[:-1]) / 2 * steps, axis=0)
    return LearningEpochs(area, _has_nothing(similarity, replicate) & ~undefined, undefined)


def learning_order(
    encoder: Float[np.ndarray, " m"],
    decoder: Float[np.ndarray, " m"],
    seeds: Int[np.ndarray, " m"],
    conditions: Sequence[Hashable] | None = None,
    *,
    tests: int = 1,
) -> Order:
    """Which half of the networks was learned first, and whether that is more than chance.

    Models of the same seed, of other objectives or strengths, begin with the same parameters:
    they are averaged, and the test is paired over seeds, Student's t of decoder minus encoder.
    It is two-sided. How often it is wrong is simulated (`docs/statistics.md`). Where all seeds have
    the same lead, the p value is 0, or 1 for no lead.

    So that seeds differ in nothing else, the lead is taken of the conditions that have one in every
    seed; a seed without any is left out. The counts are of all models.

    Args:
        encoder: epoch of every model; NaN or infinite where it has none.
        decoder: the same.
        seeds: seed of every model.
        conditions: what else models differ in, such as the objective and its strength; None where
            that is nothing.
        tests: how many such conclusions are drawn; the p value is multiplied by it (Bonferroni).

    Raises:
        ValueError: for lengths that differ, seeds that are no whole numbers, and a number of tests
            that is not whole or below 1.
    """
    tests = as_count(tests, f"expected a whole number of tests of at least 1, got {tests}", least=1)
    encoder, decoder = as_float64(encoder), as_float64(decoder)
    conditions = [None] * len(seeds) if conditions is None else conditions
    shapes = [encoder.shape, decoder.shape, np.shape(seeds), (len(conditions),)]
    if encoder.ndim != 1 or any(shape != encoder.shape for shape in shapes):
        raise ValueError(
            "expected encoder, decoder, seeds and conditions of one length [m], got shapes "
            f"{', '.join(map(str, shapes))}"
        )
    if len(seeds) and not np.issubdtype(np.asarray(seeds).dtype, np.integer):
        raise ValueError(f"expected whole numbers as seeds, got {np.asarray(seeds).dtype}")
    either = np.stack([encoder, decoder])
    encoder, decoder = np.where(np.isfinite(either), either, np.nan)
    leads = decoder - encoder
    tie, known = np.isclose(leads, 0, atol=1e-6), ~np.isnan(leads)
    leads = np.where(tie, 0.0, leads)
    by_seed = _leads_of_seeds(leads, seeds, conditions)
    return Order(
        encoder=int(np.sum(leads > 0)),
        decoder=int(np.sum(leads < 0)),
        ties=int(np.sum(tie)),
        undefined=int(np.sum(~known)),
        lead=float(by_seed.mean()) if len(by_seed) else np.nan,
        p_value=float(np.minimum(1, tests * p_value_of_mean(by_seed))),
        seeds=len(by_seed),
    )


def of_both(order: Order, other: Order) -> Order:
    """An order with the p-value of a lead that it and another one have in common.

    The two are of the same models, by two scales of similarity, and neither is known to be even. A
    half is first if it is by both: the p-value is the larger one (an intersection-union test,
    Berger 1982), and 1 where they do not have the same half first. NaN where either is.
    """
    p_value = float(np.maximum(order.p_value, other.p_value))
    same = np.isnan(p_value) or order.lead * other.lead > 0
    return order._replace(p_value=p_value if same else 1.0)


def convergence_epoch(
    epochs: Sequence[float],
    similarity: Float[np.ndarray, "epochs *rest"],
    *,
    threshold: float = 0.9,
) -> Float[np.ndarray, "*rest"]:
    """The epoch from which on a layer stays as similar to its final state.

    Linear between measured epochs, so no finer than they are. The first epoch where the
    similarity never is below the threshold; NaN where it is NaN or infinite, or ends below.

    Args:
        epochs: ascending.
        similarity: to the final state, at every epoch.
        threshold: what counts as converged.

    Raises:
        ValueError: for lengths that differ, and epochs that do not ascend.
    """
    epochs_as_floats, similarity = as_float64(epochs), as_float64(similarity)
    _refuse_epochs(epochs_as_floats.tolist(), similarity)
    columns = np.reshape(similarity, (len(epochs_as_floats), -1)).T
    crossings = [_crossing(epochs_as_floats, column, threshold) for column in columns]
    return np.array(crossings).reshape(np.shape(similarity)[1:])


def _crossing(
    epochs: Float[np.ndarray, " e"], similarity: Float[np.ndarray, " e"], threshold: float
) -> float:
    if not np.isfinite(similarity).all():
        return float("nan")
    below = np.flatnonzero(similarity < threshold)
    if not len(below):
        return float(epochs[0])
    last = below[-1]
    if last == len(epochs) - 1:
        return float("nan")
    low, high = similarity[last], similarity[last + 1]
    share = (threshold - low) / (high - low)
    return float(epochs[last] + share * (epochs[last + 1] - epochs[last]))


def _has_nothing(
    similarity: Float[np.ndarray, "e m l"], replicate: Float[np.ndarray, "m l"]
) -> Bool[np.ndarray, "m l"]:
    """Which layers had nothing to learn, over all models: one replicate may be close by chance."""
    known = np.isfinite(replicate)
    distance = np.where(known, 1 - replicate, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return 1 - similarity[0] <= np.maximum(_FLOORS * distance, RESOLUTION)


def _is_undefined(
    similarity: Float[np.ndarray, "e m l"], replicate: Float[np.ndarray, "m l"]
) -> Bool[np.ndarray, "m l"]:
    return ~(np.isfinite(similarity).all(axis=0) & np.isfinite(replicate))


def _leads_of_seeds(
    leads: Float[np.ndarray, " m"], seeds: Int[np.ndarray, " m"], conditions: Sequence[Hashable]
) -> Float[np.ndarray, " s"]:
    """Mean over the conditions that are known in every seed in which any is."""
    by_seed: dict[int, dict[Hashable, list[float]]] = {}
    for lead, seed, condition in zip(leads, seeds, conditions, strict=True):
        if not np.isnan(lead):
            by_seed.setdefault(int(seed), {}).setdefault(condition, []).append(lead)
    every = list(by_seed.values())
    shared = [one for one in every[0] if all(one in seed for seed in every)] if every else []
    means = [[np.mean(seed[one]) for one in shared] for seed in every if shared]
    return np.array([np.mean(seed) for seed in means])


def _refuse_epochs(epochs: Sequence[float], similarity: Float[np.ndarray, "e *rest"]) -> None:
    known = as_float64(epochs)
    ascends = np.isfinite(known).all() and np.all(np.diff(known) > 0)
    if len(known) != len(similarity) or len(known) == 0 or not ascends:
        raise ValueError(
            f"expected finite, ascending epochs for {len(similarity)} similarities, at least one, "
            f"got {list(epochs)}"
        )
