"""`jaxvae report`: what a saved run draws."""

import argparse
from pathlib import Path

import jax
from rich.console import Console

from jaxvae.analysis.capture import capture
from jaxvae.analysis.regeneration import Regenerations, regenerate
from jaxvae.analysis.saved import SavedRun, open_run
from jaxvae.analysis.traversal import Traversals, latent_traversals
from jaxvae.commands.folder import whole_results
from jaxvae.commands.runs import add_run, chosen_images
from jaxvae.models.hvae import HVAE
from jaxvae.report.gallery import draw_gallery
from jaxvae.typing import ArrayLike, Key

_SHOWN, _SAMPLES, _REGENERATED = 48, 100, 12

_EXAMPLES = """\
examples:
  jaxvae report runs/first
  jaxvae report runs/first --snapshot 781 --example 3 --out figures/early

Latents are moved one at a time from the posterior mean of one image, from -2 to 2, those of the
largest KL divergence from the prior first. Of a hierarchy, upper layers are kept from an image and
the others drawn from the prior.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "report",
        help="draw what a trained model makes of images: reconstructions, samples, traversals",
        description="Draw reconstructions, samples of the prior and latent traversals of a model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, after_interruption="Nothing was written.")
    add_run(parser)
    parser.add_argument(
        "--example",
        metavar="I",
        type=int,
        help="image to traverse, not of a hierarchy (default: 0)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where they go (default: RUN/figures)"
    )


def _run(given: argparse.Namespace, console: Console, errors: Console) -> None:
    run = open_run(given.folder, given.snapshot)
    images = chosen_images(run, given)
    out = given.out or given.folder / "figures"
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
            title=f"{run.config.data}, {run.config.network}, {run.config.objective}, "
            f"step {run.step:,}",
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
