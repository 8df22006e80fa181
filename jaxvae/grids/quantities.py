"""What is shown of a grid: its quantities, as means over seeds with their standard errors."""

from typing import NamedTuple

import xarray as xr


class Quantity(NamedTuple):
    """A number of every run at every epoch.

    Attributes:
        name: for the head of a column and of a panel.
        values: over the settings, `seed` and `epoch`; NaN for runs that failed or are missing.
        stderrs: of every run alone, over images; None where it has none.
        digits: decimals that are shown.
    """

    name: str
    values: xr.DataArray
    stderrs: xr.DataArray | None
    digits: int

    @property
    def mean(self) -> xr.DataArray:
        """Over the seeds of which something is known."""
        return self.values.mean("seed")

    @property
    def stderr(self) -> xr.DataArray:
        """Of the mean, by the spread of the seeds; of one seed alone, its own; NaN without any."""
        count = self.values.notnull().sum("seed")
        squares = ((self.values - self.mean) ** 2).sum("seed")
        spread = (squares / (count * (count - 1)).where(count > 1)) ** 0.5
        if self.stderrs is None:
            return spread
        return spread.fillna(self.stderrs.mean("seed").where(count == 1))


def rates(records: xr.Dataset) -> list[Quantity]:
    """Reconstruction, rates and active units; of a hierarchy the latter of every layer."""
    known = known_runs(records)
    found = [_plain("recon.\nnats", known, "reconstruction")]
    layers = records["latent_layer"].values.tolist()
    if len(layers) == 1:
        active = known["active_units"].isel(latent_layer=0)
        return [*found, _plain("KL\nnats", known, "kl"), Quantity("active\nunits", active, None, 1)]
    for layer in layers:
        here = known.sel(latent_layer=layer)
        found.append(_plain(f"rate {layer}\nnats", here, "rate"))
    for layer in layers:
        active = known["active_units"].sel(latent_layer=layer)
        found.append(Quantity(f"active\n{layer}", active, None, 1))
    return found


def geometry(records: xr.Dataset) -> list[Quantity]:
    """Dimension of means, samples and output, and imbalance from output to input, if measured."""
    if "imbalance" not in records:
        return []
    known = known_runs(records)
    wanted = [
        name
        for name in records["layer"].values.tolist()
        if name.rpartition("/")[2] in ("mean", "sample") or name == "output"
    ]
    found = []
    for name in wanted:
        here = known.sel(layer=name)
        values, stderrs = here["intrinsic_dimension"], here["intrinsic_dimension_stderr"]
        found.append(Quantity(f"ID\n{name}", values, stderrs, 1))
    lost = known["imbalance"].sel(layer="output", other_layer="input")
    return [*found, Quantity("Δ\nout→in", lost, None, 4)]


def known_runs(records: xr.Dataset) -> xr.Dataset:
    """What is known of the runs that are done and have not failed."""
    lacking = records["missing"] | records["failed"].any("epoch")
    return records.drop_vars(["missing", "failed"]).where(~lacking)


def _plain(title: str, known: xr.Dataset, name: str) -> Quantity:
    return Quantity(title, known[name], known[f"{name}_stderr"], 1)
