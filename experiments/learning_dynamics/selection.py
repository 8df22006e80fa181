"""When encoders and decoders were learned, and how similar models are, from the records."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from jaxvae.analysis.learning import (
    LearningEpochs,
    Order,
    convergence_epoch,
    learning_epochs,
    learning_order,
    of_both,
    tangent_scale,
)
from jaxvae.analysis.likeness import Lost, similarity_lost

THRESHOLD = 0.9
"""A layer whose similarity to its final state is above this is said to be similar to it."""


class Halves(NamedTuple):
    """Epochs at which encoder and decoder of some models reached their end, as means over layers.

    Layers that had nothing to learn are in no mean.

    Attributes:
        encoder: `[runs]`, mean epoch of the encoder; NaN where no layer has one.
        decoder: `[runs]`, mean epoch of the decoder.
        seed: `[runs]`, seed of the model.
        condition: `[runs]`, its objective and strength.
    """

    encoder: np.ndarray
    decoder: np.ndarray
    seed: np.ndarray
    condition: np.ndarray

    def order(self, *, tests: int = 1) -> Order:
        """Which half was first, as one of so many tests that are made together."""
        return learning_order(
            self.encoder, self.decoder, self.seed, self.condition.tolist(), tests=tests
        )


class Learning(NamedTuple):
    """Epochs at which the layers of some models of an objective were learned.

    Attributes:
        similar: epochs from which on layers stay similar to their final state.
        learned: mean epochs of learning.
        by_tangent: mean epochs of learning, with similarities on the scale of tangents.
        layers: `[runs, layers]`, the epochs that `learned` is the mean of, and why some have none.
    """

    similar: Halves
    learned: Halves
    by_tangent: Halves
    layers: LearningEpochs


def to_final(records: xr.Dataset, similarity: str = "debiased_cka") -> xr.DataArray:
    """A similarity `[run, epoch, layer]` of every layer to its own state at the end."""
    last = records[similarity].isel(other_epoch=-1)
    own = [last.sel(layer=layer, other_layer=layer, drop=True) for layer in records["layer"].values]
    return xr.concat(own, dim=records["layer"]).transpose("run", "epoch", "layer")


def learning(models: xr.Dataset) -> Learning:
    """Epochs at which the layers of some models of one objective were learned."""
    similarity = to_final(models).transpose("epoch", "run", "layer")
    epochs, values = similarity["epoch"].values.tolist(), similarity.values
    replicate = models["debiased_cka_replicate"].transpose("run", "layer").values
    layers = learning_epochs(epochs, values, replicate)
    counted = ~np.isnan(layers.epoch)
    similar = np.where(counted, convergence_epoch(epochs, values, threshold=THRESHOLD), np.nan)
    tangents = learning_epochs(epochs, tangent_scale(values), tangent_scale(replicate))
    return Learning(
        _halves(similar, models),
        _halves(layers.epoch, models),
        _halves(tangents.epoch, models),
        layers,
    )


def learned_first(learnings: Sequence[Learning], *, tests: int = 1) -> Order:
    """Which half was learned first, by CKA and by its tangent too; models of all objectives.

    Args:
        learnings: one for every objective.
        tests: how many such conclusions are drawn together.
    """
    orders = (
        Halves(*map(np.concatenate, zip(*halves, strict=True))).order(tests=tests)
        for halves in zip(*((one.learned, one.by_tangent) for one in learnings), strict=True)
    )
    return of_both(*orders)


def by_objective(records: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """The models of every objective that did not fail."""
    names = records["objective"].values
    for objective in dict.fromkeys(names.tolist()):
        chosen = (names == objective) & ~records["failed"].values.astype(bool)
        if chosen.any():
            yield objective, records.isel(run=np.flatnonzero(chosen))


KINDS = {
    "seeds": "another seed",
    "strengths": "another seed and strength",
    "objectives": "another seed and objective, at any strengths",
}
"""What the models that `between` compares differ in, by kind of comparison."""

PARTS = ("encoder", "mean", "log_variance", "decoder")
"""The layers whose likeness between models the paper makes a claim of, encoder first."""


def between(group: xr.Dataset, kind: str) -> dict[str, float] | None:
    """Mean debiased CKA, by layer, of models that differ in their seed and one thing more at most.

    Models of the same seed are never compared: they begin with the same parameters and see the
    same batches, so that they are similar for another reason.

    Args:
        group: records of one data set and network.
        kind: one of `KINDS`: `seeds` (everything else is the same), `strengths` (the objective is
            the same), `objectives` (the strengths are any).

    Returns:
        None where there are no such pairs.
    """
    chosen = _differing(group, kind) & ~_equal(group, "seed")
    values = _by_layer(group)
    if not chosen.any() or np.isnan(values[:, chosen]).all():
        return None
    means = np.nanmean(values[:, chosen], axis=1)
    return dict(zip(group["layer"].values.tolist(), means.tolist(), strict=True))


def lost(group: xr.Dataset, kind: str, than: str = "seeds") -> Lost:
    """The debiased CKA that is lost where more than the seed differs, by `PARTS`.

    Args:
        group: records of one data set and network.
        kind: what else differs, `strengths` or `objectives`, as for `between`. Models of two
            objectives also differ in their strengths.
        than: what differs between the models that they are compared with; `strengths` leaves what
            the objective takes alone, so that models of two objectives count if their strengths
            differ too.
    """
    return _lost(group, kind, than, _by_part(group))


def lost_by_layer(group: xr.Dataset, kind: str, than: str = "seeds") -> Lost:
    """The same for every layer."""
    return _lost(group, kind, than, _by_layer(group))


def encoder_loses_less(group: xr.Dataset, *, tests: int = 1) -> bool | None:
    """Whether objective and strength change the encoder less than the mean and the log-variance.

    True where the encoder loses less debiased CKA than either, False where it loses more than one
    of them, with 95% confidence over seeds; None where that is not decided.

    Args:
        group: records of one data set and network.
        tests: how many such conclusions are drawn together (Bonferroni).
    """
    encoder, mean, log_variance, _ = _by_part(group)
    margins = np.stack([encoder - mean, encoder - log_variance])
    lower, upper = _lost(group, "objectives", "seeds", margins).limits(0.05 / 2 / tests)
    if np.all(upper < 0):
        return True
    return False if np.any(lower > 0) else None


def _by_part(group: xr.Dataset) -> np.ndarray:
    """Debiased CKA of all pairs of models, `[part, run, other run]`, as means over layers."""
    values = _by_layer(group)
    layers = group["layer"].values.tolist()
    return np.stack(
        [
            np.mean([values[i] for i, layer in enumerate(layers) if layer.split("/")[0] == part], 0)
            for part in PARTS
        ]
    )


def _by_layer(group: xr.Dataset) -> np.ndarray:
    return group["debiased_cka_between"].transpose("layer", "run", "other_run").values


def _lost(group: xr.Dataset, kind: str, than: str, similarity: np.ndarray) -> Lost:
    """`similarity_lost` over the models that were trained to their end and compared."""
    known = np.flatnonzero(~np.isnan(_by_layer(group)).all(axis=(0, 2)))
    objectives, values, seeds = (group[field].values for field in ("objective", "value", "seed"))
    conditions = list(zip(objectives[known], values[known], strict=True))
    differs = _differing(group, kind)
    if than == "strengths":
        differs &= ~_equal(group, "value")
    compared, differs, alike = (
        each[..., known, :][..., known] for each in (similarity, differs, _differing(group, than))
    )
    return similarity_lost(compared, seeds[known], conditions, differs, alike)


def _differing(group: xr.Dataset, kind: str) -> np.ndarray:
    """Which pairs of models differ in what `kind` says, their seeds being any."""
    objective, value = _equal(group, "objective"), _equal(group, "value")
    return {
        "seeds": objective & value,
        "strengths": objective & ~value,
        "objectives": ~objective,
    }[kind]


def _equal(group: xr.Dataset, field: str) -> np.ndarray:
    return group[field].values[:, None] == group[field].values


def _halves(epochs: np.ndarray, models: xr.Dataset) -> Halves:
    layers = models["layer"].values.tolist()

    def mean_over(half: str) -> np.ndarray:
        chosen = [index for index, layer in enumerate(layers) if layer.startswith(half)]
        return mean_over_layers(epochs[:, chosen])

    names = zip(models["objective"].values, models["value"].values, strict=True)
    condition = np.array([f"{objective} {value}" for objective, value in names])
    return Halves(mean_over("encoder/"), mean_over("decoder/"), models["seed"].values, condition)


def mean_over_layers(epochs: np.ndarray) -> np.ndarray:
    """The mean over the layers that have an epoch; NaN where none does."""
    counted = np.sum(~np.isnan(epochs), axis=1)
    return np.where(counted > 0, np.nansum(epochs, axis=1) / np.maximum(counted, 1), np.nan)
