"""A bottleneck sweep in words and numbers: its table, its conclusion, its summary."""

import numpy as np
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxvae.analysis.advice import sufficient_bottleneck

# A reconstruction that has lost this much of the neighborhoods is hardly trained.
_LARGE = 0.5
_CAPTION = (
    "ID: intrinsic dimension (TwoNN) over held-out images, of the input, the posterior mean, its "
    "sample, and the decoder layer where it is largest; (null): of a Gaussian of the same n and K; "
    "Δ: information imbalance; reconstruction and KL in nats per test image; ± half the range over "
    "seeds."
)


def sweep_table(records: xr.Dataset) -> Table:
    """The main numbers of every bottleneck at the last epoch, as wide as a terminal of 80."""
    table = Table(
        title=title(records),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = [_narrowed(row) for row in summary_rows(records)]
    for column in rows[0]:
        table.add_column(column.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    return table


def summary(records: xr.Dataset) -> str:
    """The table and the conclusion as Markdown."""
    rows = summary_rows(records)
    lines = ["| " + " | ".join(row) + " |" for row in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, "|" + "---:|" * len(rows[0]))
    return "\n".join([f"# {title(records)}", "", *lines, "", _CAPTION, "", conclusion(records), ""])


def conclusion(records: xr.Dataset) -> str:
    """From which bottleneck on it stops being the limit, and the evidence."""
    sizes = records["bottleneck"].values
    last = records.isel(epoch=-1)
    lost = last["imbalance_to_input"].sel(layer="output")
    advice = sufficient_bottleneck(sizes, lost.transpose("bottleneck", "seed").values)
    data = float(last["intrinsic_dimension"].sel(layer="input").mean())
    error = "" if np.isnan(advice.error) else f" ± {advice.error:.0%}"
    if advice.bottleneck is None:
        gain = f": the last step still lowered Δ(output→input) by {advice.gain:.0%}{error}"
        gain = "" if np.isnan(advice.gain) else gain
        return (
            f"No bottleneck up to K = {sizes[-1]} is shown to be large enough{gain}; "
            f"the ID of the data is {data:.1f}. Try larger K."
        )
    here = last.sel(bottleneck=advice.bottleneck)
    mean_dimension = float(here["intrinsic_dimension"].sel(layer="mean").mean())
    left = float(lost.sel(bottleneck=advice.bottleneck).mean())
    best = f"by more than {advice.gain:.0%}{error}" if advice.gain > 0 else "at all"
    caution = " At so large a Δ training may be the limit: train longer." if left > _LARGE else ""
    return (
        f"From K = {advice.bottleneck} on the bottleneck stops being the limit: "
        f"Δ(output→input) is {left:.4f}, "
        f"and no larger K (up to {sizes[-1]}) lowers it {best}; "
        "a quarter, and twice the error, would count. "
        f"There the mean has ID {mean_dimension:.1f}, the data {data:.1f}, "
        f"and {float(here['active_units'].mean()):.0f} of {advice.bottleneck} units are active."
        f"{caution}"
    )


def summary_rows(records: xr.Dataset) -> list[dict[str, str]]:
    """One row of text per bottleneck, by column."""
    last = records.isel(epoch=-1)
    dimension = last["intrinsic_dimension"]
    decoder = dimension.sel(layer=decoder_layers(records)).max("layer", skipna=True)
    columns = {
        "ID input": (dimension.sel(layer="input"), 1),
        "ID mean": (dimension.sel(layer="mean"), 1),
        "ID sample": (dimension.sel(layer="sample"), 1),
        "(null)": (last["intrinsic_dimension_null"], 1),
        "ID dec.": (decoder, 1),
        "Δ out→in": (last["imbalance_to_input"].sel(layer="output"), 4),
        "active units": (last["active_units"], 0),
        "recon. nats": (last["reconstruction"], 1),
        "KL nats": (last["kl"], 1),
    }
    return [
        {"K": str(size)}
        | {
            name: _spread(values.sel(bottleneck=size), digits)
            for name, (values, digits) in columns.items()
        }
        for size in records["bottleneck"].values
    ]


def title(records: xr.Dataset) -> str:
    """What was trained on what, for how long, how often."""
    attributes, seeds = records.attrs, records.sizes["seed"]
    return (
        f"{attributes['data']}, {attributes['network'].replace('_', ' ')} VAE, "
        f"epoch {int(records['epoch'][-1])}, {seeds} seed{'s' if seeds > 1 else ''}"
    )


def decoder_layers(records: xr.Dataset) -> list[str]:
    """The names of the decoder's taps, without the output."""
    return [name for name in records["layer"].values if name.startswith("decoder/")]


def _narrowed(row: dict[str, str]) -> dict[str, str]:
    """Without the null, and without the spread of the rates: `summary` has them."""
    brief = {
        name: row[name].partition("±")[0] for name in ("active units", "recon. nats", "KL nats")
    }
    return {name: text for name, text in (row | brief).items() if name != "(null)"}


def _spread(values: xr.DataArray, digits: int) -> str:
    text = f"{float(values.mean()):.{digits}f}"
    spread = float(values.max() - values.min()) / 2
    return f"{text}±{spread:.{digits}f}" if spread > 0 else text
