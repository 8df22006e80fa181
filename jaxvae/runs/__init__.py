"""Training runs in folders: their settings and checkpoints, and how a run is opened or resumed."""

from typing import TYPE_CHECKING, Any

from jaxvae.runs.config import RunConfig as RunConfig

if TYPE_CHECKING:
    from jaxvae.runs.saved import SavedRun as SavedRun
    from jaxvae.runs.saved import open_run as open_run


def __getattr__(name: str) -> Any:
    # Orbax, which reads checkpoints, takes long to import, and most commands need none.
    if name in ("SavedRun", "open_run"):
        from jaxvae.runs import saved  # noqa: PLC0415

        return getattr(saved, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
