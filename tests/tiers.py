"""Tests of many values, of which some belong to the quick tier."""

import pytest


def parametrize(names, values, *, quick=1, **options):
    """`pytest.mark.parametrize`, all but the first `quick` plain values for the slow tier.

    Names are a string for one, and a tuple of strings for several.
    """
    values = list(values)
    several = isinstance(names, tuple)
    later = [
        pytest.param(*(value if several else (value,)), marks=pytest.mark.slow)
        for value in values[quick:]
    ]
    return pytest.mark.parametrize(names, values[:quick] + later, **options)
