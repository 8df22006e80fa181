"""Sentences on the claims of the paper: for which sizes a bottleneck sweep shows them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from jaxvae.analysis.claims import second_peak, two_phases
from jaxvae.analysis.estimate import Estimate
from jaxvae.analysis.evidence import Evidence

_DIMENSION = ("intrinsic_dimension", "intrinsic_dimension_stderr")
# A second peak is compared with these layers.
_AGAINST = ("input", "sample", "output")
_TOLERANCE = 0.05


def claims(records: xr.Dataset) -> list[str]:
    """Whether the decoder has a second peak of the ID, and training a second phase.

    Each is a sentence with the sizes for which it is shown, excluded and not decided, all of
    them right with 95% confidence; see `docs/statistics.md`. Seeds of which a model failed are
    left out, and the number of the others is said.
    """
    records = _whole_seeds(records)
    if records.sizes["seed"] == 0:
        return [
            "Second peak and second phase: not decided, in every seed at least one model failed."
        ]
    return [_on_second_peak(records), _on_two_phases(records)]


def _whole_seeds(records: xr.Dataset) -> xr.Dataset:
    """The seeds of which no model failed: the geometry of a failed model is unknown at the end."""
    imbalance = records["imbalance_to_input"].sel(layer="output").isel(epoch=-1)
    return records.isel(seed=np.flatnonzero(imbalance.notnull().all("bottleneck").values))


def decoder_layers(records: xr.Dataset) -> list[str]:
    """The names of the decoder's taps, without the output."""
    return [name for name in records["layer"].values if name.startswith("decoder/")]


def peak_evidence(records: xr.Dataset, against: Sequence[str] = _AGAINST) -> Evidence:
    """The evidence for a second peak at the last epoch, compared with some layers."""
    last = records.isel(epoch=-1)
    # Where all ratios are infinite a dimension is zero: it is as unknown as NaN.
    known = last[[*_DIMENSION]].where(last["intrinsic_dimension"] > 0)
    decoder, others = (
        Estimate(*(_values(known[name].sel(layer=list(some)), "layer") for name in _DIMENSION))
        for some in (decoder_layers(records), against)
    )
    return second_peak(decoder, others)


def courses(records: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Imbalances from output to input and KL, by size, seed and epoch."""
    imbalance = records["imbalance_to_input"].sel(layer="output")
    return _values(imbalance, "epoch"), _values(records["kl"], "epoch")


def _on_second_peak(records: xr.Dataset) -> str:
    layers = decoder_layers(records)
    if not layers:
        return "Second peak of the ID: the decoder has no layer in which it could be."
    evidence = peak_evidence(records)
    text = (
        "Second peak of the ID, which is a layer of the decoder with a higher ID than input, "
        f"sample and output: {_verdicts(evidence, records)}"
    )
    if not evidence.shown.any():
        return text
    largest = int(np.flatnonzero(evidence.shown)[-1])
    return (
        f"{text} At K = {records['bottleneck'].values[largest]}, the ID of "
        f"{layers[evidence.place[largest]]} is {evidence.share[largest]:.0%} above the highest of "
        f"theirs, and at least {evidence.lower[largest]:.0%} with 95% confidence."
    )


def _on_two_phases(records: xr.Dataset) -> str:
    epochs = records["epoch"].values
    name = (
        "Second phase of training, in which Δ(output→input) rises and KL falls after the opposite"
    )
    if len(epochs) < 3:
        return f"{name}: not tested, which takes at least three measured epochs."
    evidence = two_phases(*courses(records), tolerance=_TOLERANCE)
    text = f"{name}, each by {_TOLERANCE:.0%}: {_verdicts(evidence, records)}"
    if not evidence.shown.any():
        return text
    largest = int(np.flatnonzero(evidence.shown)[-1])
    return (
        f"{text} At K = {records['bottleneck'].values[largest]} it begins at epoch "
        f"{epochs[evidence.place[largest]]}."
    )


def _verdicts(evidence: Evidence, records: xr.Dataset) -> str:
    """The sizes K for which something is shown, excluded and not decided."""
    seeds = records.sizes["seed"]
    if seeds == 1:
        return "not decided; with one seed, it is unknown how much two trainings differ."
    sides = {
        "shown": evidence.shown,
        "excluded": evidence.excluded,
        "not decided": ~evidence.shown & ~evidence.excluded,
    }
    sizes = records["bottleneck"].values
    parts = [
        f"{side} at K = {', '.join(map(str, sizes[holds]))}"
        for side, holds in sides.items()
        if holds.any()
    ]
    return f"{'; '.join(parts)} (95% confidence, {seeds} seeds)."


def _values(records: xr.DataArray, inner: str) -> np.ndarray:
    return records.transpose("bottleneck", "seed", inner).values.astype(np.float64)
