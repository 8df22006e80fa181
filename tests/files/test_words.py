"""Numbers, lists and lines in words."""

import pytest

from jaxvae.files.words import first_few, in_bytes, in_lines


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (3 * 2**19, "1.5 MiB"),
        (int(3.8 * 2**30), "3.8 GiB"),
        (2**52, "4,096.0 TiB"),
    ],
)
def test_a_size_has_the_largest_unit_of_which_it_is_one_at_least(count, words):
    assert in_bytes(count) == words


def test_of_a_long_list_the_first_are_named_and_the_others_counted():
    assert first_few("abc") == "a, b, c"
    assert first_few("abcde") == "a, b, c and 2 more"
    assert first_few("abcde", "; ", most=4) == "a; b; c; d; and 1 more"


def test_lines_end_between_words_and_go_on_where_they_began():
    text = "one two three four\n\n    five six seven eight"
    assert in_lines(text, 13) == "one two three\nfour\n\n    five six\n    seven\n    eight"
    assert in_lines(text, 100) == text


def test_what_is_to_be_copied_has_one_line_and_so_has_a_long_word():
    text = "Then `jaxvae train --data a b` goes on in /a/folder-of/results."
    assert in_lines(text, 12).split("\n") == [
        *("Then", "`jaxvae train --data a b`", "goes on in", "/a/folder-of/results."),
    ]
    assert in_lines("a ` alone", 3) == "a `\nalone"
