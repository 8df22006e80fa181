"""`jaxvae export`: what a saved run learned, as one file for other programs."""

import argparse

from rich.console import Console

from jaxvae.runs.export import export_run
from jaxvae.runs.saved import open_run


def main(given: argparse.Namespace, console: Console, errors: Console) -> None:
    """Write the learned parameters of a run as one file."""
    del errors
    run = open_run(given.folder, given.snapshot, trust=given.trust)
    out = given.out or run.folder.with_name(f"{run.folder.name}.{given.to}")
    names = export_run(run, given.to, out)
    console.print(
        f"{len(names)} arrays of {given.folder} at {run.when}, in {out}: {', '.join(names)}",
        soft_wrap=True,
    )
