"""The reference cases: inputs, and the numbers that independent implementations give for them."""

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent
LISTED = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["cases"]


def cases(kind, prefix=""):
    """The cases of a kind whose name starts like this, as parameters of a test."""
    # Every case has a shape of its own to compile; the plain ones are for the slow run.
    return [
        pytest.param(case, id=case["name"], marks=() if case["nasty"] else pytest.mark.slow)
        for case in LISTED
        if kind in case["kind"] and case["name"].startswith(prefix)
    ]


def load(case):
    """Inputs by name, and expected values by name."""
    with np.load(FOLDER / case["file"]) as file:
        inputs = {name: file[name] for name in file.files if not name.startswith("expected_")}
        expected = {
            name.removeprefix("expected_"): file[name]
            for name in file.files
            if name.startswith("expected_")
        }
    return inputs, expected


def assert_close(case, key, got, want):
    np.testing.assert_allclose(got, want, **case["expected"][key]["tolerance"], err_msg=key)
