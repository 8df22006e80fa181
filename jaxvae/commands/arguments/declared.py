"""The declarations in modules of the package, read from their source: help need not import them."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jaxvae

_PACKAGE = Path(jaxvae.__file__).parent


class Function(NamedTuple):
    """A function as it is declared.

    Attributes:
        title: the first line of its docstring.
        takes: its parameters, by name: the default, or None where there is none.
        first: how its first parameter is annotated.
        returns: how its result is annotated.
    """

    title: str
    takes: Mapping[str, ast.expr | None]
    first: str
    returns: str


@cache
def functions(package: str) -> dict[str, Function]:
    """The functions that a package of `jaxvae` re-exports, in the order of its imports."""
    declared: dict[str, Function] = {}
    for node in _module(f"{package}/__init__").body:
        if isinstance(node, ast.ImportFrom) and node.module:
            in_module = _functions(node.module.removeprefix("jaxvae.").replace(".", "/"))
            declared |= {
                alias.name: in_module[alias.name] for alias in node.names if alias.name in in_module
            }
    return declared


def setting_defaults() -> dict[str, Any]:
    """The defaults of the settings of a run that are numbers, strings or None, by name."""
    (declared,) = (
        node
        for node in _module("runs/config").body
        if isinstance(node, ast.ClassDef) and node.name == "RunConfig"
    )
    return {
        node.target.id: node.value.value
        for node in declared.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    }


def metric_titles() -> dict[str, str]:
    """The titles of all metrics, by name."""
    (entries,) = (
        node.value
        for node in _module("analysis/registry").body
        if isinstance(node, ast.AnnAssign)
        and ast.unparse(node.target) == "METRICS"
        and isinstance(node.value, ast.Dict)
    )
    return {
        ast.literal_eval(key): ast.literal_eval(call.args[0])
        for key, call in zip(entries.keys, entries.values, strict=True)
        if key and isinstance(call, ast.Call)
    }


@cache
def _functions(module: str) -> dict[str, Function]:
    return {
        node.name: _function(node)
        for node in _module(module).body
        if isinstance(node, ast.FunctionDef)
    }


def _function(node: ast.FunctionDef) -> Function:
    signature = node.args
    parameters = [*signature.args, *signature.kwonlyargs]
    lacking: list[ast.expr | None] = [None] * (len(signature.args) - len(signature.defaults))
    values = [*lacking, *signature.defaults, *signature.kw_defaults]
    takes = {each.arg: value for each, value in zip(parameters, values, strict=True)}
    annotations = [parameters[0].annotation if parameters else None, node.returns]
    first, returns = (ast.unparse(each) if each else "" for each in annotations)
    title = (ast.get_docstring(node) or "").partition("\n")[0]
    return Function(title, takes, first, returns)


@cache
def _module(name: str) -> ast.Module:
    return ast.parse((_PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
