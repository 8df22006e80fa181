"""What made a folder: kept by whoever works on it, added up for whoever reads it."""

import json

import jax
import pytest

from jaxvae import __version__
from jaxvae.runs.provenance import entries_in_words, made_by, noted
from tests.files.unreadable import MESSAGE, make_readable, make_unreadable

ENTRY = {
    "command": "jaxvae train",
    "began": "2026-01-01T10:00:00+00:00",
    "seconds": 59.0,
    "machine": "a processor",
    "device": "cpu",
    "versions": "jaxvae 0",
}


def test_what_was_worked_on_twice_took_the_sum_and_both_machines():
    later = {
        **ENTRY,
        "began": "2026-01-02T10:00:00+00:00",
        "seconds": 3600.0,
        "machine": "another",
        "command": "jaxvae train --epochs 9",
    }
    assert entries_in_words([later, ENTRY]) == {
        "command": "jaxvae train --epochs 9; jaxvae train",
        "began": "2026-01-01 10:00 UTC",
        "ended": "2026-01-02 11:00 UTC",
        "took": "1 h 0 min, added up over 2 pieces of work",
        "machine": "another; a processor",
        "device": "cpu",
        "versions": "jaxvae 0",
    }


def test_an_interrupted_block_is_noted_too_and_goes_on_in_the_same_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), noted(tmp_path, "unit", "first"):
        raise KeyboardInterrupt
    with noted(tmp_path, "unit", "second"):
        pass
    (file,) = (tmp_path / "made").iterdir()
    assert [entry["command"] for entry in json.loads(file.read_text())] == ["first", "second"]
    told = made_by(tmp_path)
    assert told["device"] == jax.devices()[0].device_kind
    assert told["versions"].startswith(f"jaxvae {__version__}, jax {jax.__version__}")


def test_a_history_that_cannot_be_read_is_not_written_over(tmp_path):
    with noted(tmp_path, "unit", "first"):
        pass
    (file,) = (tmp_path / "made").iterdir()
    make_unreadable(file)
    with pytest.raises(OSError, match=MESSAGE.format("unit.json")), noted(tmp_path, "unit", "b"):
        pass
    assert made_by(tmp_path) == {}
    make_readable(file)
    assert made_by(tmp_path)["command"] == "first"


def test_sweeps_in_folders_of_the_folder_count_and_damaged_entries_do_not(tmp_path):
    with noted(tmp_path / "epochs-3", "unit", "advise"):
        pass
    for number, text in enumerate(("[{", "[1]", "[{}]", json.dumps([ENTRY | {"began": "today"}]))):
        (tmp_path / "epochs-3" / "made" / f"other-{number}.json").write_text(text)
    with noted(tmp_path / "run", "training", "a run that lies in the folder"):
        pass
    assert made_by(tmp_path)["command"] == "advise"


def test_a_folder_of_before_tells_nothing(tmp_path):
    assert made_by(tmp_path) == {}
