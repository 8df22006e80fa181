"""Numbers as they are written on the command line."""

import argparse

import pytest

from jaxvae.commands.arguments.values import seeds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0", (0,)),
        ("0..4", (0, 1, 2, 3, 4)),
        ("0,3,7", (0, 3, 7)),
        ("7,3,3", (3, 7)),
        ("0..2,10,1..3", (0, 1, 2, 3, 10)),
        ("5..5", (5,)),
    ],
)
def test_seeds_are_a_list_or_a_range(text, found):
    assert seeds(text) == found


@pytest.mark.parametrize("text", ["", "a", "-1", "1..", "..2", "1,", "1.5", "0...3", "4..2"])
def test_other_words_are_no_seeds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        seeds(text)
