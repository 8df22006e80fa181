"""The settings of a run, from the words of the command line."""

import argparse
import re

import pytest

from jaxvae.commands.arguments import train
from jaxvae.commands.flags import flags_named
from jaxvae.commands.settings import LONG_NAMES, given_config
from jaxvae.runs.config import RunConfig


def asked(*words, base=None):
    """The configuration that `jaxvae train` is asked for."""
    parser = argparse.ArgumentParser()
    train.add(parser.add_subparsers())
    return given_config(parser.parse_args(["train", "--out", "run", *words]), base)


@pytest.mark.parametrize("name", ["clip", "skip", "average", "warmup"])
def test_what_another_run_has_is_off_with_none(name):
    base = RunConfig(clip=1.0, skip=2.0, average=0.5, warmup=3)
    assert getattr(asked(base=base), name) == getattr(base, name)
    assert getattr(asked(f"--{name}", "none", base=base), name) is None


def test_a_layer_without_a_target_is_none():
    words = ["--network", "two_layer_hvae", "--objective", "rate_targets"]
    config = asked(*words, "--coefficient", "targets=50,none")
    assert config.coefficients == {"targets": (50.0, None)}


def test_a_setting_that_may_be_none_says_what_it_takes(capsys):
    with pytest.raises(SystemExit):
        asked("--clip", "little")
    assert "argument --clip: invalid float or none value: 'little'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("expected batch_size of at least 1, got 0", "expected --batch-size of at least 1, got 0"),
        ("seed 0 (now 1), image_size 8 (now 16)", "seed 0 (now 1), --image-size 8 (now 16)"),
        ("say which with image_key=NAME", "say which with --image-key=NAME"),
        ("got image_key=train_size", "got --image-key=train_size"),
        ("such as value_range=(-1.5, 16)", "such as --value-range=-1.5:16"),
        ("say split=train/test", "say --split=train/test"),
        ("expected a run in runs/batch_size, found none", None),
        ("expected a run in batch_size/run.json, found none", None),
        ("expected options {'image_size': 8}", None),
    ],
)
def test_a_setting_is_named_by_its_flag_and_a_path_or_a_value_is_left_as_it_is(said, read):
    with pytest.raises(ValueError, match=f"^{re.escape(read or said)}$"), flags_named(LONG_NAMES):
        raise ValueError(said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("say which with split=TRAIN/TEST", "say which with --split=TRAIN/TEST"),
        ("expected a split 'train' in /data/split", None),
        ("expected image_size for /image_size", "expected --image-size for /image_size"),
    ],
)
def test_a_setting_that_may_be_any_word_is_named_by_its_flag_before_an_equals_sign(said, read):
    found = pytest.raises(ValueError, match=f"^{re.escape(read or said)}$")
    with found, flags_named({"split", "image_size"}):
        raise ValueError(said)
