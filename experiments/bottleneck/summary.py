"""A bottleneck sweep in words and numbers: its table, its conclusion, its summary."""

import xarray as xr
from rich.table import Table

from experiments.bottleneck.between_report import BETWEEN, between_rows
from experiments.bottleneck.claims import claims, decoder_layers
from jaxvae.advising.criteria import decided_bounds
from jaxvae.advising.reading import read_records
from jaxvae.advising.sentences import answer, diagnoses
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
        sentences += [markdown_table(between_rows(records)), BETWEEN]
    return "\n\n".join([f"# {title(records)}", table, *sentences]) + "\n"


def conclusion(records: xr.Dataset) -> str:
    """The answer of `jaxvae advise`, what the size that it names keeps, and the ID of the data."""
    reading = read_records(records)
    last = records.isel(epoch=-1)
    bounds = decided_bounds(reading)
    sentences = [answer(reading)]
    if bounds.sufficient in reading.sizes:
        chosen = last.sel(bottleneck=bounds.sufficient)
        dimension = float(chosen["intrinsic_dimension"].sel(layer="mean").mean())
        lost = float(chosen["imbalance_to_input"].sel(layer="output").mean())
        sentences.append(
            f"At this size Δ(output→input) is {lost:.4f}, the posterior mean has ID "
            f"{dimension:.1f}, and {float(chosen['active_units'].mean()):.0f} of "
            f"{bounds.sufficient} units are active."
        )
    return " ".join([*sentences, *diagnoses(reading), _of_data(last)])


def _of_data(last: xr.Dataset) -> str:
    """The dimension of the images, and its error over them; their neighborhoods overlap."""
    value, stderr = (
        float(last[name].sel(layer="input").mean())
        for name in ("intrinsic_dimension", "intrinsic_dimension_stderr")
    )
    points = int(last.attrs["points"])
    return f"The ID of the data is {value:.1f} ± {OVERLAP * stderr:.1f} (of {points:,} images)."


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


def _narrowed(row: dict[str, str]) -> dict[str, str]:
    """A row without input, null, and the spread of units and nats; `summary` has all of it."""
    brief = {
        name: text.partition("±")[0]
        for name, text in row.items()
        if name == "active units" or name.endswith("nats")
    }
    return {name: text for name, text in (row | brief).items() if name not in _LEFT_OUT}
