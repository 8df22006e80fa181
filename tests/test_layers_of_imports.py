"""The layout's promise: a module imports only from rows above its own."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxvae"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROWS = (
    "typing",
    "files",
    "memory",
    "platforms",
    "geometry",
    "metrics",
    "data",
    "models",
    "objectives",
    "training",
    "runs",
    "analysis",
    "ending",
    "report",
    "sweeps",
    "grids",
    "advising",
    "bench",
    "commands",
    "cli",
    "__main__",
)
DEPTH = {name: depth for depth, name in enumerate(ROWS)}
CORE = {
    "typing",
    "files",
    "memory",
    "platforms",
    "geometry",
    "metrics",
    "models",
    "objectives",
    "training",
    "runs",
    "analysis",
}
CORE_REQUIREMENTS = {"jax", "numpy", "flax", "optax", "orbax", "jaxtyping"}
# Imported by the functions that need them alone: the core runs without.
OPTIONAL = {"sklearn", "scipy", "safetensors"}
ONLY_IN = {
    "flax": "models",
    "sklearn": "analysis/downstream.py",
    "orbax": "runs/checkpoint.py",
    "ray": "sweeps/ray_cluster.py",
    "safetensors": "runs/export.py",
    "tensorflow_datasets": "data/tfds.py",
}


@cache
def parsed(path):
    return ast.parse(path.read_text())


@cache
def imports_of(path):
    """Every module that a file imports, also inside functions, as a dotted name."""
    return list(imports_in(ast.walk(parsed(path)), path))


def imports_in(nodes, path):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module


def row_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path):
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_its_own_row_and_rows_above(path):
    above = {name.split(".")[1] for name in imports_of(path) if name.startswith("jaxvae.")}
    # What the package itself offers comes from any row; `--help` is tested to import none of it.
    depth = DEPTH.get(row_of(path), len(ROWS))
    assert {name for name in above if DEPTH[name] > depth} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if row_of(p) in CORE], ids=name_of)
def test_the_core_imports_nothing_third_party_but_its_requirements(path):
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert roots - set(sys.stdlib_module_names) - {"jaxvae"} <= CORE_REQUIREMENTS | OPTIONAL


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_the_core_runs_without_is_imported_inside_of_functions(path):
    outside = imports_in(parsed(path).body, path)
    assert not OPTIONAL & {name.split(".")[0] for name in outside}


@pytest.mark.parametrize(("package", "place"), ONLY_IN.items())
def test_a_confined_package_is_imported_only_in_its_place(package, place):
    users = {
        name_of(path)
        for path in MODULES
        if package in {name.split(".")[0] for name in imports_of(path)}
    }
    assert users
    assert {user for user in users if not user.startswith(place)} == set()


def test_every_module_belongs_to_a_row():
    assert {row_of(path) for path in MODULES} <= set(DEPTH) | {"__init__"}
