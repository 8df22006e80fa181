"""A program as parts, each of which is compiled by itself."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax

from benchmarks.aot.recording import calls_of, placed
from benchmarks.aot.targets import Target
from jaxvae.platforms import compiled_for


class Part(NamedTuple):
    """A part of a program that is compiled as one.

    Attributes:
        name: name of its function.
        calls: how often it runs, where that is known.
        key: equal for parts that are the same.
        lowered: gives it, to be compiled.
    """

    name: str
    calls: int
    key: Any
    lowered: Callable[[], Any]


# The parts of a program, as they are for a target.
Program = Callable[[Target], Iterable[Part]]


def parts_of(function: Callable[[], Any], target: Target, *, is_computed: bool) -> Iterator[Part]:
    """The programs that a function runs which is driven from the host."""
    with compiled_for(target.platform):
        calls = calls_of(function, is_computed=is_computed)
    counts = Counter(called.key for called in calls)
    for key, called in {called.key: called for called in calls}.items():
        times = counts[key] if is_computed else 1
        yield Part(called.name, times, key, partial(called.lowered, target.one))


def whole(function: Callable[..., Any], arguments: Any, target: Target) -> Iterator[Part]:
    """A traced function on one device."""
    given = placed(arguments, target.one)
    yield Part("whole", 1, None, lambda: jax.jit(function).lower(*given))
