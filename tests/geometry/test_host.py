"""What the host does: which memory a search leaves with the process."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from jaxvae.geometry import nearest_neighbors


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        # Freed together they are more than twice the largest, which malloc learns by itself.
        [np.ones(2**20, np.uint8) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


faults()
before = faults()
nearest_neighbors(np.eye(10, dtype=np.float32), k=1)
faults()
print(before, faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its memory")
def test_a_search_has_the_process_keep_freed_memory():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    # Ten times 8 MB are 20,480 pages.
    assert before > 10_000
    assert after < 100
