"""`jaxvae report`: what a saved run draws, or two runs compared."""

import argparse

import jax
from rich.console import Console

from jaxvae.analysis.capture import capture
from jaxvae.analysis.regeneration import Regenerations, regenerate
from jaxvae.analysis.traversal import Traversals, latent_traversals
from jaxvae.commands.runs import chosen_images
from jaxvae.commands.two_runs import compare
from jaxvae.files.results import whole_results
from jaxvae.models.hvae import HVAE
from jaxvae.report.gallery import draw_gallery
from jaxvae.runs.saved import SavedRun, open_run
from jaxvae.typing import ArrayLike, Key

_SHOWN, _SAMPLES, _REGENERATED = 48, 100, 12


def main(given: argparse.Namespace, console: Console, errors: Console) -> None:
    """Draw the figures of a saved run, or compare two."""
    if given.other is not None:
        compare(given, console, errors)
        return
    run = open_run(given.folder, given.snapshot, trust=given.trust)
    images = chosen_images(run, given)
    out = given.out or run.folder / "figures"
    noise_key, sample_key = jax.random.split(jax.random.key(given.seed))
    prior = jax.random.normal(sample_key, (_SAMPLES, run.vae.latents))
    shown = images[:_SHOWN]
    with whole_results(out) as part, errors.status("drawing"):
        figures = draw_gallery(
            part,
            images=shown,
            reconstructions=capture(
                run.vae, run.variables, shown, key=noise_key, layers=["output"]
            )["output"],
            samples=run.vae.decode(run.variables, prior),
            latents=_latents(run, images, given.example, noise_key),
            title=f"{run.config.data}, {run.config.network}, {run.config.objective}, {run.when}",
        )
    for figure in figures:
        console.print(str(out / figure.name), soft_wrap=True)


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
