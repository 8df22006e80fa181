"""The recipes of `examples/clusters` do what their page says."""

import kubernetes_validate
import pytest
import yaml

from experiments.bottleneck import PRESETS
from experiments.command import _parse
from tests.sweeps.tiny import CLONE, assert_same_records, ended, words

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
def test_tasks_of_a_slurm_array_do_the_sweep_of_one_process(tmp_path, alone):
    task = ["bash", str(RECIPES / "slurm.sh"), *words(tmp_path)]
    for index in ("0", "1"):
        variables = {"SLURM_ARRAY_TASK_ID": index, "SLURM_ARRAY_TASK_COUNT": "2"}
        status, shown = ended(task, **variables)
        assert status == 0, shown
    assert not (tmp_path / "records.nc").exists()
    status, shown = ended(words(tmp_path, "--report"))
    assert status == 0, shown
    assert (tmp_path / "records.nc").exists()
    assert_same_records(tmp_path, alone)


@pytest.mark.slow
def test_a_ray_cluster_of_the_recipe_does_the_sweep_of_one_process(
    tmp_path, alone, ray_token, free_port
):
    status, shown = ended([str(RECIPES / "ray.sh"), *words(tmp_path)], PORT=str(free_port))
    assert status == 0, shown
    assert_same_records(tmp_path, alone)


def test_the_page_names_every_recipe():
    page = (CLONE / "docs" / "clusters.md").read_text()
    for recipe in RECIPES.iterdir():
        assert f"examples/clusters/{recipe.name}" in page
