"""A parser that blames a mistyped option rather than what follows it, and prints any letter."""

import argparse
import io
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from jaxvae.files.refusals import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser that refuses unknown options first, and suggests names that are spelled alike.

    The beginning of an option does not stand for it: what is begun would take another meaning
    when an option is added, and a slip of the hand would begin something else.
    """

    def __init__(self, **given: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(**given, allow_abbrev=False, formatter_class=formatter)

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
        options = self._option_string_actions
        for word in words:
            flag = word.partition("=")[0]
            if flag == "--":
                return
            if flag.startswith("--") and flag not in options:
                self.error(f"there is no option {flag}{did_you_mean(options, flag)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += did_you_mean(map(str, action.choices or ()), str(value))
            raise


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
