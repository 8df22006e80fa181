"""The recipes of `examples/clusters` do what their page says."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from experiments.bottleneck import PRESETS
from jaxvae.commands.experiment import _parse

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


def test_tasks_of_a_slurm_array_do_every_share_once_in_place_of_the_shell(monkeypatch):
    say = [sys.executable, "-c", "import json, os, sys; print(json.dumps([os.getpid(), sys.argv]))"]
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    shares = []
    for index in ("0", "1"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", index)
        command = [str(RECIPES / "slurm.sh"), *say, "mnist", "--members", "2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as task:
            process, (_, *told) = json.loads(task.communicate()[0])
        # SLURM tells the command itself to end.
        assert (task.returncode, process) == (0, task.pid)
        config, _, launch = _parse("bottleneck", "", PRESETS, told)
        assert (config, launch.members) == (PRESETS["mnist"], 2)
        shares.append(launch.shard)
    assert shares == [(0, 2), (1, 2)]


def test_the_page_names_every_recipe():
    page = (CLONE / "docs" / "clusters.md").read_text()
    for recipe in RECIPES.iterdir():
        assert f"examples/clusters/{recipe.name}" in page
