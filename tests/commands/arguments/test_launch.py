"""How a sweep is launched, from the words of the command line."""

import argparse

import pytest

from jaxvae.commands.arguments.launch import add_launch, take_launch
from jaxvae.sweeps.launch_options import HERE, Launch


def parse(*words):
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    add_launch(parser)
    return take_launch(parser.parse_args(words))


@pytest.mark.parametrize(
    ("words", "launch"),
    [
        ([], Launch()),
        (["--plan"], Launch(plan=True)),
        (["--report", "--members", "3"], Launch(report=True, members=3)),
        (["--shard", "0/2"], Launch(shard=(0, 2))),
        (["--shard", "9/10"], Launch(shard=(9, 10))),
        (["--workers", "4"], Launch(workers=4)),
        (["--shard", "0/2", "--devices", "8"], Launch(shard=(0, 2), devices=8)),
    ],
)
def test_words_are_read(words, launch):
    assert parse(*words) == launch


@pytest.mark.parametrize(
    "words",
    [
        ["--shard", "2/2"],
        ["--shard", "-1/2"],
        ["--shard", "1"],
        ["--shard", "a/b"],
        ["--workers", "0"],
        ["--members", "0"],
        ["--members", "1.5"],
        ["--devices", "0"],
        ["--plan", "--report"],
        ["--workers", "2", "--shard", "0/2"],
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_wrong_use(words):
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2


def test_devices_of_processes_that_take_one_each_are_refused():
    with pytest.raises(ValueError, match="--devices without --workers and --ray"):
        parse("--workers", "2", "--devices", "4")


def test_the_process_that_starts_others_leaves_the_accelerators_to_them():
    assert Launch(workers=2).on_host
    assert Launch(ray=HERE).on_host
    assert not Launch(shard=(0, 2)).on_host
