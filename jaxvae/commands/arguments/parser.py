"""A parser that blames a mistyped option rather than what follows it."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """A parser that refuses unknown options first, and suggests those that are spelled alike."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the words of the command line as `argparse` does, once all options are known."""
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
