import socket

import pytest

from tests.sweeps.tiny import ended, words


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """The folder of the tiny sweep, done by one process."""
    out = tmp_path_factory.mktemp("alone")
    status, shown = ended(words(out))
    assert status == 0, shown
    return out


@pytest.fixture
def ray_port():
    """A port for a Ray cluster of this machine, where Ray is installed."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]
