"""How sentences are printed on a terminal, and where nobody looks."""

import io

import pytest

from jaxvae.ending import SentenceConsole

SENTENCE = "None of [8] latents: see `jaxvae report runs/a --out results/a` and /a/long/path/to/it."


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sentence_has_one_line_and_on_a_terminal_lines_that_end_between_words(terminal):
    shown = io.StringIO()
    console = SentenceConsole(file=shown, force_terminal=terminal, width=40, no_color=True)
    console.print(SENTENCE, "", sep="\n", soft_wrap=True)
    lines = shown.getvalue().splitlines()
    if terminal:
        assert lines == [
            "None of [8] latents: see",
            "`jaxvae report runs/a --out results/a`",
            "and /a/long/path/to/it.",
            "",
        ]
    else:
        assert lines == [SENTENCE, ""]
