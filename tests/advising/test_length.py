"""How long models are trained: until the second half of a training no longer helps."""

import io
import time
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from jaxvae.advising import study as studies
from jaxvae.advising.length import (
    MOST_STEPS,
    first_epochs,
    improving_in_the_means,
    longer_epochs,
    shown_to_improve,
)
from jaxvae.advising.reading import read_records
from jaxvae.advising.sentences import diagnoses
from jaxvae.advising.study import Study, do_study
from jaxvae.analysis.sizing import Training
from jaxvae.runs.checkpoint import steps
from jaxvae.sweeps import unit_training
from jaxvae.sweeps.processes import LOGS
from jaxvae.training import train_ensemble
from tests.advising.records import falling, records_of


def reading_of(imbalance, *, earlier):
    """Two sizes, three seeds, at epoch 8; Delta at epoch 4 was so many times as large."""
    return read_records(records_of(np.full((2, 3), imbalance), earlier=earlier))


def test_training_is_doubled_as_long_as_its_second_half_lowers_delta_by_a_quarter():
    assert longer_epochs(reading_of(0.07, earlier=1.4), 100) == 16
    assert longer_epochs(reading_of(0.07, earlier=1.3), 100) is None


def test_training_is_not_doubled_beyond_the_longest_that_is_tried():
    assert longer_epochs(reading_of(0.07, earlier=1.4), MOST_STEPS // 16) == 16
    assert longer_epochs(reading_of(0.07, earlier=1.4), MOST_STEPS // 16 + 1) is None


def test_a_model_on_a_plateau_that_has_learned_nothing_is_trained_on():
    assert longer_epochs(reading_of(0.9, earlier=1.0), 100) == 16


def test_training_that_made_a_model_worse_is_long_enough():
    assert longer_epochs(reading_of(0.2, earlier=0.5), 100) is None


def test_a_size_that_keeps_less_than_a_smaller_one_is_trained_longer_unless_a_size_is_enough():
    lost = np.array([0.2, 0.1, 0.3])[:, None] * np.ones(3)
    assert longer_epochs(read_records(records_of(lost)), 100) == 16
    decided = np.array([0.1, 0.1, 0.1, 0.3])[:, None] * np.ones(3)
    assert longer_epochs(read_records(records_of(decided)), 100) is None


def test_one_size_that_still_improves_is_named_and_enough_to_train_longer():
    records = records_of(np.full((2, 3), 0.1))
    records["imbalance"].values[1, :, 0, 3, 0] = 0.2
    assert improving_in_the_means(read_records(records)) == [4]
    assert shown_to_improve(read_records(records)) == [4]
    assert longer_epochs(read_records(records), 100) == 16


def told(share_left, *, seeds, noise, draws=300, noisy=6, shared=0.0):
    """How often six sizes are said to be undertrained, and perhaps to be.

    The second half of their training truly leaves a share of Delta. Of log Delta, noise of some
    sizes is given, and that of the others is .02; a seed may share some of it.
    """
    random = np.random.default_rng(0)
    reading = read_records(records_of(np.full((6, seeds), 0.1)))
    said = []
    for _ in range(draws):
        deviations = np.where(random.permutation(6) < noisy, noise, 0.02)[:, None]
        logs = deviations * random.standard_normal((2, 6, seeds))
        logs[0] += shared * random.standard_normal(seeds)
        earlier, end = 0.1 * np.exp(logs) * np.array([1.0, share_left])[:, None, None]
        after = reading._replace(earlier_imbalance=earlier, imbalance=end)
        said.append(" ".join(diagnoses(after)))
    return tuple(
        np.mean([text in each for each in said])
        for text in ("Undertrained: the last part", "Perhaps undertrained: ")
    )


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize(("noise", "noisy", "shared"), [(0.3, 6, 0.0), (0.1, 6, 0.1), (0.1, 1, 0)])
def test_sizes_that_gained_a_quarter_and_no_more_are_rarely_said_to_be_undertrained(
    seeds, noise, noisy, shared
):
    assert told(0.75, seeds=seeds, noise=noise, noisy=noisy, shared=shared, draws=150)[0] <= 0.08


@pytest.mark.parametrize(("seeds", "noise"), [(1, 0.1), (2, 0.3)])
def test_that_delta_falls_by_chance_alone_is_said_to_be_perhaps_chance(seeds, noise):
    surely, perhaps = told(1.0, seeds=seeds, noise=noise)
    assert surely <= 0.02
    assert perhaps > 0.05


def test_training_that_halves_delta_is_told():
    assert told(0.5, seeds=3, noise=0.1, draws=50)[0] > 0.95


def test_the_first_training_is_three_thousand_steps_and_has_a_half():
    assert [first_epochs(steps) for steps in (1, 10, 156, 5000)] == [3000, 300, 20, 2]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """What a study finds if training for `time_for` epochs or fewer is all that there is time for.

    Nothing is trained, and no study is made twice. The first model, of the largest size, is done
    after 20 epochs; all models together are after 40: until then the second half of a training
    lowers Delta by 29%.
    """

    def records(epochs, *, earlier):
        made = records_of(falling(4), earlier=earlier)
        return made.assign_coords(epoch=[epochs // 2, epochs])

    def all_models(study, out, epochs, training, *, failing):
        made = records(epochs, earlier=1.4 if epochs < 40 else 1.0)
        made["failed"][...] = failing and epochs >= 40
        return made

    @cache
    def study(*, time_for, epochs=None, failing=False):
        train = lambda job, *_: job.config.run["epochs"] <= time_for  # noqa: E731
        first_model = lambda grid, _: records(grid.run["epochs"], earlier=1.0)  # noqa: E731
        run = {"data": "sprites", "image_size": 8, "train_size": 20000, "network": "dense_vae"}
        asked = Study(run=run, points=100, epochs=epochs)
        first, out = Training((2, 4, 8), 3, ""), tmp_path_factory.mktemp("study")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(studies, "_train", train)
            patch.setattr(studies, "_records", partial(all_models, failing=failing))
            patch.setattr(studies, "gather", first_model)
            return do_study(asked, out, first, minutes=1, console=Console(quiet=True))

    return study


def test_a_study_is_decided_again_with_twice_the_epochs_where_models_still_improve(studied):
    found = studied(time_for=1000)
    assert found.wanted is None
    assert found.records["epoch"].values.tolist() == [20, 40]


def test_until_the_longer_training_is_done_the_shorter_one_answers(studied):
    found = studied(time_for=20)
    assert found.records["epoch"].values.tolist() == [10, 20]
    assert found.wanted is not None
    assert found.epochs == 40


def test_a_study_that_is_stopped_answers_from_what_was_all_trained(tmp_path, monkeypatch):
    def all_models(study, out, epochs, training):
        return records_of(falling(2, sizes=training.sizes, seeds=training.seeds, noise=0.3))

    monkeypatch.setattr(studies, "_train", lambda job, training, *_: training.seeds == 3)
    monkeypatch.setattr(studies, "_records", all_models)
    run = {"data": "sprites", "image_size": 8, "train_size": 64, "network": "dense_vae"}
    first, console = Training((2, 4, 8), 3, ""), Console(quiet=True)
    asked = Study(run=run, points=50, epochs=10)
    found = do_study(asked, tmp_path, first, minutes=1, console=console)
    assert found.wanted.seeds > 3
    assert found.records.sizes["seed"] == 3


@pytest.mark.parametrize(("points", "tried"), [(500, False), (60, True)])
def test_on_few_images_a_size_of_as_many_latents_as_are_used_is_trained_too(points, tried):
    def following(sizes):
        lost = falling(3, sizes=sizes, noise=0.01)
        records = records_of(lost, sizes=np.array(sizes), active=np.minimum(sizes, 4))
        records.attrs["points"] = points
        return studies._next(read_records(records), Training(sizes, 5, ""))

    wanted = following((1, 2, 3, 5, 10))
    assert (wanted[:2] if wanted else None) == (((1, 2, 3, 4, 5, 10), 5) if tried else None)
    assert following((1, 2, 3, 4, 5, 10)) is None


def test_a_small_size_whose_models_failed_is_not_tried_again_and_does_not_end_the_study():
    # Seven latents may be enough, so that three were tried, and all of them failed.
    enough = [[0.0115, 0.0119, 0.0109, 0.0115], [0.0124, 0.0136, 0.0105, 0.0141]]
    lost = [[0.06] * 4, [0.0182, 0.0168, 0.0173, 0.0169], *enough]
    records = records_of(lost, sizes=[3, 7, 10, 20])
    records["failed"][{"latents": 0}] = True
    wanted = studies._next(read_records(records), Training((3, 7, 10, 20), 4, ""))
    assert wanted.sizes == (3, 4, 7, 10, 20)


def test_a_size_between_others_whose_models_failed_does_not_end_the_study():
    # Of VAEs of MNIST: seeds would hardly decide seven latents, so that five were tried.
    enough = [[0.0156, 0.0143, 0.0135], [0.0156, 0.0170, 0.0143]]
    lost = [[0.1136, 0.1094, 0.1080], [0.04] * 3, [0.0217, 0.0186, 0.0195], *enough]
    records = records_of(lost, sizes=[3, 5, 7, 10, 20])
    records["failed"][{"latents": 1, "seed": 1}] = True
    wanted = studies._next(read_records(records), Training((3, 5, 7, 10, 20), 3, ""))
    assert wanted[:2] == ((3, 5, 7, 8, 10, 20), 3)


def test_given_epochs_are_not_doubled(studied):
    found = studied(time_for=1000, epochs=10)
    assert found.wanted is None
    assert found.records["epoch"].values.tolist() == [5, 10]


def test_where_longer_trainings_fail_the_shorter_ones_have_decided(studied):
    found = studied(time_for=1000, failing=True)
    assert found.wanted is None
    assert found.records["epoch"].values.tolist() == [10, 20]
    assert "after 20 epochs, but with 40 epochs some failed" in found.on_length


def test_a_longer_training_that_is_not_done_yet_is_named(studied):
    assert "continues with 40 epochs" in studied(time_for=20).on_length
    assert studied(time_for=1000).on_length == ""


@pytest.mark.slow
def test_a_model_that_is_not_done_in_time_goes_on_where_it_stopped(tmp_path, monkeypatch):
    # The clock is looked at before training, as a unit begins, and at every report but the first.
    run = {"data": "sprites", "image_size": 8, "train_size": 64, "batch_size": 16}
    run |= {"network": "dense_vae", "options": {"widths": (8,)}}
    study, first = Study(run=run, points=50, epochs=400), Training((2,), 1, "")

    def done(minutes):
        return do_study(study, tmp_path, first, minutes=minutes, console=Console(quiet=True))

    clock = iter([0.0, 1.0, 1.0, 100.0])
    monkeypatch.setattr(studies, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert done(minutes=1).wanted == first
    (stopped,) = tmp_path.glob("epochs-400/units/*/resume")
    (step,) = steps(stopped)
    assert 0 < step < 400 * 4
    begun = []

    def train(trainer, ensemble, *arguments, **options):
        begun.append(int(ensemble.states.step.max()))
        return train_ensemble(trainer, ensemble, *arguments, **options)

    monkeypatch.setattr(studies, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(unit_training, "train_ensemble", train)
    assert done(minutes=1).records is not None
    assert begun[0] == step


@pytest.mark.slow
def test_models_that_another_process_trains_are_those_of_this_one(tmp_path, monkeypatch):
    run = {"data": "sprites", "image_size": 8, "train_size": 64, "batch_size": 16}
    run |= {"network": "dense_vae", "options": {"widths": (8,)}}
    study, first = Study(run=run, points=50, epochs=2), Training((1, 2), 2, "")
    printed = io.StringIO()

    def done(out, processes):
        console = Console(file=printed, width=200)
        return do_study(study, out, first, minutes=9, console=console, processes=processes).records

    def wait(sweep, names, progress, *, wait):
        while sweep.unfinished():
            time.sleep(0.1)

    monkeypatch.setattr(studies, "next_training", lambda *_, **__: None)
    expected = done(tmp_path / "one", 1)
    monkeypatch.setattr(studies, "work", wait)
    xr.testing.assert_identical(done(tmp_path / "two", 2), expected)
    assert printed.getvalue().count("by another process\n  latents-") == 4
    # It may be told to end before it has said that the last is done.
    assert "latents-1_seed-0" in (tmp_path / "two/epochs-2" / LOGS / "0.log").read_text()
