"""Learning dynamics in words and numbers: when encoders and decoders were learned."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxvae.analysis.dynamics import convergence_epoch, learned_share

_THRESHOLD = 0.9
_CAPTION = (
    f"Epoch from which on a layer's debiased CKA with its own final state stays above "
    f"{_THRESHOLD}, mean over the layers of encoder and decoder; learned: the same for "
    f"(CKA(e) - CKA(0)) / (1 - CKA(0)), which does not count what an untrained layer has "
    f"already. ± half the range over seeds and strengths. Encoder first: in how many models."
)


class Convergence(NamedTuple):
    """When the two halves of some models were learned.

    Attributes:
        encoder: `[runs]`, epochs, mean over its layers.
        decoder: `[runs]`.
    """

    encoder: np.ndarray
    decoder: np.ndarray


def to_final(records: xr.Dataset, name: str = "debiased_cka") -> xr.DataArray:
    """Similarity `[run, epoch, layer]` of every layer to its own state at the end."""
    last = records[name].isel(other_epoch=-1)
    own = [last.sel(layer=layer, other_layer=layer, drop=True) for layer in records["layer"].values]
    return xr.concat(own, dim=records["layer"]).transpose("run", "epoch", "layer")


def convergence(similarity: xr.DataArray) -> Convergence:
    """Epochs of convergence of encoder and decoder, from similarities to the end."""
    epochs = similarity["epoch"].values.tolist()
    values = similarity.transpose("epoch", "run", "layer").values
    found = convergence_epoch(epochs, values, threshold=_THRESHOLD)
    layers = similarity["layer"].values.tolist()
    halves = (
        [index for index, layer in enumerate(layers) if layer.startswith(half)]
        for half in ("encoder/", "decoder/")
    )
    return Convergence(*(_mean(found[:, half]) for half in halves))


def learned(similarity: xr.DataArray) -> xr.DataArray:
    """`learned_share` of similarities to the end."""
    ordered = similarity.transpose("epoch", "run", "layer")
    return ordered.copy(data=learned_share(ordered.values))


def by_objective(records: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """The models of every objective that did not fail."""
    names = records["objective"].values
    for objective in dict.fromkeys(names.tolist()):
        kept = (names == objective) & ~records["failed"].values.astype(bool)
        if kept.any():
            yield objective, records.isel(run=np.flatnonzero(kept))


def dynamics_rows(records: Sequence[xr.Dataset]) -> list[dict[str, str]]:
    """One row of text for every data set, network and objective, by column."""
    rows = []
    for place in records:
        for objective, models in by_objective(place):
            similarity = to_final(models)
            plain, share = convergence(similarity), convergence(learned(similarity))
            first = int(np.sum(plain.encoder < plain.decoder))
            learned_first = int(np.sum(share.encoder < share.decoder))
            count = models.sizes["run"]
            final = models.isel(epoch=-1)
            rows.append(
                {
                    "data": place.attrs["data"],
                    "network": place.attrs["network"],
                    "objective": objective,
                    "encoder epoch": _spread(plain.encoder),
                    "decoder epoch": _spread(plain.decoder),
                    "encoder first": f"{first}/{count}",
                    "learned encoder": _spread(share.encoder),
                    "learned decoder": _spread(share.decoder),
                    "learned first": f"{learned_first}/{count}",
                    "recon. nats": f"{float(final['reconstruction'].mean()):.1f}",
                    "KL nats": f"{float(final['kl'].mean()):.1f}",
                    "active": f"{float(final['active_latents'].mean()):.1f}",
                }
            )
    return rows


def dynamics_table(records: Sequence[xr.Dataset]) -> Table:
    """The epochs of convergence, as wide as a terminal of 80."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows = dynamics_rows(records)
    shown = ("data", "network", "objective", "encoder epoch", "decoder epoch", "encoder first")
    for column in (*shown, "learned first"):
        justify = "left" if column in shown[:3] else "right"
        table.add_column(column.replace(" ", "\n"), justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(row[column] for column in (*shown, "learned first")))
    return table


def dynamics_summary(records: Sequence[xr.Dataset]) -> str:
    """Tables and findings as Markdown."""
    rows = dynamics_rows(records)
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, "|---|---|---|" + "---:|" * (len(rows[0]) - 3))
    parts = ["# Learning dynamics", "", *lines, "", _CAPTION, "", *findings(records), ""]
    return "\n".join(parts)


def findings(records: Sequence[xr.Dataset]) -> list[str]:
    """What the models say about the claims, a sentence for each data set and network."""
    return [sentence for place in records for sentence in (_order(place), _alike(place))]


def _order(place: xr.Dataset) -> str:
    models = place.isel(run=np.flatnonzero(~place["failed"].values.astype(bool)))
    similarity = to_final(models)
    found, share = convergence(similarity), convergence(learned(similarity))
    first = int(np.sum(found.encoder < found.decoder))
    learned_first = int(np.sum(share.encoder < share.decoder))
    start = similarity.isel(epoch=0).mean("run")
    encoder, decoder = (
        float(start.sel(layer=[name for name in start["layer"].values if half in name]).mean())
        for half in ("encoder/", "decoder/")
    )
    epochs = similarity["epoch"].values.tolist()
    each = convergence_epoch(
        epochs, similarity.transpose("epoch", "run", "layer").values, threshold=_THRESHOLD
    )
    layers = models["layer"].values.tolist()
    typical = {
        layer: float(np.median(each[:, index]))
        for index, layer in enumerate(layers)
        if layer not in ("input", "output")
    }
    listed = ", ".join(f"{layer} {epoch:.1f}" for layer, epoch in typical.items())
    return (
        f"- **{place.attrs['data']}, {place.attrs['network']}**: the encoder was learned before "
        f"the decoder in {first} of {models.sizes['run']} models. But untrained layers are like "
        f"their final state already, with a CKA of {encoder:.2f} in the encoder and {decoder:.2f} "
        f"in the decoder; of what was left to learn, the encoder was first in {learned_first}. "
        f"Median epoch of every layer: {listed}."
    )


def _alike(place: xr.Dataset) -> str:
    similar = {kind: between(place, kind) for kind in ("seeds", "strengths", "objectives")}
    parts = []
    for kind, values in similar.items():
        if values is None:
            continue
        encoder = float(np.nanmean([v for k, v in values.items() if k.startswith("encoder/")]))
        decoder = float(np.nanmean([v for k, v in values.items() if k.startswith("decoder/")]))
        parts.append(
            f"other {kind}: encoder {encoder:.2f}, mean {values['mean']:.2f}, "
            f"log-variance {values['log_variance']:.2f}, decoder {decoder:.2f}"
        )
    return f"  At the end, debiased CKA between models of {'; '.join(parts)}."


def between(
    place: xr.Dataset, kind: str, name: str = "debiased_cka_between"
) -> dict[str, float] | None:
    """Mean similarity, by layer, of models that differ in one thing.

    Args:
        place: records of one data set and network.
        kind: `seeds` (all else the same), `strengths` (of the same objective and seed),
            `objectives` (of the same seed).
        name: of the records.

    Returns:
        None where there are no such pairs.
    """
    columns = [place[field].values for field in ("objective", "value", "seed")]
    same = [column[:, None] == column for column in columns]
    objective, value, seed = same
    chosen = {
        "seeds": objective & value & ~seed,
        "strengths": objective & ~value & seed,
        "objectives": ~objective & seed,
    }[kind]
    values = place[name].transpose("layer", "run", "other_run").values
    if not chosen.any() or np.isnan(values[:, chosen]).all():
        return None
    means = np.nanmean(values[:, chosen], axis=1)
    return dict(zip(place["layer"].values.tolist(), means.tolist(), strict=True))


def _mean(epochs: np.ndarray) -> np.ndarray:
    """Over layers that converged; NaN where none did."""
    counted = np.sum(~np.isnan(epochs), axis=1)
    return np.where(counted > 0, np.nansum(epochs, axis=1) / np.maximum(counted, 1), np.nan)


def _spread(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    half = (known.max() - known.min()) / 2
    return f"{known.mean():.1f}±{half:.1f}"
