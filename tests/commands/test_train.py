"""`jaxvae train`: what it prints, keeps, resumes and refuses."""

import dataclasses
import gc
import json
import re
import shutil
import signal
import sys
from functools import partial
from itertools import zip_longest
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.cli import main
from jaxvae.commands.arguments.settings import choices
from jaxvae.data import dataset_names, load
from jaxvae.runs import checkpoint
from jaxvae.runs.building import build_model, build_trainer
from jaxvae.runs.choices import likelihoods, named_objectives, networks, objective_coefficients
from jaxvae.runs.config import RunConfig, parsed_config
from jaxvae.runs.folder import read_settings, sole_process
from jaxvae.runs.ready import ready_run, refuse_few
from jaxvae.runs.run import latest_state
from jaxvae.runs.saved import open_run
from jaxvae.training import epochs as epochs_module
from jaxvae.training import evaluation_variables, memory, train
from jaxvae.training.memory import tree_bytes
from tests.commands.refusals import assert_refused
from tests.processes import stop

pytestmark = pytest.mark.usefixtures("own_images")

SMALL = ["--data", "images.npy", "--image-size", "16", "--train-size", "200"]
SMALL += ["--network", "dense_vae", "--option", "widths=16", "--latents", "3"]
CONFIG = RunConfig(
    image_size=16,
    train_size=200,
    network="dense_vae",
    options={"widths": [16]},
    latents=3,
    epochs=2,
)
OWN = """
from typing import NamedTuple
import jax.numpy as jnp

class Terms(NamedTuple):
    reconstruction: object
    size: object

def shrink(outputs, *, weight=1.0):
    reconstruction, size = jnp.mean(outputs.nll), jnp.mean(outputs.mean ** 2)
    return reconstruction + weight * size, Terms(reconstruction, size)
"""


def words_of(out, *arguments, epochs=2):
    return ["train", *SMALL, "--epochs", str(epochs), "--out", str(out), *arguments]


def run(out, *arguments, **options):
    return main(words_of(out, *arguments, **options))


def contents(folder):
    """Every file but those that only exist while a command runs, with its time."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def assert_same_variables(one, other, step=None):
    first, second = open_run(one, step).variables, open_run(other, step).variables
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture(scope="module")
def finished(own_images, tmp_path_factory):
    out = tmp_path_factory.mktemp("train") / "run"
    assert run(out) == 0
    return out


@pytest.fixture(scope="module")
def longer(own_images, tmp_path_factory):
    """The same run, of twice the epochs from the start."""
    out = tmp_path_factory.mktemp("train") / "longer"
    assert run(out, epochs=4) == 0
    return out


# --- a run ----------------------------------------------------------------------------


def test_a_run_is_that_of_the_library(finished, own_images):
    dataset = load(str(own_images), image_size=16, train_size=200)
    vae = build_model(CONFIG, (16, 16, 1))
    trainer = build_trainer(CONFIG, vae, dataset_size=200)
    state = trainer.init(jax.random.split(jax.random.key(0))[0])
    state = train(trainer, state, dataset.train.images, epochs=2, batch_size=64)
    jax.tree.map(np.testing.assert_array_equal, open_run(finished).variables, state.variables)


def test_a_run_of_several_snapshots_holds_as_many_states_as_the_memory_is_checked_for(
    tmp_path, monkeypatch
):
    def held():
        gc.collect()
        arrays = [
            each
            for each in jax.live_arrays()
            if len(each.devices()) == 1 and not jnp.issubdtype(each.dtype, jax.dtypes.prng_key)
        ]
        return sum({each.unsafe_buffer_pointer(): each.nbytes for each in arrays}.values())

    take_steps, before, seen = epochs_module._run, held(), []

    def looked(trainer, state, *given, **named):
        window = jax.block_until_ready(take_steps(trainer, state, *given, **named))
        seen.append((held() - before) / tree_bytes(state))
        return window

    monkeypatch.setattr(epochs_module, "_run", looked)
    assert run(tmp_path / "run", "--snapshots", "2") == 0
    # Beside the images.
    assert 0 <= max(seen) - memory._STATES < 1


def test_the_folder_holds_the_settings_one_snapshot_and_the_state(finished, own_images):
    config = dataclasses.replace(CONFIG, data=str(own_images))
    file = finished / "run.json"
    assert parsed_config(read_settings(file), file) == (config, (16, 16, 1))
    assert checkpoint.steps(finished / "snapshots") == [6]
    assert checkpoint.steps(finished / "resume") == [6]
    assert {path.name for path in finished.iterdir()} == {
        "run.json", "held_out.json", "curve.json", "made", "snapshots", "resume", ".lock",
    }  # fmt: skip


def test_what_is_trained_and_how_well_is_said_at_the_end(tmp_path, capsys):
    assert run(tmp_path / "run", "--data", "sprites", epochs=1) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("dense_vae, 3 latents, 8,630 parameters; beta_vae, bernoulli; ")
    assert "held out, 10,000 images: distortion " in printed.out
    assert " of 3 units active" in printed.out
    assert f"run: {tmp_path / 'run'}\n" in printed.out
    assert printed.err == ""


@pytest.mark.slow
def test_a_steadied_run_says_what_became_of_its_gradients_and_keeps_averages(tmp_path, capsys):
    given = ["--clip", "1e-3", "--skip", "1e6", "--average", "0.5", "--warmup", "3"]
    assert run(tmp_path, *given, epochs=1) == 0
    assert "of 3 gradients, 3 clipped, 0 skipped\n" in capsys.readouterr().out
    saved = open_run(tmp_path)
    assert (saved.config.clip, saved.config.skip) == (1e-3, 1e6)
    assert (saved.config.average, saved.config.warmup) == (0.5, 3)
    trainer = build_trainer(saved.config, saved.vae, dataset_size=200)
    state = latest_state(trainer, tmp_path, partial(trainer.init, jax.random.key(0)))
    expected = evaluation_variables(state)
    jax.tree.map(np.testing.assert_array_equal, saved.variables, expected)
    moved = jax.tree.map(np.array_equal, saved.variables.params, state.variables.params)
    assert not jax.tree.all(moved)


def test_snapshots_are_evenly_spaced(tmp_path):
    assert run(tmp_path, "--snapshots", "2", epochs=4) == 0
    assert checkpoint.steps(tmp_path / "snapshots") == [6, 12]


OBJECTIVES = [
    ["annealed_vae", "capacity=5", "gamma=10"],
    ["beta_tc_vae", "beta=6"],
    ["dip_vae_i", "off_diagonal=10"],
    ["dip_vae_ii", "off_diagonal=10", "diagonal=5"],
    ["beta_vae", "beta=4"],
    ["factor_vae", "gamma=6"],
    ["free_bits", "free=0.1"],
]


# An objective and a likelihood have no part in each other: one run tries both.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "likelihood"),
    [*zip_longest(OBJECTIVES, likelihoods(), fillvalue="bernoulli")],
    ids=lambda one: one[0] if isinstance(one, list) else one,
)
def test_every_objective_with_a_ramp_and_every_likelihood_trains_from_the_command_line(
    tmp_path, objective, likelihood
):
    name, *numbers = objective
    ramp = f"{numbers[0].partition('=')[0]}=5"
    given = ["--objective", name, "--coefficient", *numbers, "--ramp", ramp]
    assert run(tmp_path, *given, "--likelihood", likelihood, epochs=1) == 0
    assert open_run(tmp_path).config.ramps == {ramp.partition("=")[0]: 5}


@pytest.mark.slow
def test_a_likelihood_takes_its_options(tmp_path):
    option = ["--likelihood-option", "standard_deviation=0.5"]
    assert run(tmp_path, "--likelihood", "gaussian", *option, epochs=1) == 0
    saved = open_run(tmp_path)
    assert saved.config.likelihood_options == {"standard_deviation": 0.5}
    images = np.zeros((1, *saved.vae.image_shape))
    noise = np.zeros((1, saved.vae.latents))
    outputs = jax.jit(saved.vae.apply)(saved.variables, images, noise)
    # Half the squared error over the variance, and the logarithm of the normalization.
    error = np.sum(np.square(outputs.taps["output"], dtype=np.float64))
    expected = error / (2 * 0.25) + images.size * np.log(0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(outputs.nll, [expected], rtol=1e-5)


@pytest.mark.slow
def test_an_objective_of_the_users_own_is_found_beside_them(own_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_objectives.py").write_text(OWN)
    objective = ["--objective", "my_objectives:shrink", "--coefficient", "weight=2"]
    assert run("out", "--data", str(own_images), *objective, epochs=1) == 0
    saved = open_run(tmp_path / "out", trust=True)
    assert saved.config.objective == "my_objectives:shrink"


# --- help -----------------------------------------------------------------------------


def test_help_lists_all_there_is_with_what_it_takes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for name, function in {**networks(), **named_objectives(), **likelihoods()}.items():
        assert f"  {name} " in text
        assert function.__doc__.partition("\n")[0] in text
    for objective in named_objectives().values():
        assert all(f"{name}=" in text for name in objective_coefficients(objective))
    assert ", ".join(dataset_names()) in text


def test_defaults_are_shown_and_required_numbers_asked_for():
    assert "--option widths=512,256\n" in choices()
    assert "--coefficient capacity=NUMBER gamma=1000\n" in choices()
    assert "--coefficient off_diagonal=NUMBER [diagonal=NUMBER]\n" in choices()


# --- again ----------------------------------------------------------------------------


def test_a_finished_run_is_only_evaluated_again(finished, capsys):
    before = contents(finished / "snapshots"), contents(finished / "resume")
    assert run(finished) == 0
    assert "all 2 epochs are done" in capsys.readouterr().out
    assert (contents(finished / "snapshots"), contents(finished / "resume")) == before


@pytest.mark.slow
def test_more_epochs_go_on_from_a_finished_run(finished, longer, tmp_path):
    out = shutil.copytree(finished, tmp_path / "run")
    assert run(out, epochs=4) == 0
    assert checkpoint.steps(out / "snapshots") == [6, 12]
    assert_same_variables(out, longer)


def test_more_devices_than_there_are_are_refused(tmp_path, capsys):
    assert run(tmp_path / "run", "--devices", "999") == 2
    assert "expected at most " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_fewer_epochs_than_are_done_are_refused(finished, capsys):
    assert run(finished, epochs=1) == 2
    assert "expected --epochs of at least 2, which" in capsys.readouterr().err


def test_other_settings_are_refused_by_name_and_nothing_is_touched(finished, capsys):
    before = contents(finished)
    assert run(finished, "--coefficient", "beta=2", "--seed", "1") == 2
    message = capsys.readouterr().err
    changed = "coefficients beta 1.0 (now 2.0), seed 0 (now 1)"
    assert f"{changed}; choose another --out" in message
    assert contents(finished) == before


@pytest.mark.parametrize("after", [ready_run, sole_process])
def test_a_run_that_another_process_began_meanwhile_is_left_alone(
    finished, tmp_path, capsys, monkeypatch, after
):
    out = tmp_path / "run"

    def later(*arguments, **options):
        made = after(*arguments, **options)
        shutil.copytree(finished, out, dirs_exist_ok=True)
        return made

    monkeypatch.setattr(f"jaxvae.commands.train.{after.__name__}", later)
    assert run(out, "--learning-rate", "1e-3") == 2
    assert "--learning-rate 0.0001 (now 0.001)" in capsys.readouterr().err
    files, before = (
        {path.relative_to(folder): time for path, time in contents(folder).items()}
        for folder in (out, finished)
    )
    if after is sole_process:
        # It was taken.
        del files[Path(".lock")], before[Path(".lock")]
    assert files == before


# --- from another run -----------------------------------------------------------------


def go_on(source, out, *arguments):
    return main(["train", "--from", str(source), "--out", str(out), *arguments])


@pytest.mark.slow
def test_a_run_goes_on_in_another_folder_as_it_would_in_its_own(finished, longer, tmp_path, capsys):
    before = contents(finished)
    assert go_on(finished, tmp_path / "more", "--epochs", "4", "--snapshots", "2") == 0
    assert "begins at step 6 of " in capsys.readouterr().out
    assert_same_variables(tmp_path / "more", longer)
    assert checkpoint.steps(tmp_path / "more/snapshots") == [9, 12]
    assert contents(finished) == before
    settings = json.loads((tmp_path / "more/run.json").read_text())
    assert settings["from"] == {"run": str(finished), "epochs": 2}
    assert open_run(tmp_path / "more", epoch=3).step == 9
    # Again, it is done; without --from it would be another run.
    assert go_on(finished, tmp_path / "more", "--epochs", "4", "--snapshots", "2") == 0
    assert run(tmp_path / "more", epochs=4) == 2
    assert f"expected --from {finished}, with which" in capsys.readouterr().err


CHANGED = ["--learning-rate", "1e-3", "--coefficient", "beta=2"]


@pytest.fixture(scope="module")
def second(finished, tmp_path_factory):
    """A run that began with another, and changed its settings."""
    out = tmp_path_factory.mktemp("train") / "second"
    assert go_on(finished, out, "--epochs", "3", *CHANGED) == 0
    return out


@pytest.fixture(scope="module")
def third(second, tmp_path_factory):
    """A run that began with the second, which had no snapshots any more."""
    folder = tmp_path_factory.mktemp("train")
    source = shutil.copytree(second, folder / "second")
    shutil.rmtree(source / "snapshots")
    assert go_on(source, folder / "third", "--epochs", "4") == 0
    return folder / "third"


@pytest.mark.slow
def test_a_chain_of_runs_takes_its_settings_from_the_first_and_what_is_given(third):
    config = open_run(third).config
    assert (config.learning_rate, config.coefficients) == (1e-3, {"beta": 2.0})
    assert (config.latents, config.options, config.train_size) == (3, {"widths": [16]}, 200)


@pytest.mark.slow
def test_a_run_whose_states_are_lost_begins_again_with_the_other_run(finished, second, tmp_path):
    out = shutil.copytree(second, tmp_path / "out")
    shutil.rmtree(out / "resume")
    shutil.rmtree(out / "snapshots")
    assert go_on(finished, out, "--epochs", "3", *CHANGED) == 0
    assert_same_variables(out, second)


@pytest.mark.slow
def test_a_run_that_has_a_state_of_its_own_goes_on_without_the_other_run(
    finished, second, third, tmp_path, capsys
):
    # As if it had begun with a run that is gone.
    source, out = tmp_path / "gone", shutil.copytree(second, tmp_path / "out")
    settings = json.loads((out / "run.json").read_text())
    settings["from"]["run"] = str(source)
    (out / "run.json").write_text(json.dumps(settings))
    given = [*CHANGED, "--epochs", "4"]
    assert go_on(source, out, *given) == 0
    assert_same_variables(out, third)
    assert go_on(finished, out, *given) == 2
    assert f"expected --from {source}, with which the run in" in capsys.readouterr().err
    shutil.rmtree(out / "resume")
    before = contents(out)
    assert go_on(source, out, *given) == 2
    message = f"expected the run of --from in {source}, found none: it is needed as long as"
    assert message in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --epochs above 2, which"),
        (["--epochs", "4", "--latents", "4"], "expected latents 3 of"),
        (["--epochs", "4", "--image-size", "32"], "expected --image-size 16 of"),
        (["--epochs", "4", "--snapshots", "3"], "expected 1 to 2 snapshots of 2 epochs, got 3"),
        (["--epochs", "4", "--option", "widths=8"], "expected options {'widths': [16]} of"),
    ],
)
def test_a_run_that_cannot_go_on_so_is_refused_and_leaves_nothing(
    finished, tmp_path, capsys, arguments, message
):
    assert go_on(finished, tmp_path / "out", *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_a_damaged_or_lost_last_state_is_refused_before_anything_is_written(
    finished, tmp_path, capsys
):
    source = shutil.copytree(finished, tmp_path / "run")
    file = max((source / "resume/step-0000000006").rglob("*"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    assert go_on(source, tmp_path / "out", "--epochs", "4") == 2
    message = f"{file} does not match its checksum; the own command of that run makes it again"
    assert message in capsys.readouterr().err
    shutil.rmtree(source / "resume")
    assert go_on(source, tmp_path / "out", "--epochs", "4") == 2
    assert "has done 2 epochs, got one after 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_of_a_sweep_and_the_folder_itself_are_nothing_to_begin_with(
    finished, tmp_path, capsys
):
    assert go_on(finished, finished, "--epochs", "4") == 2
    assert "expected another folder for --out than --from" in capsys.readouterr().err
    (tmp_path / "sweep/runs").mkdir(parents=True)
    (tmp_path / "sweep/runs/seed-0.npz").touch()
    assert go_on(tmp_path / "sweep/seed-0", tmp_path / "out", "--epochs", "4") == 2
    assert "a sweep keeps its models, not what Adam remembers" in capsys.readouterr().err


# --- interrupted ----------------------------------------------------------------------

LONG = ["--snapshots", "4"]
LONG_EPOCHS = 400
RUN_LONG = [sys.executable, "-m", "jaxvae", "train", *SMALL, "--epochs", str(LONG_EPOCHS), *LONG]


@pytest.mark.slow
def test_a_run_that_was_killed_and_told_to_end_goes_on_and_ends_bitwise_as_one_that_was_not(
    tmp_path,
):
    out, last = tmp_path / "run", 3 * LONG_EPOCHS
    status, _ = stop(RUN_LONG, out, signal.SIGKILL, after="resume/step-0000000300")
    assert status == -signal.SIGKILL
    assert 0 < max(checkpoint.steps(out / "resume")) < last
    before = max(checkpoint.steps(out / "resume"))
    status, shown = stop(RUN_LONG, out, signal.SIGTERM, after="snapshots/step-0000000900")
    assert status == 143
    assert shown.endswith("Terminated. The same command continues where it stopped.\n")
    assert "Traceback" not in shown
    assert before < max(checkpoint.steps(out / "resume")) < last
    assert run(out, *LONG, epochs=LONG_EPOCHS) == 0
    assert run(tmp_path / "long", *LONG, epochs=LONG_EPOCHS) == 0
    steps = checkpoint.steps(tmp_path / "long/snapshots")
    assert checkpoint.steps(out / "snapshots") == steps == [300, 600, 900, 1200]
    for step in steps:
        assert_same_variables(out, tmp_path / "long", step)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGTERM, 0.5), (signal.SIGINT, 1.5)])
def test_a_run_that_is_told_to_end_while_it_compiles_ends(tmp_path, monkeypatch, number, seconds):
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    returned, shown = stop(RUN_LONG, tmp_path / "run", number, after=".lock", wait=seconds)
    status, word = {signal.SIGTERM: (143, "Terminated"), signal.SIGINT: (130, "Interrupted")}[
        number
    ]
    assert returned == status
    assert shown.endswith(f"{word}. The same command continues where it stopped.\n")


def test_a_folder_where_another_is_at_work_is_refused(tmp_path, capsys):
    with sole_process(tmp_path):
        assert run(tmp_path) == 75
    assert "expected no other process at work in" in capsys.readouterr().err


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning-rate", "nan"], "expected --learning-rate finite and positive, got nan"),
        (
            ["--learning-rate", "1e-60"],
            "expected --learning-rate of 1.2e-38 to 3.4e+38, as float32",
        ),
        (
            ["--learning-rate", "1e300"],
            "expected --learning-rate of 1.2e-38 to 3.4e+38, as float32",
        ),
        (["--l2", "1e60"], "expected l2 of 1.2e-38 to 3.4e+38, as float32 has them, got 1e+60"),
        (["--clip", "inf"], "expected clip finite and positive, got inf"),
        (["--objective", ""], "expected as objective one of beta_vae, "),
        (["--coefficient", "=3"], "expected --coefficient NAME=VALUE, got =3"),
        (["--coefficient", "beta=1", "beta=2"], "expected one --coefficient beta, got also beta=2"),
        (["--train-size", "0"], "expected a positive --train-size, a whole number, got 0"),
        (["--batch-size", "201"], "expected 1 <= --batch-size <= 200 images, got 201"),
        (["--epochs", "0"], "expected epochs of at least 1, got 0"),
        (["--seed", "-1"], "expected seed of at least 0, got -1"),
        (["--coefficient", "beta=-1"], "expected beta of at least 0, got -1"),
        (["--latents", "0"], "expected latents of at least 1, got 0"),
        (["--snapshots", "3"], "expected 1 to 2 snapshots of 2 epochs, got 3"),
        (["--data", "no_such_set"], "got 'no_such_set'"),
        (["--network", "resnet"], "expected as network one of compact_vae, "),
        (["--network", "dense_vea"], "'dense_vea'; did you mean dense_vae or "),
        (["--network", "compact_vae"], "expected options of compact_vae among none"),
        (["--objective", "vae"], "expected as objective one of beta_vae, annealed_vae, "),
        (["--objective", "no_module:vae"], "expected vae in no_module as objective, got No module"),
        (["--objective", "json:dumps"], "expected json:dumps, as objective, to take outputs"),
        (["--network", "json:dumps"], "expected json:dumps, as network, to take image_shape"),
        (["--likelihood", "os:getcwd"], "expected os:getcwd, as likelihood, to be annotated"),
        (
            ["--coefficient", "beta=1,2"],
            "expected one number, as beta of dense_vae, got (1.0, 2.0)",
        ),
        (["--coefficient", "beta=-1"], "expected beta of at least 0, got -1.0"),
        (["--coefficient", "beta=1e39"], "expected a finite beta, got 1e+39"),
        (["--warmup", "1000000000000"], "expected warmup of at most 2147483647, got 1000000000000"),
        (["--ramp", "beta=1000000000000"], "expected a ramp of beta over at most 2147483647, got"),
        (["--epochs", "1000000000"], "expected at most 2147483647 steps in all, got 3000000000"),
        (
            ["--latents", "1000000000"],
            "memory available, for the parameters, the optimizer and a batch, got ",
        ),
        (
            ["--data", "sprites", "--image-size", "1000000"],
            "GiB, which is the memory available, for 10,200 images, got",
        ),
        (["--objective", "jax:__version__"], "expected jax:__version__ to be a function, got str"),
        (["--likelihood", "normal"], "expected as likelihood one of bernoulli, "),
        (["--likelihood-option", "scale=2"], "expected options of bernoulli among none"),
        (
            ["--likelihood", "gaussian", "--likelihood-option", "standard_deviation=0"],
            "expected a positive standard_deviation, got 0.0",
        ),
        (
            ["--likelihood", "gaussian", "--likelihood-option", "standard_deviation=1e-60"],
            "expected standard_deviation of gaussian as a number of float32, got 1e-60",
        ),
        (["--option", "width=3"], "expected options of dense_vae among widths; got width"),
        (["--option", "widths=8"], "expected one --option widths, got also widths=8"),
        (["--coefficient", "bta=4"], "among beta; got bta; did you mean beta?"),
        (["--option", "widths"], "expected --option NAME=VALUE, got widths"),
        (["--objective", "annealed_vae"], "expected the coefficient capacity of annealed_vae"),
        (["--coefficient", "gamma=1"], "expected coefficients of beta_vae among beta; got gamma"),
        (["--coefficient", "beta=inf"], "expected a finite beta, got inf"),
        (["--ramp", "gamma=9"], "expected ramps of beta_vae among beta; got gamma"),
        (["--ramp", "beta=0"], "expected a ramp of beta over at least 1 step, got 0"),
        (["--objective", "beta_tc_vae", "--batch-size", "1"], "expected a batch of 2 to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_has_status_2_one_line_and_leaves_nothing(tmp_path, capsys, arguments, message):
    assert_refused(words_of(tmp_path / "out", *arguments), message, capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ("1000000000", "choose a smaller network or batch"),
        ("a", "expected --option NAME=VALUE, got widths=a: invalid literal"),
        ("0", "got widths=0: expected at least 1, got 0"),
    ],
)
def test_widths_that_no_network_has_are_refused(tmp_path, capsys, widths, message):
    plain = [word for word in SMALL if word not in ("--option", "widths=16")]
    arguments = ["--option", f"widths={widths}", "--out", str(tmp_path / "out")]
    assert main(["train", *plain, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


BROKEN = """
import sys
from jaxvae.models.likelihoods import Likelihood

def five() -> Likelihood:
    return 5

def leaves(*rest, **more) -> Likelihood:
    sys.exit()

def objective(outputs):
    raise RuntimeError("of their own\\nand more")
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--likelihood", "broken_own:five"], "expected a Likelihood of broken_own:five, got int"),
        (["--likelihood", "broken_own:leaves"], "expected broken_own:leaves to return, got System"),
        (
            ["--likelihood", "broken_own:leaves", "--likelihood-option", "more=3"],
            "expected options of broken_own:leaves among none (it takes none); got more",
        ),
        (["--objective", "broken_own:objective"], "to return, got RuntimeError: of their own\n"),
        (["--objective", "leaving_own:objective"], "in leaving_own as objective, got SystemExit"),
    ],
)
def test_what_a_function_of_the_users_own_raises_is_one_line(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_own.py").write_text(BROKEN)
    (tmp_path / "leaving_own.py").write_text("import sys; sys.exit()")
    assert run(tmp_path / "out", *arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1
    assert message in shown
    assert not (tmp_path / "out").exists()


def test_a_network_of_more_layers_than_can_be_traced_is_refused():
    config = RunConfig(network="deep_hvae", options={"blocks": [3000]})
    with pytest.raises(
        ValueError, match="expected blocks of deep_hvae of at most 1,000 in all, go"
    ):
        build_model(config, (8, 8, 1))


@pytest.mark.parametrize("text", ["{", "{}"])
def test_settings_that_were_torn_are_no_dead_end(tmp_path, capsys, text):
    (tmp_path / "run.json").write_text(text)
    assert run(tmp_path) == 2
    shown = capsys.readouterr().err
    assert "remove run.json alone, and it goes on" in shown
    assert shown.count("\n") == 1


def test_images_that_the_network_does_not_take_leave_nothing(tmp_path, capsys):
    arguments = ["--image-size", "20", "--train-size", "100", "--out", str(tmp_path / "out")]
    assert main(["train", *arguments]) == 2
    refused = capsys.readouterr().err
    assert "expected height and width divisible by 16" in refused
    assert "such as by --image-size 32, or take a network without such a limit" in refused
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_is_said_at_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    given = ["--image-size", "20", "--train-size", "100", "--out", str(tmp_path / "file/out")]
    assert main(["train", *given, "--coefficient", "bta=4", "--batch-size", "101"]) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    first, *others = refused.split(". Also: ")
    assert first.startswith("error: expected height and width divisible by 16")
    assert len(others) == 3
    assert others[0].startswith("expected coefficients of beta_vae among beta; got bta")
    assert others[1].startswith("expected 1 <= --batch-size <= 100 images, got 101")
    assert others[2].startswith("expected a folder that can be written for --out")
    assert run(tmp_path / "out", "--latents", "0", "--learning-rate", "-1") == 2
    refused = capsys.readouterr().err
    assert (
        "expected --learning-rate finite and positive, got -1.0. Also: expected latents" in refused
    )


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "out") == 2
    assert "expected a folder that can be written for --out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_run_is_made_again_and_says_which_file_it_was(finished, tmp_path, capsys):
    out = shutil.copytree(finished, tmp_path / "br[1]")
    for part in ("snapshots", "resume"):
        (place,) = (out / part).iterdir()
        file = max(place.rglob("*"), key=lambda path: path.is_file() * path.stat().st_size)
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=f"{re.escape(str(out))}.* does not match its checksum"):
        open_run(out)
    assert run(out) == 0
    shown = capsys.readouterr().err.splitlines()
    warned = [line for line in shown if "does not match its checksum" in line]
    assert len(warned) == 2
    assert all(line.startswith(f"warning: {out}") for line in warned)
    assert_same_variables(out, finished)


def test_a_loss_that_is_not_finite_has_status_1_and_its_message(tmp_path, capsys):
    assert run(tmp_path, "--learning-rate", "1e30") == 1
    assert "stopped: the loss is not finite at step 1 (epoch 0)" in capsys.readouterr().err
    assert checkpoint.steps(tmp_path / "snapshots") == []


@pytest.mark.slow
def test_a_model_that_diverges_in_its_last_update_keeps_no_snapshot(tmp_path, capsys):
    # One step: its loss is that before the update, and finite.
    diverging = ["--learning-rate", "1e38", "--batch-size", "200"]
    assert run(tmp_path, *diverging, epochs=1) == 1
    assert "stopped: the loss is not finite at step 1 (epoch 1)" in capsys.readouterr().err


def test_the_settings_are_plain_json(finished):
    assert json.loads((finished / "run.json").read_text())["options"] == {"widths": [16]}


def test_a_single_held_out_image_is_refused_before_training():
    with pytest.raises(ValueError, match=r"at least 2 held-out images of mine .*got 1"):
        refuse_few(1, "mine")
    refuse_few(2, "mine")
