"""The settings of a run in words."""

import pytest

from jaxvae.runs.config import word


@pytest.mark.parametrize(
    ("value", "expected"),
    [(4.0, "4"), (1e-4, "0.0001"), ((0.5, None), "0.5,none"), (True, "true"), ([8, 4], "8,4")],
)
def test_a_value_is_a_word_that_train_reads(value, expected):
    assert word(value) == expected


def test_the_numbers_of_a_value_have_a_slash_between_them_where_values_have_a_comma():
    assert word([(0.5, 1.0), 2], "/") == "0.5/1/2"
