"""Reference cases, which are kept outside the repository."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(
    os.environ.get("JAXVAE_REFERENCE", Path(__file__).parents[1].parent / "shared" / "reference")
)


def cases(kind):
    """Parameters for a test: one case each, or a single skip where there are no files."""
    if not (FOLDER / "index.json").exists():
        reason = f"no reference values in {FOLDER}; set JAXVAE_REFERENCE to their folder"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    listed = json.loads((FOLDER / "index.json").read_text())["cases"]
    # Every case has a shape of its own to compile; the plain ones are for the slow run.
    return [
        pytest.param(case, id=case["name"], marks=() if case["nasty"] else pytest.mark.slow)
        for case in listed
        if kind in case["kind"]
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
