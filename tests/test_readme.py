"""The README's Python examples run as they stand."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_examples_of_the_readme_run(capsys):
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    assert "encoder/1" in capsys.readouterr().out


def test_the_readme_names_the_two_commands():
    assert "pip install -e . && python -m experiments.bottleneck" in README
    assert "pip install -e '.[test]' && pytest" in README
