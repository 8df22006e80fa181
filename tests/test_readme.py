"""What the pages tell users to type."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from jaxvae.cli import main

ROOT = Path(__file__).parents[1]
RUN = r"rate-0.01_seed-0: near \d.*, far \d.* rate-0.01_seed-0: dimension \d.* near, \d.* far"
PRINTED = {
    "README.md": "encoder/1",
    "docs/data.md": "1,797 images, 16 x 16, gray, float64 in [0, 1] -> bytes; resized from 8 x 8",
    "docs/metrics.md": "2000 of 2000",
    "docs/devices.md": "20 steps of 2000 images",
    "docs/using_a_model.md": "step 31 of step 62, latents (100, 10)",
}


def examples(page):
    return [code for kind, code in _blocks(page) if kind == "python"]


def _blocks(page):
    return re.findall(r"```(python|sh)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTED)
def test_the_examples_of_a_page_run_as_they_stand(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for kind, example in _blocks(page):
        if kind == "python":
            exec(compile(example, page, "exec"), names)
        else:
            for line in example.splitlines():
                program, *words = shlex.split(line)
                assert (program, main(words)) == ("jaxvae", 0)
    assert PRINTED[page] in capsys.readouterr().out


@pytest.mark.slow
def test_an_experiment_of_ones_own_is_the_file_that_its_page_shows(tmp_path, capsys, monkeypatch):
    (tmp_path / "rates.py").write_text(*examples("docs/experiments.md"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for more, said in (["--plan"], "1 of 1 units to do"), ([], RUN):
        words = ["--rates", "0.01", "--seeds", "0", "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", ["rates.py", *words, *more])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path("rates.py", run_name="__main__")
        assert ended.value.code == 0
        assert re.search(said, " ".join(capsys.readouterr().out.split()))
    assert (tmp_path / "results/rates/demo/runs/rate-0.01_seed-0.npz").is_file()


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "pip install -e . && python -m experiments.bottleneck" in text
    assert "pip install -e '.[test]' && pytest" in text
