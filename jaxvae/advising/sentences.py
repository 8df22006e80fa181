"""The answer in sentences: the size, what is left, what to trust, and what ails the models."""

import math
from collections.abc import Sequence

import numpy as np

from jaxvae.advising.criteria import (
    UNKNOWN,
    Criterion,
    decided_bounds,
    delta_advice,
    delta_bounds,
    smallest_near_cheapest,
    used_latents,
)
from jaxvae.advising.data import DataDimension
from jaxvae.advising.length import improving_in_the_means, shown_to_improve
from jaxvae.advising.reading import HARDLY_ANYTHING, SweepReading
from jaxvae.analysis.advice import (
    MOST_COUNTED,
    MOST_LOST,
    TOLERANCE,
    Advice,
    keep_less_in_the_means,
    shown_to_keep_less,
)
from jaxvae.files.words import counted

# A model is overfitted where held-out images cost more than training images by this share of the
# rate.
_OVERFITTED = 0.2
# The chance that this is said of models that are not.
_ERROR = 0.05


def answer(reading: SweepReading, *, ending: str = "") -> str:
    """The first sentence: the size to use, or what is left.

    Args:
        reading: measurements of all models.
        ending: why training stopped where nothing is decided, as a sentence.
    """
    bounds, seeds = decided_bounds(reading), reading.imbalance.shape[1]
    confidence = f"95% confidence, {counted(seeds, 'seed')}"
    most = int(reading.sizes[-1])
    if reading.obstacle:
        return f"Not decided: {reading.obstacle}. {ending}".strip()
    by_delta = delta_bounds(reading)
    by_dimension = bounds.insufficient > by_delta.insufficient
    below = (
        f"the data have {bounds.insufficient + 1} dimensions or more"
        if by_dimension
        else f"{bounds.insufficient} is too small"
    )
    if bounds.sufficient is None:
        left = f"Sizes {bounds} remain" if ending else f"Not decided, sizes {bounds} remain"
        why = f" ({confidence})" if not by_dimension else ""
        why = f": {below}{why}" if bounds.insufficient else why
        return f"{ending} {left}{why}." if ending else f"{left}{why}. {_wanted(reading)}"
    few = f", as far as {reading.points:,} held-out images tell" if reading.has_few_images else ""
    level = (
        f"no larger one, up to {most}, lowers Δ(output→input) by more than {TOLERANCE:.0%} "
        f"({confidence})"
    )
    use = f"Use a bottleneck of {bounds.sufficient}{few}: {level}."
    if bounds.sufficient != by_delta.sufficient:
        because, but = _beyond_delta(reading, bounds.sufficient)
        left = "" if bounds.is_decided else f" Sizes {bounds} remain. {ending}".rstrip()
        return (
            f"Use a bottleneck of {bounds.sufficient}{few}: {because}. By Δ alone "
            f"{by_delta.sufficient} would do: {level}, {but}.{left}"
        )
    if bounds.is_decided:
        return f"{use} {below[0].upper()}{below[1:]}." if bounds.insufficient else use
    not_decided = f"Whether a smaller one is enough is not decided, sizes {bounds} remain"
    return f"{use} {not_decided}{f'; {below}' if bounds.insufficient else ''}. {ending}".strip()


def _beyond_delta(reading: SweepReading, size: int) -> tuple[str, str]:
    """Why a larger size is named than Delta asks for, and what that says about Delta."""
    if size == decided_bounds(reading).insufficient + 1:
        keeps = "so that the last dimensions change few neighbors, or the models do not keep them"
        return "the data have no fewer dimensions", keeps
    missed = "but what a size loses may change no neighbor among so few images"
    if size == smallest_near_cheapest(reading):
        higher = (
            "the negative ELBO of smaller ones is more than two standard errors above the lowest"
        )
        return higher, missed
    return f"models of {reading.sizes[-1]} latents use {used_latents(reading)}", missed


def disagreement(criteria: Sequence[Criterion], reading: SweepReading) -> str:
    """Which criterion to trust if they differ, and why; an empty text if no size is decided."""
    decides, *others = criteria
    if decides.size is None:
        return ""
    asked = [each for each in others if each.answer != UNKNOWN]
    apart = [each for each in asked if each.size != decides.size]
    if not apart:
        return "All criteria agree."
    named = "; ".join(f"{each.name} says {each.answer}" for each in apart)
    if reading.has_few_images:
        return (
            f"The criteria differ: {named}. On so few held-out images the {decides.name} may miss "
            "what a size loses, so that none of them is to be trusted alone: a larger size may be "
            "needed, and does no harm."
        )
    return (
        f"The criteria differ: {named}. Trust the {decides.name}: it alone asks whether "
        "reconstructions lose neighbors of the images, and its error rates are known. The others "
        "describe the latents of these models, which change with beta, the likelihood and training."
    )


def diagnoses(reading: SweepReading, dimension: DataDimension | None = None) -> list[str]:
    """Sentences on problems of the models or the data, each with advice; none if all is well.

    Args:
        reading: measurements of all models.
        dimension: dimension of the data, where it is known.
    """
    return [
        text
        for text in (
            _too_small(reading),
            _undertrained(reading),
            _worse(reading),
            without_active(reading) or _collapsed(reading, dimension),
            _overfitted(reading),
            _kept_less(reading, dimension),
            _below_dimension(reading, dimension),
            _few_images(reading),
            _failed(reading),
            _not_read(reading),
        )
        if text
    ]


def _wanted(reading: SweepReading) -> str:
    """What would decide the size, or may: of the seeds, if means and spread stay as they are."""
    if reading.imbalance.shape[1] == 1:
        return "One seed does not show how much trainings differ: train several seeds."
    if len(reading.sizes) == 1:
        return "One size has nothing to be compared with: train larger ones."
    advice = delta_advice(reading)
    if advice.seeds is not None:
        more = " or more" if advice.seeds == MOST_COUNTED else ""
        least = int(reading.sizes[0])
        which = "it"
        if least > decided_bounds(reading).insufficient + 1:
            which = f"between these sizes, and training smaller ones than {least} about those"
        given = "If the means and the spread of these seeds stay as they are"
        return f"{given}, about {advice.seeds}{more} seeds would decide {which}."
    return _wanted_beyond_seeds(reading, advice)


def _wanted_beyond_seeds(reading: SweepReading, advice: Advice) -> str:
    """What may decide the size where no number of seeds would with these means."""
    if shown_to_keep_less(reading.imbalance)[-1]:
        return "Longer training, or another learning rate, may decide it."
    if keep_less_in_the_means(reading.imbalance)[-1]:
        which = "the largest size keeps less than a smaller one, which may be chance"
        remedy = "More seeds, longer training or another learning rate may decide it"
        return f"{remedy}: in the means of these seeds {which}."
    if advice.lower[-2] > 0:
        return "Larger sizes may decide it: Δ still falls up to the largest one."
    return (
        "Larger sizes or more seeds may decide it: in the means of these seeds Δ falls up to the "
        "largest size, which may be chance."
    )


def _too_small(reading: SweepReading) -> str:
    bounds, largest = decided_bounds(reading), int(reading.sizes[-1])
    if reading.obstacle or bounds.sufficient is not None or len(reading.sizes) < 2:
        return ""
    advice = delta_advice(reading)
    gain = advice.gain[-2]
    if not advice.lower[-2] > TOLERANCE:
        return ""
    return (
        f"The bottleneck is too small: {largest} latents still lower Δ by {gain:.0%} against "
        f"{reading.sizes[-2]}. Try larger ones."
    )


def _undertrained(reading: SweepReading) -> str:
    left = float(reading.imbalance.mean(axis=1).min())
    if left >= HARDLY_ANYTHING:
        return (
            f"Undertrained, or a bottleneck far too small: reconstructions have lost most "
            f"neighbors of the images (Δ {left:.2f}). Train longer, or at another learning rate."
        )
    lowered = f"the last part of training lowered Δ by more than {TOLERANCE:.0%}"
    if shown := shown_to_improve(reading):
        return (
            f"Undertrained: {lowered} at {', '.join(map(str, shown))} latents (95% confidence). "
            "With more --epochs these sizes may become better than others."
        )
    means = ", ".join(map(str, improving_in_the_means(reading)))
    if not means:
        return ""
    if reading.imbalance.shape[1] == 1:
        return (
            f"Perhaps undertrained: with one seed {lowered} at {means} latents, and one seed does "
            "not show whether that is chance. With more --epochs these sizes may become better."
        )
    return (
        f"Perhaps undertrained: in the means of these seeds {lowered} at {means} latents, which "
        "may be chance. With more --epochs these sizes may become better."
    )


def _worse(reading: SweepReading) -> str:
    """A sentence on sizes that keep less than a smaller one, which could do the same."""
    shown = shown_to_keep_less(reading.imbalance)
    worse = shown if shown.any() else keep_less_in_the_means(reading.imbalance)
    if reading.obstacle or not worse.any():
        return ""
    means, seeds = reading.mean_imbalance, reading.imbalance.shape[1]
    # Among those that are smaller than the first of them.
    best = int(means[: worse.argmax()].argmin())
    named = ", ".join(
        f"{value:.3g} at {size}"
        for size, value in zip(reading.sizes[worse], means[worse], strict=True)
    )
    have = f"larger sizes have {MOST_LOST:g} times the Δ of smaller ones or more"
    named = f"({named}, and {means[best]:.3g} at {reading.sizes[best]}"
    remedy = "Train longer, or at another learning rate."
    if shown.any():
        return (
            f"Not trained well: {have} {named}; 95% confidence), although they could do the same. "
            f"They say nothing about smaller sizes. {remedy}"
        )
    of = "in the means of these seeds" if seeds > 1 else "with this one seed"
    return (
        f"Perhaps not trained well: {of} {have} {named}), although they could do the same. That "
        f"may be chance; more seeds would tell. {remedy}"
    )


def _few_images(reading: SweepReading) -> str:
    if not reading.has_few_images:
        return ""
    return (
        f"Few held-out images: Δ was measured on {reading.points:,} distinct ones, among which it "
        f"cannot be below {2 / reading.points:.2f}. What a size loses may change no neighbor among "
        "so few. The confidence limits are about other seeds and not about other images, and with "
        "more of them a larger size may be needed."
    )


def without_active(reading: SweepReading) -> str:
    """A sentence that says so, and what to try, where no latent of the largest size is active."""
    if not float(reading.active_units[-1].mean()) < 0.5:
        return ""
    return (
        f"Collapsed latents: none of {int(reading.sizes[-1])} is active, so that the decoder "
        "ignores them. Lower beta, let it grow from 0, or train longer; if the images are dark, "
        "give the range that they use."
    )


def _collapsed(reading: SweepReading, dimension: DataDimension | None) -> str:
    """A sentence on collapsed latents, unless as many are active as a size or the data need."""
    active, size = float(reading.active_units[-1].mean()), int(reading.sizes[-1])
    if active > 0.75 * size or decided_bounds(reading).sufficient is not None:
        return ""
    needed = float(reading.dimensions["input"].mean()) if dimension is None else dimension.smallest
    if active >= needed:
        return ""
    return (
        f"Collapsed latents: of {size} latents {active:.0f} are active at the largest size. Larger "
        "bottlenecks will not keep more: lower beta, or lower the standard deviation of the pixels."
    )


def _overfitted(reading: SweepReading) -> str:
    """A sentence where held-out images surely cost more, and by a large share of the KL.

    The limits are about other images, of all sizes together. All models have the same images, so
    that the error is no smaller with several seeds.
    """
    from scipy.special import stdtrit  # noqa: PLC0415

    excess = (reading.cost - reading.training_cost).mean(axis=1)
    error = np.hypot(reading.cost_stderr, reading.training_cost_stderr).mean(axis=1)
    surely = excess > stdtrit(reading.points - 1, 1 - _ERROR / len(excess)) * error
    shares = excess / np.maximum(reading.rate.mean(axis=1), 1.0)
    told = surely & (shares > _OVERFITTED)
    if not told.any():
        return ""
    worst = float(shares[told].max())
    # Fewer epochs are no advice where more would help some size, or where that is not known.
    improves = improving_in_the_means(reading) or keep_less_in_the_means(reading.imbalance).any()
    unknown = not np.isfinite(reading.earlier_imbalance).all()
    fewer = "" if improves or unknown else " or fewer --epochs"
    return (
        "Overfitted: the negative ELBO of held-out images is above that of training images (95% "
        f"confidence, over images), by up to {worst:.0%} of their KL. Use more images{fewer}."
    )


def _least_dimension(dimension: DataDimension) -> float:
    """Two standard errors below the smallest estimate, which noise of the pixels raises least."""
    return dimension.smallest - 2 * dimension.stderr


def _below_dimension(reading: SweepReading, dimension: DataDimension | None) -> str:
    """A sentence where the size that is enough is below the dimension by all its estimates."""
    size = decided_bounds(reading).sufficient
    if dimension is None or dimension.doubts or size is None:
        return ""
    if size >= _least_dimension(dimension):
        return ""
    return (
        "Fewer latents than dimensions: by the smallest of its estimates the dimension of the "
        f"images is {dimension.smallest:.1f} ± {dimension.stderr:.1f}, of which {size} latents "
        "cannot keep all. "
        "The rest changes few neighbors, or a larger size does not keep it either; if it matters, "
        "lower the standard deviation of the pixels, or beta."
    )


def _kept_less(reading: SweepReading, dimension: DataDimension | None) -> str:
    if dimension is None or not np.isfinite(dimension.smallest):
        return ""
    used = float(reading.active_units[-1].mean())
    # Noise may raise even the smallest estimate by a part of a dimension.
    least = max(math.floor(_least_dimension(dimension)), reading.fewest_latents)
    # A bottleneck below it cannot keep more.
    if used >= least or reading.sizes[-1] < least:
        return ""
    return (
        f"The models keep fewer dimensions than the data have: {used:.1f} units are active, the "
        f"data have dimension {least} or more. A detail is not kept if it lowers the distortion "
        "by less than its rate. If such details matter, lower beta, or use a Gaussian likelihood "
        "with a small standard deviation. The answer holds for the settings given."
    )


def _not_read(reading: SweepReading) -> str:
    if not reading.not_read:
        return ""
    return (
        f"Not read: {_listed(reading.not_read)}. Sizes are compared by the same seeds, of which "
        "other models are not trained yet or have failed."
    )


def _failed(reading: SweepReading) -> str:
    if not reading.failed:
        return ""
    return (
        f"Left out: the loss became NaN or infinite in {_listed(reading.failed)}. Try a smaller "
        "--learning-rate."
    )


def _listed(models: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"K = {size} seed {seed}" for size, seed in models)
