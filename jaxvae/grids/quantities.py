"""The quantities that are shown of a grid, as means over seeds with their standard errors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from jaxvae.report.traces import stderr_of_known


class Quantity(NamedTuple):
    """A number of every run at every epoch.

    Attributes:
        name: head of a column, in lines.
        title: title of a panel.
        values: values over the settings, `seed` and `epoch`; NaN for runs that failed or are
            missing.
        stderrs: standard errors of every run alone, over images; None where it has none.
        digits: decimals that are shown.
    """

    name: str
    title: str
    values: xr.DataArray
    stderrs: xr.DataArray | None
    digits: int

    @property
    def mean(self) -> xr.DataArray:
        """The mean over the seeds of which the value is known."""
        return self.values.mean("seed")

    @property
    def stderr(self) -> xr.DataArray:
        """Standard error of the mean by the spread of seeds; for one seed, its error over images.

        It is NaN where it is unknown. Where all but one of several seeds are not done or have
        failed, the error over images of the one is not taken instead: a column has errors of one
        kind.
        """
        if self.values.sizes["seed"] == 1:
            own = xr.full_like(self.values, np.nan) if self.stderrs is None else self.stderrs
            return own.isel(seed=0)
        return stderr_of_known(self.values, "seed")


def negative_elbo(known: xr.Dataset) -> Quantity:
    """The negative ELBO of held-out images, of the runs that are known."""
    values = known["reconstruction"] + known["kl"]
    return Quantity("-ELBO\nnats", "negative ELBO, nats", values, None, 1)


def rates(records: xr.Dataset) -> list[Quantity]:
    """Negative ELBO, reconstruction, rates and active units, the last two of every layer."""
    known = known_runs(records)
    quantities = [
        negative_elbo(known),
        _with_error("recon.\nnats", "reconstruction, nats", known, "reconstruction"),
    ]
    layers = records["latent_layer"].values.tolist()
    if len(layers) == 1:
        quantities.append(_with_error("KL\nnats", "KL, nats", known, "kl"))
    else:
        quantities += [
            _with_error(
                f"rate {each}\nnats", f"rate {each}, nats", known.sel(latent_layer=each), "rate"
            )
            for each in layers
        ]
    for layer in layers:
        which = "units" if len(layers) == 1 else layer
        active = known["active_units"].sel(latent_layer=layer)
        quantities.append(
            Quantity(
                f"active\n{which}",
                f"active units of {layer}" if len(layers) > 1 else "active units",
                active,
                None,
                1,
            )
        )
    return quantities


def geometry(records: xr.Dataset) -> list[Quantity]:
    """Dimension of means, samples and output, and imbalance from output to input, if measured."""
    if "imbalance" not in records:
        return []
    known = known_runs(records)
    quantities = []
    for name in records["layer"].values.tolist():
        if name.endswith(("mean", "sample", "output")):
            layer, title = known.sel(layer=name), f"ID of {name}"
            quantities.append(_with_error(f"ID\n{name}", title, layer, "intrinsic_dimension"))
    imbalance = known["imbalance"].sel(layer="output", other_layer="input")
    return [*quantities, Quantity("Δ\nout→in", "Δ(output → input)", imbalance, None, 4)]


def layer_quantities(records: xr.Dataset, others: Sequence[str]) -> list[Quantity]:
    """The dimension of every layer that is no log-variance, and its imbalance to other layers."""
    names = [name for name in records["layer"].values.tolist() if "log_variance" not in name]
    known = known_runs(records).sel(layer=names)
    quantities = [_with_error("", "Intrinsic dimension (TwoNN)", known, "intrinsic_dimension")]
    for other in others:
        imbalance = known["imbalance"].sel(other_layer=other).where(known["layer"] != other)
        quantities.append(Quantity("", f"Δ(layer → {other})", imbalance, None, 4))
    return quantities


def known_runs(records: xr.Dataset) -> xr.Dataset:
    """The measurements of the runs that are done and have not failed; the others are NaN."""
    lacking = records["missing"] | records["failed"].any("epoch")
    return records.drop_vars(["missing", "failed"]).where(~lacking)


def _with_error(name: str, title: str, known: xr.Dataset, variable: str) -> Quantity:
    return Quantity(name, title, known[variable], known[f"{variable}_stderr"], 1)
