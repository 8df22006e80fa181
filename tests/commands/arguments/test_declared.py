"""What is read from the source is what the imported modules have."""

import ast
import dataclasses
import inspect
from types import FunctionType

import pytest

from jaxvae import models, objectives
from jaxvae.analysis import METRICS
from jaxvae.commands.arguments.declared import functions, metric_titles, setting_defaults
from jaxvae.runs.config import RunConfig

FUNCTIONS = [
    (package, name, function)
    for package in (models, objectives)
    for name, function in vars(package).items()
    if isinstance(function, FunctionType)
]


@pytest.mark.parametrize("package", [models, objectives])
def test_all_functions_of_a_package_are_found_and_no_others(package):
    expected = {name for where, name, _ in FUNCTIONS if where is package}
    assert set(functions(package.__name__.removeprefix("jaxvae."))) == expected


@pytest.mark.parametrize(("package", "name", "function"), FUNCTIONS)
def test_a_function_has_its_title_and_its_parameters_with_their_defaults(package, name, function):
    found = functions(package.__name__.removeprefix("jaxvae."))[name]
    assert found.title == inspect.getdoc(function).partition("\n")[0]
    parameters = inspect.signature(function).parameters
    assert list(found.takes) == list(parameters)
    for each, default in found.takes.items():
        if default is None:
            assert parameters[each].default is inspect.Parameter.empty
        elif not isinstance(default, ast.Name):
            assert ast.literal_eval(default) == parameters[each].default


def test_the_settings_of_a_run_have_their_defaults():
    expected = {
        field.name: field.default
        for field in dataclasses.fields(RunConfig)
        if field.default is not dataclasses.MISSING
    }
    assert setting_defaults() == expected


def test_metrics_have_their_titles():
    expected = {name: metric.title for name, metric in METRICS.items()}
    assert metric_titles() == expected
