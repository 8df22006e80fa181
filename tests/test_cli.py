"""The command line as a whole: its version, its commands, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import jaxvae
from jaxvae import cli, ending
from jaxvae.cli import main
from tests.tiers import parametrize

# What takes a second and more to import, together or alone.
SLOW = "{'jax', 'flax', 'optax', 'orbax', 'scipy', 'xarray', 'matplotlib', 'rich'}"
ANSWER = f"""
import contextlib, io, json, sys
from jaxvae.cli import main
for words in json.load(sys.stdin):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            status = main(words)
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([status, shown.getvalue(), sorted({SLOW} & set(sys.modules))]))
"""


@parametrize("module", ["jaxvae", "jaxvae.cli"])
def test_the_command_is_also_a_module(module):
    shown = subprocess.run(
        [sys.executable, "-m", module, "train"], capture_output=True, check=False
    )
    assert shown.returncode == 2
    assert b"--out" in shown.stderr


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jaxvae {jaxvae.__version__}\n"


@pytest.mark.parametrize("command", cli._COMMANDS, ids=lambda module: module.__name__)
def test_help_lists_every_command_and_each_has_help_with_examples(capsys, command):
    name = command.__name__.rpartition(".")[2]
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f"\n    {name} " in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  jaxvae {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["measure"], ["mesure", "a.npy"], ["measure", "--k=x"], ["train"], ["capture", "run"]],
)
def test_a_command_that_cannot_be_read_has_status_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


ANSWERED = [
    ("--help", 0, "dimension, imbalance and similarity"),
    ("--version", 0, f"jaxvae {jaxvae.__version__}"),
    ("train --help", 0, "--coefficient capacity=NUMBER gamma=1000"),
    ("measure --help", 0, "Intrinsic dimension (TwoNN)"),
    ("mesure a.npy", 2, "invalid choice: 'mesure'"),
    ("trian --out a", 2, "; did you mean train?"),
    ("measure a.npy --points 5 --kk 3", 2, "error: there is no option --kk"),
    ("advise --dat disc", 2, "error: there is no option --dat; did you mean --data"),
    (
        "train --netwrok dense_vae --out a",
        2,
        "there is no option --netwrok; did you mean --network?",
    ),
    ("train --latents 4,8 --out run", 2, "expected one number, got 4,8; `jaxvae sweep`"),
    (
        "sweep --epochs 5,10 --out a",
        2,
        "--epochs: expected one number, got 5,10; `jaxvae sweep --snapshots N` measures models",
    ),
    ("advise --help", 0, "training images (default: 20000, or all where there are fewer)"),
    ("advise", 2, "error: expected --data DATA, to train models on, or else the folder of a sweep"),
    ("advise --data sprites --minutes 0", 2, "--minutes: expected a number above 0, got '0'"),
    ("advise --data sprites --latents 4", 2, "error: expected no --latents"),
    ("advise runs/a --epochs 3", 2, "is read as it is and printed, got --epochs beside it"),
    ("train --epochs many --out run", 2, "argument --epochs: invalid int value: 'many'"),
]


@pytest.fixture(scope="module")
def answers():
    """Status, text and slow imports of each of them, one after another in one process."""
    root = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", ANSWER],
        input=json.dumps([words.split() for words, *_ in ANSWERED]),
        check=True,
        env={**os.environ, **root},
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(zip(ANSWERED, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("answered", ANSWERED, ids=lambda answered: answered[0])
def test_help_and_mistakes_are_answered_before_anything_slow_is_imported(answers, answered):
    _, status, said = answered
    ended, shown, imported = answers[answered]
    assert ended == status
    assert said in " ".join(shown.split())
    assert imported == []


@pytest.mark.slow
def test_what_trains_imports_nothing_that_draws():
    experiments = ("bottleneck", "learning_dynamics", "rate_allocation")
    modules = ["jaxvae.commands.train", "jaxvae.commands.sweep", "jaxvae.grids.sweep"]
    modules += [f"experiments.{name}.sweep" for name in experiments]
    draws = "{'matplotlib', 'xarray', 'plotly'}"
    code = f"import sys, {', '.join(modules)}; print(*{draws} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("number", "status", "name"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
)
def test_a_signal_ends_a_command_with_its_status_and_word(
    capsys, monkeypatch, number, status, name
):
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(
        "jaxvae.commands.measure.read_arrays", lambda _: os.kill(os.getpid(), number)
    )
    assert main(["measure", "a.npy"]) == status
    signal.signal(signal.SIGINT, earlier)
    assert capsys.readouterr().err == f"{name}. Nothing was written.\n"


@pytest.mark.parametrize(
    ("words", "leaves_them"),
    [(["--workers", "2"], True), (["--ray"], True), (["--shard", "0/2"], False), ([], False)],
)
def test_a_sweep_by_other_processes_leaves_the_accelerators_to_them(
    monkeypatch, words, leaves_them
):
    # Ray is looked for, and need not be installed.
    monkeypatch.setitem(sys.modules, "ray", json)
    told = {}
    monkeypatch.setattr(ending, "status_of", lambda work, **options: told.update(options) or 0)
    assert main(["sweep", "--out", "absent", *words]) == 0
    assert told["on_host"] == leaves_them


# --- where a command runs -------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys
from jaxvae.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.exit(main(sys.argv[1:]))
"""
PLAIN = "import sys; from jaxvae.cli import main; sys.exit(main(sys.argv[1:]))"


def process(code, *words, **variables):
    root = {"PYTHONPATH": str(Path(__file__).parents[1]), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(
        command, check=False, env={**os.environ, **root, **variables}, capture_output=True
    )
    return done.returncode, done.stdout, done.stderr


def test_an_interruption_while_it_is_imported_is_one_line():
    status, shown, said = process(INTERRUPTED, "measure", "a.npy")
    assert (status, shown, said) == (130, b"", b"Interrupted. Nothing was written.\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "platform",
    [
        pytest.param(
            "tpu", marks=pytest.mark.skipif(find_spec("libtpu") is not None, reason="has libtpu")
        ),
        "nonsense",
    ],
)
def test_a_platform_that_is_not_there_is_one_line(platform):
    status, shown, said = process(PLAIN, "measure", "a.npy", JAX_PLATFORMS=platform)
    assert (status, shown) == (2, b"")
    assert said.startswith(b"error: expected the devices of JAX_PLATFORMS, got: Unable to init")
    assert said.count(b"\n") == 1


PLAIN_LOCALE = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A folder with modules beside the user, and what a command does there in a plain locale."""
    folder = tmp_path_factory.mktemp("beside")
    for name in ("tensorflow", "zstandard", "sklearn", "pandas", "numcodecs"):
        (folder / f"{name}.py").write_text("open('ran', 'w')\n")
    np.save(folder / "p\u00e4.npy", np.random.default_rng(0).normal(size=(60, 3)))
    words = ["measure", "p\u00e4.npy", "--draws", "0", "--out", "m\u00e4"]
    # As the installed command does, which does not look beside the user.
    code = f"import sys; sys.path.remove(''); {PLAIN}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, *process(code, *words, **PLAIN_LOCALE)


@pytest.mark.slow
def test_a_plain_locale_writes_out_the_letters_that_it_has_not(measured):
    folder, status, shown, said = measured
    assert (status, said) == (0, b"")
    assert "records: m\\udcc3\\udca4/records.nc" in shown.decode("ascii")
    assert (folder / "m\u00e4" / "records.nc").exists()
    status, shown, said = process(PLAIN, "measure", "--help", **PLAIN_LOCALE)
    assert (status, said) == (0, b"")
    shown.decode("ascii")


@pytest.mark.slow
def test_what_lies_beside_the_user_is_not_imported(measured):
    folder, status, _, _ = measured
    assert status == 0
    assert not (folder / "ran").exists()
