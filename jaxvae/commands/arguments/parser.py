"""A parser that blames a mistyped option rather than what follows it, and prints any letter."""

import argparse
import difflib
import io
import shlex
import sys
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """A parser that refuses unknown options first, and suggests those that are spelled alike."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the words of the command line as `argparse` does, once all options are known."""
        _print_any_letter()
        words = [*(sys.argv[1:] if args is None else args)]
        if self._subparsers is None:
            self._refuse_unknown_options(words)
        return super().parse_known_args(words, namespace)

    def _refuse_unknown_options(self, words: Sequence[str]) -> None:
        options = [*self._option_string_actions]
        for word in words:
            flag = word.partition("=")[0]
            if flag == "--":
                return
            # The beginning of one stands for it.
            if flag.startswith("--") and not any(each.startswith(flag) for each in options):
                close = difflib.get_close_matches(flag, options)
                hint = f"; did you mean {' or '.join(close)}?" if close else ""
                self.error(f"there is no option {flag}{hint}")


def as_line(words: Sequence[str]) -> str:
    """Return words of a command line as one line that any file can hold.

    In a plain locale, bytes that are no letters there reach Python as lone surrogates, which no
    encoding of text knows: they are written out.
    """
    return shlex.join(words).encode(errors="backslashreplace").decode()


def _print_any_letter() -> None:
    """A plain locale has no letter for a Delta, and a path may hold any byte: write those out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
