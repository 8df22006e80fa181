"""Numbers in words."""

import pytest

from jaxvae.files.words import in_bytes


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
