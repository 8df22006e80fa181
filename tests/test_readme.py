"""What the pages tell users to type."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINTED = {
    "README.md": "encoder/1",
    "docs/metrics.md": "2000 of 2000",
    "docs/devices.md": "20 steps of 2000 images",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTED)
def test_the_examples_of_a_page_run_as_they_stand(page, capsys):
    names = {"__name__": "page"}
    for example in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        exec(compile(example, page, "exec"), names)
    assert PRINTED[page] in capsys.readouterr().out


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "pip install -e . && python -m experiments.bottleneck" in text
    assert "pip install -e '.[test]' && pytest" in text
