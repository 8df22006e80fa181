"""The recipes of `examples/clusters` do what their page says."""

import os
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from experiments.bottleneck import PRESETS
from jaxvae.commands.experiment import _parse
from tests.sweeps.conftest import SWEEP
from tests.sweeps.processes import COMMAND, end, start
from tests.sweeps.test_work import contents

CLONE = Path(__file__).parents[2]
RECIPES = CLONE / "examples" / "clusters"


@pytest.fixture(scope="module")
def job():
    return yaml.safe_load((RECIPES / "job.yaml").read_text())


def test_the_manifest_is_one_of_kubernetes_and_has_no_field_that_it_does_not_know(job):
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(job, version, strict=True)
    job = {**job, "spec": {**job["spec"], "completion": 8}}
    with pytest.raises(kubernetes_validate.ValidationError, match="completion"):
        kubernetes_validate.validate(job, version, strict=True)


def test_the_pods_of_the_manifest_do_every_share_once(job):
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    python, m, module, *given = [*container["command"], *container["args"]]
    assert (python, m, module) == ("python", "-m", "experiments.bottleneck")
    shares = []
    for index in range(spec["completions"]):
        told = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in given]
        _, _, launch = _parse("bottleneck", "", PRESETS, told)
        shares.append(launch.shard)
    assert shares == [(index, len(shares)) for index in range(len(shares))]


@pytest.mark.slow
def test_tasks_of_a_slurm_array_have_the_records_of_one_process(tmp_path, alone, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    for index in ("0", "1"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", index)
        task = start(tmp_path, *SWEEP, command=[str(RECIPES / "slurm.sh"), *COMMAND])
        status, shown = end(task)
        assert status == 0, shown
    assert not (tmp_path / "report.txt").exists()
    status, shown = end(start(tmp_path, "--report", *SWEEP))
    assert status == 0, shown
    assert "4 runs drawn" in shown
    assert contents(tmp_path) == contents(alone)


@pytest.mark.slow
def test_the_ray_cluster_of_the_recipe_has_the_records_of_one_process(
    tmp_path, alone, ray_token, free_port, monkeypatch
):
    monkeypatch.setenv("PORT", str(free_port))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    recipe = start(tmp_path, *SWEEP, command=[str(RECIPES / "ray.sh"), *COMMAND])
    status, shown = end(recipe)
    assert status == 0, shown
    assert "4 runs drawn" in shown
    assert contents(tmp_path) == contents(alone)


def test_the_page_names_every_recipe():
    page = (CLONE / "docs" / "clusters.md").read_text()
    for recipe in RECIPES.iterdir():
        assert f"examples/clusters/{recipe.name}" in page
