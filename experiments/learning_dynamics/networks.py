"""The models of the grid as runs of the library, and the network that those of a place share."""

from functools import cache

from experiments.learning_dynamics.grid import OBJECTIVES, Config, Model, Place
from jaxvae.models import HVAE, VAE
from jaxvae.runs.config import RunConfig, build_model

# Of the annealed capacity, as a share of all steps: a third in the paper.
_RAMP = 1 / 3


def coefficients_of(model: Model) -> dict[str, float]:
    """Of its objective."""
    objective = OBJECTIVES[model.objective]
    return {objective.coefficient: float(model.value), **objective.rest}


def run_config(config: Config, place: Place, model: Model, steps: int) -> RunConfig:
    """A model as a run of so many steps, which `jaxvae report` and `jaxvae capture` can read."""
    ramp = max(1, round(_RAMP * steps)) if config.ramp is None else config.ramp
    return RunConfig(
        data=place.data,
        image_size=config.image_size,
        train_size=config.train_size,
        network=place.network,
        latents=config.latents,
        initialization=config.initialization,
        objective=model.objective,
        coefficients=coefficients_of(model),
        ramps={"capacity": ramp} if model.objective == "annealed_vae" else {},
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=model.seed,
    )


@cache
def vae_of(config: Config, place: Place, image_shape: tuple[int, int, int]) -> VAE:
    """One object for all models of a place, so that they share what is compiled."""
    settings = RunConfig(
        network=place.network, latents=config.latents, initialization=config.initialization
    )
    model = build_model(settings, image_shape)
    if isinstance(model, HVAE):
        raise ValueError(f"expected networks of one bottleneck, got {place.network}, a hierarchy")
    return model
