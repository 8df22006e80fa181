"""`jaxvae report`: what a saved run draws and how good it is, or two runs compared."""

import argparse
from collections.abc import Iterator

import jax
from rich.console import Console

from jaxvae.analysis.capture import capture
from jaxvae.analysis.evaluation import Evaluation, evaluate
from jaxvae.analysis.generation import ancestral_samples
from jaxvae.analysis.regeneration import Regenerations, regenerate
from jaxvae.analysis.traversal import Traversals, latent_traversals
from jaxvae.commands.shown_images import chosen_images
from jaxvae.commands.two_runs import compare
from jaxvae.files.results import whole_results
from jaxvae.models.hvae import HVAE
from jaxvae.report.gallery import draw_gallery
from jaxvae.report.page import PAGE, write_page
from jaxvae.report.run_page import Shown, run_page, run_title
from jaxvae.report.traces import evenly
from jaxvae.runs.curve import read_curve
from jaxvae.runs.provenance import made_by
from jaxvae.runs.saved import SavedRun, open_run
from jaxvae.typing import ArrayLike, Key

_SHOWN, _SAMPLES, _REGENERATED = 48, 100, 12
# Snapshots that are compared, evenly chosen, and the images that they are compared on.
_SNAPSHOTS, _COMPARED = 20, 2000


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Draw the figures of a saved run and write its page, or compare two."""
    if arguments.other is not None:
        compare(arguments, console, errors)
        return
    run = open_run(arguments.folder, arguments.snapshot, trust=arguments.trust)
    images, words = chosen_images(run, arguments)
    out = arguments.out or run.folder
    # The noise of a posterior is that of the comparison of two runs, so that their numbers agree.
    noise_key = jax.random.key(arguments.seed)
    sample_key = jax.random.fold_in(noise_key, 1)
    shown = images[:_SHOWN]
    with whole_results(out) as part:
        with errors.status("drawing"):
            figures = draw_gallery(
                part / "figures",
                images=shown,
                reconstructions=capture(
                    run.vae, run.variables, shown, key=noise_key, layers=["output"]
                )["output"],
                samples=ancestral_samples(run.vae, run.variables, key=sample_key, n=_SAMPLES),
                latents=_latents(run, images, arguments.example, noise_key),
                title=run_title(run),
            )
        with errors.status(f"evaluating on {len(images):,} images"):
            page = run_page(
                Shown(
                    run,
                    words,
                    evaluate(run.vae, run.variables, images, key=noise_key),
                    dict(_snapshots(run, arguments, images[:_COMPARED], noise_key)),
                    read_curve(run.folder),
                    figures,
                )
            )
        told = {**page.settings, **made_by(run.folder)}
        write_page(part, page._replace(settings=told), figures)
    console.print(*page.answer, "", sep="\n", soft_wrap=True)
    for figure in figures:
        console.print(str(out / "figures" / figure.name), soft_wrap=True)
    console.print(f"page: {out / PAGE}", soft_wrap=True)


def _snapshots(
    run: SavedRun, arguments: argparse.Namespace, images: ArrayLike, key: Key
) -> Iterator[tuple[int, Evaluation]]:
    """The snapshots up to the one that is shown, by step."""
    steps = [step for step in run.steps if step <= run.step]
    if len(steps) > 1:
        for step in evenly(steps, _SNAPSHOTS):
            variables = open_run(arguments.folder, step, trust=arguments.trust).variables
            yield step, evaluate(run.vae, variables, images, key=key)


def _latents(
    run: SavedRun, images: ArrayLike, example: int | None, key: Key
) -> Traversals | Regenerations:
    if not isinstance(run.vae, HVAE):
        return latent_traversals(run.vae, run.variables, images, example=example or 0)
    if example is not None:
        raise ValueError(
            f"expected no --example for a hierarchy, of which the first {_REGENERATED} images are "
            f"drawn, got {example}"
        )
    return regenerate(run.vae, run.variables, images[:_REGENERATED], key=key)
