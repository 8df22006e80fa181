"""Tests of many values, of which some belong to the quick tier."""

import pytest


def parametrize(names, values, *, quick=1, **options):
    """`pytest.mark.parametrize`, all but the first `quick` values for the slow tier."""
    values = list(values)
    slow = [value if isinstance(names, tuple) else (value,) for value in values[quick:]]
    later = [pytest.param(*value, marks=pytest.mark.slow) for value in slow]
    return pytest.mark.parametrize(names, values[:quick] + later, **options)
