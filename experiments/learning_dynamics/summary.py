"""Learning dynamics in words and numbers: when encoders and decoders were learned."""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from rich.table import Table

from experiments.learning_dynamics.selection import (
    KINDS,
    PARTS,
    THRESHOLD,
    Halves,
    Learning,
    between,
    by_objective,
    encoder_loses_less,
    learned_first,
    learning,
    lost,
    to_final,
)
from jaxvae.analysis.learning import RESOLUTION, Order
from jaxvae.analysis.likeness import Lost
from jaxvae.files.words import counted
from jaxvae.report.tables import compared, markdown_table, mean_over_seeds, printed_table

_NAMED = ("data", "network", "objective")
CAPTION = (
    "Similar: the epoch from which on the debiased CKA of a layer with its own final state stays "
    f"above {THRESHOLD}. Learned: the average epoch of the progress of the layer from its "
    "untrained to its final state: half of the way in epoch 1 and half in epoch 3 give 2. A value "
    "beyond the last epoch means that a layer first moved away from its final state: for a while "
    "it was less similar to it than untrained. The final state is reached at the similarity of "
    "two trainings of the last epoch that differ in their batches, because a higher similarity is "
    "noise. Both are means over the layers of encoder and decoder that had something to learn; ± "
    "is the standard error over seeds, of the means over strengths. First: the number of models "
    "whose encoder was first : whose decoder was first. p: the p-value of the lead over seeds, of "
    "a paired Student's t-test over the strengths that have a lead in every seed. Since CKA "
    "tells the way to the final state unevenly, the same test is made with the tangent of the "
    "angle whose cosine is CKA: p is the larger of both, and 1 if the two do not have the same "
    "half first. It is not corrected for the number of rows; the p-values of the findings are "
    "corrected for the number of data sets and networks. Nothing to learn: layers, counted over "
    "models, that before training were at most twice as far (in 1 - CKA) from their final state "
    f"as those two trainings are from each other, or within {RESOLUTION} of it; they are left out "
    "of the means. Columns of layers with nothing to learn, undefined layers and failed models "
    "are left out where all their numbers are 0."
)
_ANSWERS = {True: "holds", False: "is contradicted", None: "is not decided"}
_COUNTS = ("nothing to learn", "undefined layers", "failed")


def dynamics_rows(records: Sequence[xr.Dataset]) -> list[dict[str, str]]:
    """One row of text for every data set, network and objective, by column.

    Columns that count what went wrong are left out where nothing did.
    """
    rows = []
    for group in records:
        for objective, models in by_objective(group):
            learned, final = learning(models), models.isel(epoch=-1)
            order, seeds = learned_first([learned]), learned.learned.seed
            inner = _inner(group["layer"].values.tolist())
            every = group.isel(run=np.flatnonzero(group["objective"].values == objective))
            rows.append(
                {
                    "data": group.attrs["data"],
                    "network": group.attrs["network"],
                    "objective": objective,
                    "similar encoder": _over_seeds(learned.similar.encoder, seeds),
                    "similar decoder": _over_seeds(learned.similar.decoder, seeds),
                    "similar first": _counts(learned.similar.order()),
                    "learned encoder": _over_seeds(learned.learned.encoder, seeds),
                    "learned decoder": _over_seeds(learned.learned.decoder, seeds),
                    "learned first": _counts(order),
                    "p": "·"
                    if np.isnan(order.p_value)
                    else compared(order.p_value).removeprefix("= "),
                    "nothing to learn": _share(learned.layers.nothing[:, inner]),
                    "undefined layers": _share(learned.layers.undefined[:, inner]),
                    "failed": f"{int(every['failed'].sum())}/{every.sizes['run']}",
                    "recon. nats": f"{float(final['reconstruction'].mean()):.1f}",
                    "KL nats": f"{float(final['kl'].mean()):.1f}",
                    "active": f"{float(final['active_latents'].mean()):.1f}",
                }
            )
    empty = [name for name in _COUNTS if all(row[name].startswith("0/") for row in rows)]
    return [{name: text for name, text in row.items() if name not in empty} for row in rows]


def dynamics_table(records: Sequence[xr.Dataset]) -> Table:
    """A table of the epochs at which the halves were learned, at most 80 letters wide."""
    shown = (*_NAMED, "learned encoder", "learned decoder", "learned first", "p")
    rows = [{column: row[column] for column in shown} for row in dynamics_rows(records)]
    return printed_table(rows, left=_NAMED, split=True)


def dynamics_summary(records: Sequence[xr.Dataset], *, missing: Sequence[str] = ()) -> str:
    """Tables and findings as Markdown.

    Args:
        records: one for every data set and network.
        missing: names of runs that are not done, and not in the records.
    """
    table = markdown_table(dynamics_rows(records), left=_NAMED)
    lacking = [part for line in not_done(missing) for part in (line, "")]
    text = ["# Learning dynamics", "", *lacking, table, "", CAPTION, "", *findings(records), ""]
    return "\n".join(text)


def not_done(missing: Sequence[str]) -> list[str]:
    """A sentence on the runs that are not in the records, where there are any."""
    return (
        [f"Runs that are not done yet, and missing here: {', '.join(missing)}."] if missing else []
    )


def findings(records: Sequence[xr.Dataset]) -> list[str]:
    """Findings on the claims of the paper: for each data set and network, then for objectives."""
    groups = len(records)
    found = [
        sentence
        for group in records
        for sentence in (*_order(group, groups=groups), _alike(group, groups=groups))
    ]
    return [*found, *_by_objective(records)]


def _by_objective(records: Sequence[xr.Dataset]) -> list[str]:
    """Whether the same half was learned first with every objective, where there are several."""
    rows = [(group, *each) for group in records for each in by_objective(group)]
    if len(rows) < 2:
        return []
    named: dict[str | None, list[str]] = {"encoder": [], "decoder": [], None: []}
    for group, objective, models in rows:
        order = learned_first([learning(models)], tests=len(rows))
        place = f" ({group.attrs['data']}, {group.attrs['network']})" if len(records) > 1 else ""
        named[order.first].append(f"{objective}{place}")
    parts = [
        f"the {half} was learned first with {', '.join(those)}"
        for half, those in named.items()
        if half and those
    ]
    if named[None]:
        parts.append(f"it is not decided with {', '.join(named[None])}")
    return [f"- **One objective at a time**, corrected for {len(rows)} tests: {'; '.join(parts)}."]


def _order(group: xr.Dataset, *, groups: int) -> tuple[str, str, str]:
    """The verdict on which half was first, and what else the epochs say."""
    learnings = [learning(models) for _, models in by_objective(group)]
    similar = Halves(*map(np.concatenate, zip(*(one.similar for one in learnings), strict=True)))
    learned = learned_first(learnings, tests=groups)
    trained = group.isel(run=np.flatnonzero(~group["failed"].values.astype(bool)))
    start = to_final(trained).isel(epoch=0).mean("run")
    encoder, decoder = (
        float(start.sel(layer=[name for name in start["layer"].values if half in name]).mean())
        for half in ("encoder/", "decoder/")
    )
    count, failed = counted(trained.sizes["run"], "model"), int(group["failed"].sum())
    ends = f"{failed} more failed" if failed else "none failed"
    return (
        f"- **{group.attrs['data']}, {group.attrs['network']}**, {count} ({ends}): "
        f"{_verdict(learned, groups)}",
        f"  Of what was left to learn, {_models(learned)}. By the epoch from which on a layer is "
        f"similar to its final state, {_models(similar.order())}; but untrained layers have a CKA "
        f"with it of {encoder:.2f} in the encoder and {decoder:.2f} in the decoder already.",
        f"  Median epoch at which a layer was learned: {_layers(trained, learnings)}.",
    )


def _verdict(order: Order, groups: int) -> str:
    """Which half learned first what was left to learn, and the test that decides it."""
    if np.isnan(order.p_value):
        return (
            "Not decided which half was learned first, which takes at least two seeds of the same "
            "objective and strength in which both halves have an epoch."
        )
    test = (
        f"{abs(order.lead):.1f} epochs by CKA, p {compared(order.p_value)} for both scales "
        f"together, paired over {order.seeds} seeds"
    )
    if groups > 1:
        test += f", corrected for {groups} data sets and networks"
    if order.first is None:
        return f"Not decided which half was learned first ({test})."
    return f"The {order.first} was learned first ({test})."


def _models(order: Order) -> str:
    """How many models learned the encoder first and how many the decoder; ties are apart."""
    apart = {"with a tie": order.ties, "undefined": order.undefined}
    more = "".join(f", {number} {kind}" for kind, number in apart.items() if number)
    return f"the encoder was first in {order.encoder} and the decoder in {order.decoder}{more}"


def _layers(trained: xr.Dataset, learned: Sequence[Learning]) -> str:
    """The median epoch of every layer over the models in which it had something to learn."""
    epoch, nothing, undefined = (
        np.concatenate(each) for each in zip(*(one.layers for one in learned), strict=True)
    )
    parts = []
    for index, layer in enumerate(trained["layer"].values.tolist()):
        if layer in ("input", "output"):
            continue
        known = epoch[~np.isnan(epoch[:, index]), index]
        apart = {"nothing to learn": nothing[:, index], "undefined": undefined[:, index]}
        notes = [f"{kind} in {each.sum()}" for kind, each in apart.items() if each.any()]
        shown = f" {np.median(known):.1f}" if len(known) else ""
        parts.append(f"{layer}{shown}" + (f" ({', '.join(notes)})" if notes else ""))
    return ", ".join(parts)


def _alike(group: xr.Dataset, *, groups: int) -> str:
    parts = []
    for kind, named in KINDS.items():
        values = between(group, kind)
        if values is None:
            continue
        means = [
            float(np.nanmean([v for k, v in values.items() if k.split("/")[0] == part]))
            for part in PARTS
        ]
        parts.append(f"{named}: {_parts(f'{mean:.2f}' for mean in means)}")
    if not parts:
        return "  Models of different seeds, which would be compared at the end, are lacking."
    return f"  At the end, debiased CKA between models of {'; '.join(parts)}.{_lost(group, groups)}"


def _lost(group: xr.Dataset, groups: int) -> str:
    """What of it objective and strength take, with errors, and whether the encoder keeps more."""
    found, alone = lost(group, "objectives"), lost(group, "objectives", than="strengths")
    if found.seeds < 3:
        return (
            " How much lower it is with another objective has an error if at least three seeds "
            "were trained with the same two objectives."
        )
    if np.isnan(found.stderr).any():
        return (
            " How much lower it is with another objective is not known for all layers: the "
            "similarity of one that is constant is undefined."
        )
    said = encoder_loses_less(group, tests=groups)
    seeds = len(np.unique(group["seed"].values))
    of_all = "" if found.seeds == seeds else f" of {seeds}"
    test = f"95% confidence, {found.seeds}{of_all} seeds"
    if groups > 1:
        test += f", corrected for {groups} data sets and networks"
    lower = f" With another objective, at any strengths, it is lower by {_limits(found)}"
    if not np.isnan(alone.stderr).any():
        several = "" if alone.counted == found.counted else ", where all seeds have several,"
        lower += f"; and lower than with another strength of the same{several} by {_limits(alone)}"
    return (
        f"{lower} (95% limits). That objective and strength take less from the encoder than from "
        f"the mean and from the log-variance {_ANSWERS[said]} ({test})."
        f"{_without(group, said, groups)}{_left_out(group, found)}"
    )


def _limits(found: Lost) -> str:
    limits = zip(found.value, *found.limits(), strict=True)
    return _parts(f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in limits)


def _without(group: xr.Dataset, said: bool | None, groups: int) -> str:
    """The objectives without which the answer would be the opposite."""
    names = list(dict.fromkeys(group["objective"].values.tolist()))
    text = ""
    for name in names if said is not None else ():
        rest = np.flatnonzero(group["objective"].values != name)
        answer = encoder_loses_less(group.isel(run=rest, other_run=rest), tests=groups)
        if answer is (not said):
            text += f" Without {name} it {_ANSWERS[answer]}."
    return text


def _left_out(group: xr.Dataset, found: Lost) -> str:
    """Which of the settings were not compared, as too few seeds have models of them."""
    settings = dict.fromkeys(zip(group["objective"].values, group["value"].values, strict=True))
    names = [f"{name} {value:g}" for name, value in settings if (name, value) not in found.counted]
    if not names:
        return ""
    return f" Not compared, since too few seeds have models of them: {', '.join(names)}."


def _parts(shown: Iterable[str]) -> str:
    return ", ".join(
        f"{part.replace('_', '-')} {one}" for part, one in zip(PARTS, shown, strict=True)
    )


def _inner(layers: Sequence[str]) -> list[int]:
    """The indices of the layers of encoder and decoder."""
    return [index for index, layer in enumerate(layers) if "/" in layer]


def _counts(order: Order) -> str:
    apart = {"tied": order.ties, "undefined": order.undefined}
    notes = [f"{number} {kind}" for kind, number in apart.items() if number]
    return f"{order.encoder} : {order.decoder}" + (f" ({', '.join(notes)})" if notes else "")


def _share(chosen: np.ndarray) -> str:
    return f"{int(chosen.sum())}/{chosen.size}"


def _over_seeds(epochs: np.ndarray, seeds: np.ndarray) -> str:
    """The mean over the models of every seed, then over seeds, with its standard error."""
    known = ~np.isnan(epochs)
    means = [epochs[known & (seeds == one)].mean() for one in np.unique(seeds[known])]
    return mean_over_seeds(np.array(means), 1)
