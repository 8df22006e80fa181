"""The units of a sweep depend on its settings alone."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jaxvae.runs.building import build_model, run_keys
from jaxvae.runs.config import RunConfig
from jaxvae.runs.sweep_run import latents_of, program_of
from jaxvae.sweeps.units import MOST_MEMBERS, is_unit_name, unit_name, units_of

SHAPE = (8, 8, 1)
BASE = RunConfig(network="dense_vae", options={"widths": (4,)}, coefficients={"beta": 1.0})
HIERARCHY = RunConfig(network="two_layer_hvae", objective="hierarchical_vae")
PROCESS = """
from tests.sweeps.test_units import grid, units
print([unit for unit in units(grid())])
"""


def grid(sizes=(2, 3), seeds=(0, 1), **changes):
    return {
        f"{size}-{seed}": dataclasses.replace(BASE, latents=size, seed=seed, **changes)
        for size in sizes
        for seed in seeds
    }


def units(runs, **options):
    return units_of(runs, lambda config: SHAPE, **options)


def names(found):
    return [unit.runs for unit in found]


def test_every_run_is_in_one_unit():
    runs = grid((1, 2, 3, 50, 400), range(7))
    found = [name for unit in units(runs, members=4) for name in unit.runs]
    assert sorted(found) == sorted(runs)


@pytest.mark.slow
def test_the_units_are_the_same_in_a_process_that_hashes_otherwise():
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONHASHSEED": "random", "PYTHONPATH": root}
    words = [sys.executable, "-c", PROCESS]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(units(grid()))


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 1e-3},
        {"coefficients": {"beta": 2.0}},
        {"epochs": 11},
        {"batch_size": 32},
        {"train_size": 100},
        {"data": "mnist"},
        {"options": {"widths": (5,)}},
        {"seeds": (0, 2)},
        {"sizes": (2, 4)},
    ],
    ids=str,
)
def test_other_settings_have_units_of_other_names(changed):
    (one,), (other,) = units(grid()), units(grid(**changed))
    assert one.name != other.name


def test_another_size_of_images_makes_another_unit():
    (one,), (other,) = units(grid()), units_of(grid(), lambda config: (16, 16, 1))
    assert one.name != other.name


def test_a_name_depends_on_every_part():
    parts = [("a", "b"), ("ab",), ("b", "a"), (["a", "b"],)]
    assert len({unit_name(*each) for each in parts}) == len(parts)
    assert set(unit_name("a")) <= set("0123456789abcdef")
    assert is_unit_name(unit_name("a"))
    assert not any(map(is_unit_name, (".DS_Store", "0123456789a", "0123456789abc", "snapshots")))


def test_runs_that_differ_in_numbers_alone_share_a_program():
    runs = {
        **grid(),
        **{f"{name}!": run for name, run in grid(coefficients={"beta": 4.0}).items()},
        **{f"{name}?": run for name, run in grid(learning_rate=0.1).items()},
    }
    (found,) = units(runs)
    assert set(found.runs) == set(runs)
    assert len({program_of(run, found.latents) for run in runs.values()}) == 1


@pytest.mark.parametrize(
    "changed", [{"options": {"widths": (5,)}}, {"batch_size": 32}, {"data": "mnist"}, {"l2": 0.1}]
)
def test_runs_of_other_programs_are_in_other_units(changed):
    runs = {**grid(), **{f"{name}!": run for name, run in grid(**changed).items()}}
    first, second = units(runs)
    assert set(first.runs) == set(grid())
    assert not set(first.runs) & set(second.runs)


def parameters(latents):
    config = dataclasses.replace(BASE, latents=latents)
    variables = jax.eval_shape(build_model(config, SHAPE).init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_no_model_is_padded_to_more_than_twice_its_parameters():
    sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    found = units(grid(sizes, (0,)))
    assert len(found) > 1
    for unit in found:
        smallest = min(int(name.partition("-")[0]) for name in unit.runs)
        largest = max(int(name.partition("-")[0]) for name in unit.runs)
        assert unit.latents == largest
        # Optimizer and counts besides: a little more than the parameters decides.
        assert parameters(largest) < 2.05 * parameters(smallest)


@pytest.mark.parametrize("members", [1, 3, 4, 100])
def test_a_unit_has_no_more_members_than_asked_for(members):
    found = units(grid((2,), range(10)), members=members)
    sizes = [len(unit.runs) for unit in found]
    assert sum(sizes) == 10
    assert max(sizes) == min(members, 10)
    assert len(sizes) == -(-10 // members)


def test_a_unit_has_no_more_members_than_the_bound():
    found = units(grid((2,), range(MOST_MEMBERS + 1)))
    assert [len(unit.runs) for unit in found] == [MOST_MEMBERS, 1]


def test_large_models_are_fewer_in_a_unit(monkeypatch):
    (one,) = units(grid((2,), (0,)))
    monkeypatch.setattr("jaxvae.sweeps.units._MOST_BYTES", 3 * one.bytes + 1)
    found = units(grid((2,), range(7)))
    assert [len(unit.runs) for unit in found] == [3, 3, 1]
    assert [unit.bytes for unit in found] == [3 * one.bytes, 3 * one.bytes, one.bytes]
    monkeypatch.setattr("jaxvae.sweeps.units._MOST_BYTES", one.bytes - 1)
    assert [len(unit.runs) for unit in units(grid((2,), range(2)))] == [1, 1]


def test_the_bytes_of_a_unit_are_those_of_parameters_and_optimizer():
    (unit,) = units(grid((2,), (0, 1)))
    # Adam has two numbers for every parameter; keys, counts and coefficients are a few more.
    least = 2 * 3 * 4 * parameters(2)
    assert least < unit.bytes < least + 2 * 100


def test_hierarchies_are_grouped_by_their_options():
    runs = {
        f"{seed}-{top}": dataclasses.replace(HIERARCHY, seed=seed, options={"top": top})
        for seed in (0, 1)
        for top in (4, 8)
    }
    found = units_of(runs, lambda config: (28, 28, 1))
    assert names(found) == [("0-4", "1-4"), ("0-8", "1-8")]
    # The bottleneck of a hierarchy is that of all layers.
    assert found[1].latents - found[0].latents == 4
    assert found[0].latents == latents_of(runs["0-4"], (28, 28, 1)) > 4


def test_a_title_says_what_differs():
    (unit,) = units(grid(seeds=(0, 1), sizes=(2, 3)))
    assert unit.title == "dense_vae on sprites, beta_vae: latents 2, 3; seed 0, 1"
    (unit,) = units(grid(seeds=range(9), sizes=(2,)))
    assert unit.title == "dense_vae on sprites, beta_vae: latents 2; seed 0, 1, 2, ..., 8"
    runs = {**grid((2,), (0,)), "other": dataclasses.replace(BASE, latents=2, learning_rate=0.5)}
    (unit,) = units(runs)
    assert (
        unit.title == "dense_vae on sprites, beta_vae: latents 2; learning rate 0.0001, 0.5; seed 0"
    )


def titles(runs, **options):
    return [unit.title.partition(": ")[2] for unit in units(runs, **options)]


def test_units_of_one_sweep_have_titles_that_differ():
    base = dataclasses.replace(BASE, latents=8)
    runs = {
        f"{beta}-{seed}": dataclasses.replace(base, coefficients={"beta": beta}, seed=seed)
        for beta in (1.0, 4.0)
        for seed in (0, 1)
    }
    assert titles(runs, members=2) == [f"latents 8; beta {beta}; seed 0, 1" for beta in (1, 4)]
    assert len(set(titles(runs, members=1))) == 4
    changes = [
        {"options": {"widths": (16, 8)}},
        {"clip": 0.5},
        {"binarize": True},
        {"ramps": {"beta": 100}},
        {"data": "mnist"},
    ]
    others = {str(change): dataclasses.replace(base, **change) for change in changes}
    assert titles({"as it is": base, **others}) == [
        "binarize false; widths 4; latents 8; seed 0",
        "binarize false; widths 16/8; latents 8; seed 0",
        "binarize false; widths 4; latents 8; clip 0.5; seed 0",
        "binarize true; widths 4; latents 8; seed 0",
        "binarize false; widths 4; latents 8; ramp of beta 100; seed 0",
        "binarize false; widths 4; latents 8; seed 0",
    ]


def test_the_keys_of_a_run_are_those_of_jaxvae_train():
    expected = jax.random.split(jax.random.key(7))
    found = run_keys(dataclasses.replace(BASE, seed=7))
    for one, other in zip(found, expected, strict=True):
        assert (jax.random.key_data(one) == jax.random.key_data(other)).all()


@pytest.mark.parametrize("generator", ["rbg", "unsafe_rbg"])
def test_the_keys_of_a_run_do_not_depend_on_the_generator_that_is_the_default(generator):
    expected = run_keys(BASE)
    with jax.default_prng_impl(generator):
        found = run_keys(BASE)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert (jax.random.key_data(one) == jax.random.key_data(other)).all()
