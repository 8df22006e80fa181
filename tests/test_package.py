"""The package itself: what `import jaxvae` gives, and what it costs."""

import subprocess
import sys

import jaxvae
from jaxvae.data import load


def test_packages_are_there_without_an_import_of_their_own():
    assert jaxvae.data.load is load
    assert {"analysis", "data", "load_run", "metrics", "models"} <= {*dir(jaxvae)}


def test_the_package_alone_imports_neither_jax_nor_numpy():
    program = "import jaxvae, sys; sys.exit(bool({'jax', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
