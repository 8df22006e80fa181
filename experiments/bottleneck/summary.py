"""A bottleneck sweep in words and numbers: its table, its conclusion, its summary."""

import numpy as np
import xarray as xr
from rich.table import Table

from experiments.bottleneck.between_report import between_table
from experiments.bottleneck.claims import claims, whole_seeds
from jaxvae.advising.reading import HARDLY_ANYTHING
from jaxvae.analysis.advice import MOST_COUNTED, TOLERANCE, Advice, sufficient_bottleneck
from jaxvae.files.words import counted
from jaxvae.metrics.dimension import OVERLAP
from jaxvae.report.tables import markdown_table, mean_over_seeds, printed_table

CAPTION = (
    "ID: intrinsic dimension (TwoNN) over held-out images, of the input, the posterior mean, its "
    "sample, and the decoder layer where it is largest. ID Gaussian is the null of the sample: the "
    "ID of Gaussian noise with as many points and latent dimensions K. Δ: information imbalance. "
    "Reconstruction and KL: nats per held-out image. ± is the standard error over seeds, "
    "· what is not known."
)
_INPUT, _NULL = "ID input", "ID Gaussian"
# What the terminal has no room for; the ID of the input is in the sentence below.
_LEFT_OUT = (_INPUT, _NULL)


def sweep_table(records: xr.Dataset) -> Table:
    """The main numbers of every bottleneck at the last epoch, as wide as a terminal of 80."""
    rows = [_narrowed(row) for row in summary_rows(records)]
    return printed_table(rows, title=title(records), split=True)


def summary(records: xr.Dataset) -> str:
    """The table, the conclusions, and how models of different K compare, as Markdown."""
    table = markdown_table(summary_rows(records))
    sentences = [CAPTION, conclusion(records), *claims(records)]
    if "imbalance_between" in records:
        sentences.append(between_table(records))
    return "\n\n".join([f"# {title(records)}", table, *sentences]) + "\n"


def conclusion(records: xr.Dataset) -> str:
    """A sentence on the smallest sufficient K and the evidence for it, or on what is lacking."""
    sizes = records["bottleneck"].values
    last = records.isel(epoch=-1)
    # Sizes are compared seed by seed.
    imbalance = whole_seeds(records)["imbalance_to_input"].isel(epoch=-1).sel(layer="output")
    imbalance = imbalance.transpose("bottleneck", "seed")
    data = _of_data(last)
    if imbalance.sizes["seed"] == 0:
        return f"Not decided: in every seed at least one model failed; {data}."
    least = float(imbalance.mean("seed").min())
    if least >= HARDLY_ANYTHING:
        return (
            f"Not decided: reconstructions have lost most of their neighbors at every K, Δ(output→"
            f"input) is {least:.2f} at least, and models that have learned next to nothing are "
            f"alike whatever their K. Train longer, on more images, or try larger K; {data}."
        )
    advice = sufficient_bottleneck(sizes, imbalance.values, tolerance=TOLERANCE)
    if advice.bottleneck is None:
        return f"{_undecided(advice, sizes, imbalance.sizes['seed'])} {data[0].upper()}{data[1:]}."
    chosen = last.sel(bottleneck=advice.bottleneck)
    mean_dimension = float(chosen["intrinsic_dimension"].sel(layer="mean").mean())
    left = float(imbalance.sel(bottleneck=advice.bottleneck).mean())
    most = max(0.0, advice.upper[list(sizes).index(advice.bottleneck)])
    smaller = ", and no smaller K is enough" if advice.bottleneck > sizes[0] else ""
    return (
        f"K = {advice.bottleneck} is enough{smaller} (95% confidence, {imbalance.sizes['seed']} "
        f"seeds): Δ(output→input) is {left:.4f} there, and a larger K lowers it by {most:.0%} at "
        f"most, where only more than {TOLERANCE:.0%} would make a larger K worth it. "
        f"At this K the posterior mean has ID {mean_dimension:.1f}, {data}, "
        f"and {float(chosen['active_units'].mean()):.0f} of {advice.bottleneck} units are active."
    )


def _of_data(last: xr.Dataset) -> str:
    """The dimension of the images, and its error over them; their neighborhoods overlap."""
    value, stderr = (
        float(last[name].sel(layer="input").mean())
        for name in ("intrinsic_dimension", "intrinsic_dimension_stderr")
    )
    points = int(last.attrs["points"])
    return f"the ID of the data is {value:.1f} ± {OVERLAP * stderr:.1f} (of {points:,} images)"


def _undecided(advice: Advice, sizes: np.ndarray, seeds: int) -> str:
    """Sentences on what the sweep leaves open, and on what would decide it."""
    if seeds == 1:
        return (
            "Not decided which K is enough: with one seed, it is unknown how much Δ differs "
            "between two trainings. Run at least 4 seeds."
        )
    if len(sizes) == 1:
        return "Not decided which K is enough: only one K was tried."
    if advice.candidates == (sizes[-1],):
        return (
            f"No K below {sizes[-1]} is enough: for each, some larger K lowers Δ(output→input) by "
            f"more than {TOLERANCE:.0%} (95% confidence, {seeds} seeds). Try larger K."
        )
    *others, largest = map(str, advice.candidates)
    or_more = " or more" if advice.candidates[-1] == sizes[-1] else ""
    listed = f"{', '.join(others)} or {largest}{or_more}" if others else f"{largest}{or_more}"
    if advice.seeds is None:
        # Whether the largest K is better than the last but one, beyond chance.
        surely = advice.lower[-2] > 0
        wanted = (
            "larger K: up to the largest one, Δ still falls"
            if surely
            else "larger K, or more seeds: in the means of these seeds Δ falls up to the largest "
            "K, which may be chance"
        )
    else:
        count = "or more " if advice.seeds == MOST_COUNTED else ""
        wanted = f"about {advice.seeds} {count}seeds, if they differ as these do"
    return (
        f"Not decided which K is enough: the smallest may be {listed} (95% confidence, {seeds} "
        f"seeds), where a larger K is worth it if it lowers Δ(output→input) by more than "
        f"{TOLERANCE:.0%}. What would decide it: {wanted}."
    )


def summary_rows(records: xr.Dataset) -> list[dict[str, str]]:
    """One row of text per bottleneck, by column."""
    last = records.isel(epoch=-1)
    dimension = last["intrinsic_dimension"]
    decoder = dimension.sel(layer=decoder_layers(records)).max("layer", skipna=True)
    columns = {
        _INPUT: (dimension.sel(layer="input"), 1),
        "ID mean": (dimension.sel(layer="mean"), 1),
        "ID sample": (dimension.sel(layer="sample"), 1),
        _NULL: (last["intrinsic_dimension_null"], 1),
        "ID dec.": (decoder, 1),
        "Δ out→in": (last["imbalance_to_input"].sel(layer="output"), 4),
        "active units": (last["active_units"], 1),
        "recon. nats": (last["reconstruction"], 1),
        "KL nats": (last["kl"], 1),
        "-ELBO nats": (last["reconstruction"] + last["kl"], 1),
    }
    return [
        {"K": str(size)}
        | {
            name: mean_over_seeds(values.sel(bottleneck=size).values, digits)
            for name, (values, digits) in columns.items()
        }
        for size in records["bottleneck"].values
    ]


def title(records: xr.Dataset) -> str:
    """The data, the network, the epoch and the number of seeds."""
    attributes = records.attrs
    return (
        f"{attributes['data']}, {attributes['network'].replace('_', ' ')} VAE, "
        f"epoch {int(records['epoch'][-1])}, {counted(records.sizes['seed'], 'seed')}"
    )


def decoder_layers(records: xr.Dataset) -> list[str]:
    """The names of the decoder's taps, without the output."""
    return [name for name in records["layer"].values if name.startswith("decoder/")]


def _narrowed(row: dict[str, str]) -> dict[str, str]:
    """A row without input, null, and the spread of units and nats; `summary` has all of it."""
    brief = {
        name: text.partition("±")[0]
        for name, text in row.items()
        if name == "active units" or name.endswith("nats")
    }
    return {name: text for name, text in (row | brief).items() if name not in _LEFT_OUT}
