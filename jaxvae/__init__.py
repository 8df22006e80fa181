"""Train variational autoencoders in JAX and measure what their layers know."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvae import analysis as analysis
    from jaxvae import data as data
    from jaxvae import metrics as metrics
    from jaxvae import models as models
    from jaxvae import objectives as objectives
    from jaxvae import training as training
    from jaxvae.analysis.trained import load_run as load_run

__version__ = "0.1.0"

_PACKAGES = ("analysis", "data", "metrics", "models", "objectives", "training")


def __getattr__(name: str) -> Any:
    # JAX takes seconds to import, and the command line answers without it.
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "load_run":
        from jaxvae.analysis.trained import load_run  # noqa: PLC0415

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PACKAGES, "load_run"])
