"""The units of a sweep, done here: the numbers of single runs, kills on the way, extensions."""

import dataclasses
import io
import json
import re
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from jaxvae.files.whole import hidden_folder
from jaxvae.report.progress import sweep_progress
from jaxvae.runs import checkpoint, provenance
from jaxvae.runs.building import build_model, build_trainer, run_keys
from jaxvae.runs.checkpoint import RESUME
from jaxvae.runs.sweep_run import UNITS, model_of, program_of, read_settings_of, run_file
from jaxvae.sweeps import claims, unit_training
from jaxvae.sweeps.claims import claim
from jaxvae.sweeps.records import read_run
from jaxvae.sweeps.sweep import CLAIMS
from jaxvae.sweeps.work import work
from jaxvae.training import train, windows
from tests.files.damage import flip
from tests.files.unreadable import MESSAGE, make_readable, make_unreadable
from tests.processes import end, start
from tests.sweeps.folders import contents, tree
from tests.sweeps.smallest import COMMAND, Config, flat, load, measure, name_of, runs, sweep_of
from tests.sweeps.stops import StopError, stopping

pytestmark = pytest.mark.slow

CONFIG, SHAPE = Config(), (8, 8, 1)
REPLICATED = dataclasses.replace(CONFIG, seeds=(1,), replicate=True)


def do(sweep, names=None, *, wait=True):
    """Do a sweep here; the units that are left, and what was said."""
    said = io.StringIO()
    names = [unit.name for unit in sweep.units] if names is None else names
    with sweep_progress(Console(file=said, width=200), units=len(sweep.units)) as progress:
        return work(sweep, names, progress, wait=wait), said.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    left, said = do(sweep_of(CONFIG, out))
    assert left == []
    return out, said


@pytest.fixture(scope="module")
def out(finished):
    return finished[0]


@pytest.fixture
def copy(out, tmp_path):
    return shutil.copytree(out, tmp_path / "copy")


def test_members_over_devices_have_the_records_of_one_device(out, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "3")
    status, shown = end(start(COMMAND, tmp_path / "out", "--devices", "3"))
    assert status == 0, shown
    # Four runs on three devices.
    assert contents(tmp_path / "out") == contents(out)


def alone(config):
    """What `jaxvae train` learns of a run."""
    images = load(config).train.images
    model = build_model(config, images.shape[1:])
    trainer = build_trainer(config, model, dataset_size=len(images))
    state = trainer.init(run_keys(config)[0])
    batch_size, epochs = config.batch_size, config.epochs
    state = train(trainer, state, jnp.asarray(images), epochs=epochs, batch_size=batch_size)
    return flat(state.variables)


@pytest.mark.parametrize("seed", CONFIG.seeds)
def test_a_member_is_the_run_that_train_makes_with_its_keys(out, seed):
    config, record = runs(CONFIG)[name_of(3, seed)], read_run(out, name_of(3, seed))
    np.testing.assert_array_equal(record["learned"][-1], alone(config))
    np.testing.assert_array_equal(record["key"], jax.random.key_data(run_keys(config)[1]))


def test_a_member_of_a_smaller_bottleneck_is_the_run_that_train_makes_but_for_rounding(out):
    config = runs(CONFIG)[name_of(2, 1)]
    learned = read_run(out, name_of(2, 1))["learned"][-1]
    np.testing.assert_allclose(_unpadded(learned, config, 3), alone(config), atol=1e-6)


def _unpadded(numbers, config, latents):
    """What a model of its own size has of the numbers of a padded one."""
    padded, own = (
        jax.eval_shape(model_of(program_of(config, size), SHAPE).init, jax.random.key(0))
        for size in (latents, config.latents)
    )
    found, at = [], 0
    for large, small in zip(jax.tree.leaves(padded), jax.tree.leaves(own), strict=True):
        leaf = numbers[at : at + large.size].reshape(large.shape)
        found.append(np.ravel(leaf[tuple(slice(size) for size in small.shape)]))
        at += large.size
    return np.concatenate(found)


def test_a_finished_sweep_leaves_records_the_last_variables_and_nothing_to_go_on_from(out):
    units = sweep_of(CONFIG, out).units
    (unit,) = [unit for unit in units if unit.runs]
    folder = f"units/{unit.name}/snapshots"
    step = f"{folder}/step-0000000003"
    expected = {"claims", "runs", "total.npz", "units", f"units/{unit.name}", folder, step}
    expected |= {f"{step}/manifest.json", f"{step}/tree"}
    for size in (2, 3):
        expected |= {f"runs/bottleneck-{size}"}
        expected |= {f"runs/bottleneck-{size}/seed-{seed}.npz" for seed in (0, 1)}
    expected |= {"made", *(f"made/{each.name}.json" for each in units)}
    assert set(tree(out)) == expected


def test_the_variables_of_every_epoch_are_there_while_a_unit_is_at_work(out):
    record = read_run(out, name_of(3, 1))
    assert record["epoch"].tolist() == [0, 1, 3]
    np.testing.assert_array_equal(record["at_first"], record["learned"][0])
    assert np.any(record["learned"][0] != record["learned"][1])
    assert np.any(record["learned"][1] != record["learned"][2])


def test_what_is_made_of_all_runs_is_made_of_their_records(out):
    learned = [read_run(out, name)["learned"] for name in runs(CONFIG)]
    with np.load(out / "total.npz") as total:
        np.testing.assert_array_equal(total["total"], np.sum(learned, axis=0))


def test_every_unit_is_said_with_its_runs(finished):
    assert "dense_vae on sprites, beta_vae: latents 2, 3; seed 0, 1: " in finished[1]
    assert finished[1].count("failed False") == 4
    assert "sum of all: " in finished[1]


def test_a_finished_sweep_is_not_touched_again(copy):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    assert do(sweep_of(CONFIG, copy))[0] == []
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()} == before


def test_a_finished_sweep_needs_no_data(out):
    def no_data(config):
        raise AssertionError("the data was loaded")

    sweep = dataclasses.replace(sweep_of(CONFIG, out), load=no_data)
    assert sweep.unfinished() == []
    assert sweep.missing() == []


# --- stopped on the way ---------------------------------------------------------------


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    """A finished sweep of which the last epoch is trained twice."""
    out = tmp_path_factory.mktemp("replicated") / "out"
    do(replicating(out))
    return out


def replicating(out, measured=None):
    def measure_all(trained):
        every, last = (measured or measure)(trained)
        return every, last | {"replicate": flat(trained.replicate())} if trained.is_last else last

    return dataclasses.replace(sweep_of(REPLICATED, out), measure=measure_all)


def test_a_replicate_begins_where_its_model_was_before_the_last_epoch(replicated, out):
    for name in runs(REPLICATED):
        record = read_run(replicated, name)
        np.testing.assert_array_equal(record["learned"], read_run(out, name)["learned"])
        distance = np.abs(record["replicate"] - record["learned"][-1]).max()
        assert 0 < distance < np.abs(record["learned"][-1] - record["learned"][0]).max()


# Of two runs at three epochs.
@pytest.mark.parametrize(
    ("at", "error"), [(1, StopError()), (3, KeyboardInterrupt()), (6, OSError("disk full"))]
)
def test_a_measurement_that_is_broken_off_is_made_as_if_it_were_not(
    tmp_path, replicated, at, error
):
    with pytest.raises(type(error)):
        do(replicating(tmp_path, stopping(measure, at, error)))
    assert list((tmp_path / CLAIMS).iterdir()) == []
    assert do(replicating(tmp_path))[0] == []
    assert contents(tmp_path) == contents(replicated)
    assert tree(tmp_path) == tree(replicated)


STEPS = {
    "save": (checkpoint, "save", (1, 2, 3, 5, 6, 7)),
    "write": (unit_training, "write_arrays", (1, 2, 3)),
    "record": (unit_training, "write_run", (1, 2)),
    "remove": (checkpoint, "remove", (1, 2)),
    "tidy": (unit_training, "_tidy", (1,)),
    "rmtree": (unit_training, "shutil", (1, 2, 3)),
    "note": (provenance, "write_text_whole", (1, 2)),
}


@pytest.mark.parametrize(
    ("step", "at"), [(step, at) for step, (_, _, every) in STEPS.items() for at in every]
)
def test_a_unit_that_is_killed_at_any_step_ends_with_the_same_files(
    tmp_path, replicated, monkeypatch, step, at
):
    place, name, _ = STEPS[step]
    with monkeypatch.context() as patch:
        if name == "shutil":  # as `unit_training` has it, and nobody else
            rmtree = stopping(shutil.rmtree, at, StopError())
            patch.setattr(place, name, SimpleNamespace(rmtree=rmtree))
        else:
            patch.setattr(place, name, stopping(getattr(place, name), at, StopError()))
        with pytest.raises(StopError):
            do(replicating(tmp_path))
    assert do(replicating(tmp_path))[0] == []
    assert contents(tmp_path) == contents(replicated)
    assert tree(tmp_path) == tree(replicated)


def test_at_every_epoch_the_state_is_kept_where_that_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "_SAVE_SECONDS", 0.0)
    with pytest.raises(StopError):
        do(replicating(tmp_path, stopping(measure, 3, StopError())))
    (folder,) = tmp_path.glob(f"units/*/{RESUME}")
    # That of the epoch whose measurement was broken off, of four steps.
    assert checkpoint.steps(folder)[-1] == 4


def test_a_unit_whose_records_are_written_is_only_tidied(copy, monkeypatch):
    (unit,) = [unit for unit in sweep_of(CONFIG, copy).units if unit.runs]
    (copy / UNITS / unit.name / RESUME / "step-0000000012").mkdir(parents=True)
    assert unit in sweep_of(CONFIG, copy).unfinished()
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.npz")}
    assert do(sweep_of(CONFIG, copy))[0] == []
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*.npz")} == before
    assert not list((copy / UNITS).glob(f"*/{RESUME}"))


def test_a_record_that_is_lost_at_once_is_an_error_and_no_endless_loop(tmp_path):
    # A disk that loses what is written, between the end of the unit and a look at it.
    def lose(name, record):
        run_file(tmp_path, name).unlink()
        return name

    sweep = dataclasses.replace(sweep_of(CONFIG, tmp_path), describe=lose)
    with pytest.raises(OSError, match="expected to find the records of dense_vae on sprites"):
        do(sweep)
    assert list((tmp_path / CLAIMS).iterdir()) == []


# --- others ---------------------------------------------------------------------------


def test_a_unit_that_another_process_holds_is_not_done_here_and_waited_for(out, tmp_path):
    sweep = sweep_of(CONFIG, tmp_path)
    first = sweep.units[0]
    with claim(tmp_path / CLAIMS, first.name) as tell:
        assert tell is not None
        left, said = do(sweep, [sweep.units[1].name], wait=False)
    assert left == [sweep.units[1]]
    assert said == ""
    assert not (tmp_path / UNITS).exists()


@pytest.mark.parametrize("at", [1, 6, 12])
def test_a_process_that_was_overtaken_leaves_the_unit_to_the_other(
    tmp_path, out, caplog, monkeypatch, at
):
    calls = []
    # It was stopped for longer than it may be silent, and looks at its claim as soon as it goes on.
    monkeypatch.setattr(claims, "_TOLD_SECONDS", 0.0)

    def overtaken(trained):
        calls.append(trained.name)
        if len(calls) == at:
            # As after it was stopped for minutes: another process has done it all meanwhile.
            (file,) = (tmp_path / CLAIMS).iterdir()
            file.unlink()
            assert do(sweep_of(CONFIG, tmp_path))[0] == []
        return measure(trained)

    assert do(dataclasses.replace(sweep_of(CONFIG, tmp_path), measure=overtaken))[0] == []
    assert "the unit is left to the process that has it" in caplog.text
    assert contents(tmp_path) == contents(out)
    assert tree(tmp_path) == tree(out)


def test_a_share_does_its_own_and_what_needs_others_when_it_finds_them_done(tmp_path, out):
    sweep = dataclasses.replace(sweep_of(CONFIG, tmp_path), members=2)
    first, second, total = sweep.units
    assert do(sweep, [first.name, total.name], wait=False)[0] == [total]
    assert set(sweep.missing()) == set(second.runs)
    assert do(sweep, [second.name, total.name], wait=False)[0] == []
    # Models that would fit into one unit are padded as there: the numbers are the same.
    for name in runs(CONFIG):
        one, other = read_run(tmp_path, name), read_run(out, name)
        np.testing.assert_array_equal(one["learned"], other["learned"])


# --- extended, damaged, failed --------------------------------------------------------


def times(out):
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*.npz")}


@pytest.mark.parametrize("more", [{"seeds": (0, 1, 2)}, {"bottlenecks": (1, 2, 3)}], ids=str)
def test_a_finished_sweep_that_is_extended_trains_the_new_runs_alone(copy, more):
    before = times(copy)
    config = dataclasses.replace(CONFIG, **more)
    assert do(sweep_of(config, copy))[0] == []
    after = times(copy)
    new = {f"runs/{name}.npz" for name in set(runs(config)) - set(runs(CONFIG))}
    assert set(after) - set(before) == new
    assert {name for name in before if before[name] != after[name]} == {"total.npz"}
    assert len(new) == 2


def test_a_damaged_record_is_made_again_as_it_was(copy, out, caplog):
    file = run_file(copy, name_of(2, 1))
    flip(file)
    before = times(copy)
    assert do(sweep_of(CONFIG, copy))[0] == []
    assert f"{file} is damaged" in caplog.text
    one, other = read_run(copy, name_of(2, 1)), read_run(out, name_of(2, 1))
    for name in ("learned", "at_first", "key", "failed", "epoch"):
        np.testing.assert_array_equal(one[name], other[name])
    changed = {name for name, when in times(copy).items() if before[name] != when}
    assert changed == {"runs/bottleneck-2/seed-1.npz"}
    # Its variables are in a folder of its own.
    place = read_settings_of(file)[1]
    assert checkpoint.steps(copy / UNITS / place.unit / "snapshots") == [3]


def state(out):
    """When every file was written, with those that cannot be read."""
    files = [path for path in out.rglob("*") if not path.is_dir()]
    return {path: path.lstat().st_mtime_ns for path in files}


@pytest.mark.parametrize("name", ["runs/bottleneck-2/seed-1.npz", "total.npz"])
def test_what_cannot_be_read_is_neither_made_again_nor_replaced(copy, name):
    make_unreadable(copy / name)
    before = state(copy)
    with pytest.raises(OSError, match=MESSAGE.format(re.escape(name))):
        do(sweep_of(CONFIG, copy))
    assert state(copy) == before


def test_a_unit_whose_state_cannot_be_read_does_not_begin_anew(tmp_path, out):
    # One that is interrupted while it is measured keeps its state.
    measure_some = stopping(measure, 6, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        do(dataclasses.replace(sweep_of(CONFIG, tmp_path), measure=measure_some))
    (manifest,) = tmp_path.glob(f"units/*/{RESUME}/*/manifest.json")
    make_unreadable(manifest)
    before = state(tmp_path)
    with pytest.raises(OSError, match=MESSAGE.format(r"manifest\.json")):
        do(sweep_of(CONFIG, tmp_path))
    assert state(tmp_path) == before
    make_readable(manifest)
    assert do(sweep_of(CONFIG, tmp_path))[0] == []
    assert contents(tmp_path) == contents(out)


def test_what_was_made_of_all_runs_is_made_again_where_it_is_damaged(copy, out):
    (copy / "total.npz").write_bytes(b"torn")
    assert do(sweep_of(CONFIG, copy))[0] == []
    assert contents(copy)["total.npz"] == contents(out)["total.npz"]


def test_a_member_that_fails_is_recorded_as_failed_and_the_others_go_on(tmp_path, out):
    sweep = sweep_of(CONFIG, tmp_path)
    lost = name_of(3, 1)
    every = {
        name: dataclasses.replace(run, learning_rate=1e30) if name == lost else run
        for name, run in sweep.runs.items()
    }
    assert do(dataclasses.replace(sweep, runs=every))[0] == []
    assert read_run(tmp_path, lost)["failed"].tolist() == [False, True, True]
    for name in set(every) - {lost}:
        found = read_run(tmp_path, name)["learned"]
        np.testing.assert_array_equal(found, read_run(out, name)["learned"])


def test_the_settings_of_a_record_are_those_of_the_run(out):
    settings = read_settings_of(run_file(out, name_of(3, 1)))[0]
    assert json.loads(json.dumps(settings))["seed"] == 1
    assert settings["latents"] == 3


def test_a_leftover_of_a_kill_is_removed(tmp_path, out):
    sweep = sweep_of(CONFIG, tmp_path)
    folder = tmp_path / UNITS / sweep.units[0].name
    folder.mkdir(parents=True)
    with hidden_folder(folder) as beside:
        pass
    beside.mkdir()
    assert do(sweep)[0] == []
    assert tree(tmp_path) == tree(out)
