"""Batches and members split over four simulated devices, by a process of their own."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxvae.runs import checkpoint
from tests.training import train_on_devices

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def printed(folder):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", "-m", train_on_devices.__name__, str(folder)]
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(printed, folder):
    with np.load(folder / "results.npz") as archive:
        return {name: archive[name] for name in archive}


@pytest.mark.parametrize("name", train_on_devices.TRAINERS)
def test_a_batch_over_devices_is_the_batch_of_one_to_rounding(results, name):
    np.testing.assert_allclose(
        results[f"{name} everywhere"], results[f"{name} one"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("storage", ["split", "host"])
def test_batches_over_devices_come_from_wherever_images_are(results, storage):
    np.testing.assert_allclose(
        results[f"dense {storage}"], results["dense one"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["dense of a state on the second", "dense on the second"])
def test_batches_of_the_host_go_to_the_device_that_trains(results, name):
    np.testing.assert_array_equal(results[name], results["dense one"])


@pytest.mark.parametrize("count", [4, 3])
def test_members_over_devices_are_bitwise_those_of_one(results, count):
    one, other = results[f"{count} members one"], results[f"{count} members everywhere"]
    assert not np.isfinite(one).all()
    np.testing.assert_array_equal(other, one)


def test_a_mesh_that_is_set_for_all_programs_changes_nothing(results):
    np.testing.assert_allclose(
        results["dense in a set mesh"], results["dense one"], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(results["3 members in a set mesh"], results["3 members one"])


def test_images_whose_type_says_that_they_are_spread_are_those_of_the_host(results):
    np.testing.assert_array_equal(results["images spread"], results["images of the host"])


@pytest.mark.parametrize("storage", ["split", "host"])
def test_members_over_devices_take_images_from_wherever_they_are(results, storage):
    one, other = results["3 members one"], results[f"3 members {storage}"]
    finite = np.isfinite(one)
    np.testing.assert_array_equal(np.isfinite(other), finite)
    np.testing.assert_allclose(other[finite], one[finite], rtol=1e-5, atol=1e-6)


def test_what_was_saved_on_four_devices_goes_on_with_two(results):
    np.testing.assert_allclose(results["dense resumed"], results["dense one"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(results["3 members resumed"], results["3 members one"])


@pytest.mark.parametrize("name", ["state", "members"])
def test_what_was_saved_on_four_devices_is_read_by_a_process_of_one(results, folder, name):
    loaded = checkpoint.load(folder / name, 1, train_on_devices.shapes()[name])
    np.testing.assert_array_equal(train_on_devices.numbers(loaded), results[f"half {name}"])
    assert {leaf.devices() == {jax.devices()[0]} for leaf in jax.tree.leaves(loaded)} == {True}


def test_a_model_is_on_every_device_and_a_member_on_one(printed):
    said = {line for line in printed.splitlines() if line.startswith(("state", "members"))}
    assert said == {"state 4 replicated", "members 4 split"}


def test_members_that_devices_cannot_share_evenly_are_never_all_on_one(results):
    # Two of them, and the images.
    assert 2 < results["held of 5 on 4"] < 3


def test_a_batch_that_devices_cannot_share_evenly_is_refused(printed):
    assert "refused expected a batch_size that 4 devices share evenly, such as 8, got 6" in printed
