"""Train variational autoencoders in JAX and measure what their layers know."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvae.analysis.trained import load_run as load_run

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # JAX takes seconds to import, and the command line answers without it.
    if name == "load_run":
        from jaxvae.analysis.trained import load_run  # noqa: PLC0415

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
