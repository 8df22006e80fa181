"""The cache of a test alone."""

import pytest


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"
