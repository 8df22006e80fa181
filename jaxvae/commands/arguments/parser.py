"""A parser that blames a mistyped option rather than what follows it."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """Refuses an option that there is not before all else, with those that are close to it."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """The words of the command line, as `argparse` reads them."""
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
                hint = f"; close to it: {', '.join(close)}" if close else ""
                self.error(f"there is no option {flag}{hint}")
