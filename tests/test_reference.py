"""The reference cases are whole: what the index lists is there, and nothing else."""

from tests.reference import FOLDER, LISTED, load


def test_every_listed_case_has_its_file_and_every_file_is_listed():
    assert {case["file"] for case in LISTED} == {path.name for path in FOLDER.glob("*.npz")}


def test_every_file_holds_the_inputs_and_numbers_that_the_index_says():
    for case in LISTED:
        inputs, expected = load(case)
        assert (set(inputs), set(expected)) == (set(case["inputs"]), set(case["expected"]))
