"""The models of the grid as runs of the library, which `jaxvae train` could train."""

from experiments.learning_dynamics.config import (
    OBJECTIVES,
    Config,
    DataAndNetwork,
    Model,
    data_and_networks,
    models,
    run_name,
)
from jaxvae.runs.config import RunConfig
from jaxvae.runs.images import dataset_of

# The annealed capacity grows over this share of all steps: a third in the paper.
_RAMP = 1 / 3


def runs(config: Config) -> dict[str, RunConfig]:
    """The models of all data sets and networks, by name."""
    return {
        run_name(group, model): run_config(config, group, model)
        for group in data_and_networks(config)
        for model in models(config)
    }


def run_config(config: Config, group: DataAndNetwork, model: Model) -> RunConfig:
    """A model, for a data set and network, as a run."""
    objective = OBJECTIVES[model.objective]
    return RunConfig(
        data=group.data,
        **config.image_settings,
        train_size=config.train_size,
        network=group.network,
        latents=config.latents,
        initialization=config.initialization,
        objective=model.objective,
        coefficients={objective.coefficient: float(model.value), **objective.rest},
        ramps={"capacity": _ramp(config, group)} if model.objective == "annealed_vae" else {},
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=model.seed,
    )


def _ramp(config: Config, group: DataAndNetwork) -> int:
    """Steps over which the capacity grows; data are read only if their size decides it."""
    if config.ramp is not None:
        return config.ramp
    images = config.train_size
    if images is None:
        settings = RunConfig(data=group.data, **config.image_settings)
        images = len(dataset_of(settings).train.images)
    return max(1, round(_RAMP * config.epochs * (images // config.batch_size)))
