"""`jaxvae export`: what a saved run learned, as one file for other programs."""

import argparse

from rich.console import Console

from jaxvae.runs.export import export_run
from jaxvae.runs.saved import open_run


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Write the learned parameters of a run as one file."""
    del errors
    run = open_run(arguments.folder, arguments.snapshot, trust=arguments.trust)
    out = arguments.out or run.folder.with_name(f"{run.folder.name}.{arguments.to}")
    names = export_run(run, arguments.to, out)
    console.print(
        f"{len(names)} arrays of {arguments.folder} at {run.when}, in {out}: {', '.join(names)}",
        soft_wrap=True,
    )
