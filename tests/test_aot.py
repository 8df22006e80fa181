"""What the compiler of another machine's accelerator says of a few main programs."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Bytes read and written, and bytes of code, at most: a quarter above what libtpu 0.0.50 gave. That
# is room for another compiler. An array of n x n where there was a block, convolutions as products
# (3.7 times the bytes) or a sort of whole rows (twice the code) go beyond it.
LIMITS = {
    "two_nn, n = 2,000": (4.0e9, 6.3e6),
    "information_imbalance, n = 2,000": (58e9, 25e6),
    "cka_matrix, n = 2,000": (0.12e9, 4.2e6),
    "two_nn, n = 2,000, traced": (0.88e9, 4.9e6),
    "compact_vae, step": (0.136e9, 7.3e6),
    "dense_vae, step on all devices": (0.122e9, 1.8e6),
}
METRICS = [name for name in LIMITS if "vae" not in name]
# Of a v5e.
MEMORY = 16 * 2**30

pytestmark = pytest.mark.slow
needs_libtpu = pytest.mark.skipif(
    find_spec("libtpu") is None,
    reason="no libtpu, which compiles for TPU: pip install -e '.[aot]', on Linux on x86",
)


def command(*arguments):
    """A process of its own: JAX is told before it is imported what it is for."""
    words = [sys.executable, "-m", "benchmarks.aot", *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The parts of every program, and the file that holds them."""
    path = tmp_path_factory.mktemp("aot") / "aot.json"
    done = command("--out", path, *LIMITS)
    assert done.returncode == 0, done.stdout + done.stderr
    records = json.loads(path.read_text())["records"]
    return {record["program"]: record["parts"] for record in records}, path


@needs_libtpu
@pytest.mark.parametrize("name", LIMITS)
def test_a_program_fits_and_moves_no_more_bytes_and_has_no_more_code_than_it_did(name, compiled):
    parts = compiled[0][name]
    most_bytes, most_code = LIMITS[name]
    assert 0 < max(part["memory"] for part in parts) < MEMORY
    assert 0 < sum(part["calls"] * part["bytes"] for part in parts) < most_bytes
    assert 0 < sum(part["code"] for part in parts) < most_code


@needs_libtpu
@pytest.mark.parametrize("name", LIMITS)
def test_a_program_holds_no_float64(name, compiled):
    assert [part["float64"] for part in compiled[0][name]] == [0] * len(compiled[0][name])


@needs_libtpu
@pytest.mark.parametrize("name", METRICS)
def test_every_product_of_a_metric_has_the_highest_precision(name, compiled):
    asked = [part["products"] for part in compiled[0][name] if part["products"]]
    assert asked
    assert {precision for products in asked for precision in products} == {"highest"}


@needs_libtpu
def test_a_convolutional_step_holds_native_convolutions(compiled):
    (step,) = compiled[0]["compact_vae, step"]
    # Of 8, each forward and by its kernel, and all but the first by its images.
    assert step["convolutions"] >= 3 * 8 - 1


@needs_libtpu
def test_a_step_on_several_devices_communicates_by_sums_alone(compiled):
    (step,) = compiled[0]["dense_vae, step on all devices"]
    assert set(step["collectives"]) == {"all-reduce"}


@needs_libtpu
def test_what_is_there_is_not_compiled_again(compiled):
    path = compiled[1]
    before = json.loads(path.read_text())["records"]
    done = command("--resume", "--out", path, *LIMITS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1/" not in done.stdout
    assert json.loads(path.read_text())["records"] == before


@needs_libtpu
def test_another_topology_does_not_get_into_the_same_file(compiled):
    done = command("--topology", "v6e:1x1", "--out", compiled[1], "dense_vae, step")
    assert done.returncode == 1
    assert "expected a file of topology v6e-1x1, got v5e-2x2" in done.stderr


@pytest.mark.skipif(find_spec("libtpu") is not None, reason="libtpu is installed")
def test_without_libtpu_the_command_says_how_to_get_it():
    done = command("two_nn")
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install -e '.[aot]', on Linux on x86" in done.stderr
