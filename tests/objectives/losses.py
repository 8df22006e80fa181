"""The reference cases of the objectives."""

import numpy as np

from tests.reference import cases


def reference_cases(prefix, kind="loss"):
    """The cases whose name starts like this."""
    return cases(kind, prefix)


def assert_reference(case, actual, expected, *, double):
    """Every expected quantity, within what the case allows for this precision."""
    for key, value in expected.items():
        tolerance = case["expected"][key]["tolerance_float64" if double else "tolerance"]
        np.testing.assert_allclose(actual[key], value, **tolerance, err_msg=key)
