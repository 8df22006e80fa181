import socket

import pytest

from tests.sweeps.processes import end, start

# Four units of a run each, and one that needs them.
SWEEP = ("--members", "1", "--epochs", "400")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the sweep, done by one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    status, shown = end(start(out, *SWEEP))
    assert status == 0, shown
    return out


@pytest.fixture
def ray_token(monkeypatch):
    """Ray, where it is installed, with a token of its own in place of that of the home."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")


@pytest.fixture
def free_port():
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]
