"""Numbers as they are written on the command line."""

import argparse

import pytest

from jaxvae.commands.arguments.values import positive, seeds


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


@pytest.mark.parametrize("text", ["5", "1e-9", "2.5"])
def test_a_number_above_0_is_read(text):
    assert positive(text) == float(text)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "", "five"])
def test_other_words_are_no_number_above_0(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number above 0, got"):
        positive(text)
