"""The models of the grid as runs of the library, which `jaxvae train` could train."""

from experiments.learning_dynamics.grid import (
    OBJECTIVES,
    Config,
    Model,
    Place,
    models,
    places,
    run_name,
)
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of

# Of the annealed capacity, as a share of all steps: a third in the paper.
_RAMP = 1 / 3


def runs(config: Config) -> dict[str, RunConfig]:
    """All models of all places, by name."""
    return {
        run_name(place, model): run_config(config, place, model)
        for place in places(config)
        for model in models(config)
    }


def run_config(config: Config, place: Place, model: Model) -> RunConfig:
    """A model of a place as a run."""
    objective = OBJECTIVES[model.objective]
    return RunConfig(
        data=place.data,
        **config.image_settings,
        train_size=config.train_size,
        network=place.network,
        latents=config.latents,
        initialization=config.initialization,
        objective=model.objective,
        coefficients={objective.coefficient: float(model.value), **objective.rest},
        ramps={"capacity": _ramp(config, place)} if model.objective == "annealed_vae" else {},
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=model.seed,
    )


def _ramp(config: Config, place: Place) -> int:
    """Steps over which capacity grows; data are looked at where only they tell how many."""
    if config.ramp is not None:
        return config.ramp
    images = config.train_size
    if images is None:
        settings = RunConfig(data=place.data, **config.image_settings)
        images = len(dataset_of(settings).train.images)
    return max(1, round(_RAMP * config.epochs * (images // config.batch_size)))
