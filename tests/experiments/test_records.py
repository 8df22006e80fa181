"""A record of an experiment that lacks an array is made again, rather than a dead end."""

import numpy as np
import pytest
from experiments.records import record_file, write_arrays

from experiments import bottleneck, learning_dynamics
from experiments.bottleneck.config import Run
from experiments.bottleneck.ends import AT_END
from experiments.bottleneck.records import NAMES, end_file, missing_epochs, run_folder
from experiments.learning_dynamics.grid import Place
from experiments.learning_dynamics.records import between_file, is_compared, similarity_file
from jaxvae.analysis.dynamics import SIMILARITIES


@pytest.mark.parametrize("lacking", AT_END)
def test_the_end_of_a_run_that_lacks_an_array_is_measured_again(tmp_path, lacking):
    config = bottleneck.Config(bottlenecks=(2,), seeds=1, epochs=1, snapshots=())
    folder = run_folder(tmp_path, Run(2, 0))
    for epoch in config.measured_epochs:
        write_arrays(record_file(folder, epoch), dict.fromkeys(NAMES, np.zeros(1)))
    write_arrays(end_file(folder), dict.fromkeys(AT_END, np.zeros(1)))
    assert missing_epochs(config, tmp_path, Run(2, 0)) == []
    write_arrays(end_file(folder), dict.fromkeys({*AT_END} - {lacking}, np.zeros(1)))
    assert missing_epochs(config, tmp_path, Run(2, 0)) == [1]


@pytest.mark.parametrize("lacking", ["layer", "cka", "debiased_cka_null", "imbalance_replicate"])
def test_models_whose_similarities_lack_an_array_are_compared_again(tmp_path, lacking):
    config = learning_dynamics.Config(
        objectives=("beta_vae",), values=1, seeds=1, epochs=1, snapshots=(), costly_seeds=1
    )
    place, group = Place("sprites", "dense_vae"), learning_dynamics.models(config)
    names = {name + suffix for name in SIMILARITIES for suffix in ("", "_replicate", "_null")}
    for model in group:
        folder = place.folder(tmp_path) / model.name
        for epoch in config.measured:
            write_arrays(record_file(folder, epoch), {"reconstruction": np.zeros(())})
        write_arrays(similarity_file(folder), dict.fromkeys({"layer", *names}, np.zeros(1)))
    between = {"model": [model.name for model in group]} | dict.fromkeys(SIMILARITIES, np.zeros(1))
    write_arrays(between_file(place.folder(tmp_path)), between)
    assert is_compared(config, place, tmp_path)
    write_arrays(similarity_file(folder), dict.fromkeys({"layer", *names} - {lacking}, np.zeros(1)))
    assert not is_compared(config, place, tmp_path)
