"""The memory that is left: of the machine, of a container, and under a limit of the process."""

import math
import subprocess
import sys

import pytest

from jaxvae import memory
from jaxvae.memory import GIBIBYTE, available_memory, refuse_beyond_memory, whole_memory

NEW = {
    "memory.max": "4096",
    "memory.current": "3000",
    "memory.stat": "anon 9\ninactive_file 300\nactive_file 200\n",
}
OLD = {
    "memory/memory.limit_in_bytes": "4096",
    "memory/memory.usage_in_bytes": "3000",
    "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 200\n",
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write the files of a system, of which the process has no limit of its own."""
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    monkeypatch.setattr("resource.getrlimit", lambda _: (memory.resource.RLIM_INFINITY,) * 2)

    def write(meminfo, group=None):
        for name, text in {
            f"sys/fs/cgroup/{name}": text for name, text in (group or {}).items()
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "meminfo").write_text(meminfo)

    return write


def test_of_a_machine_the_system_says_what_is_there_and_what_is_left(machine):
    machine("MemTotal:     9 kB\nMemFree:     1 kB\nMemAvailable:     5 kB\n")
    assert (whole_memory(), available_memory()) == (9 * 1024, 5 * 1024)


@pytest.mark.parametrize("group", [NEW, OLD], ids=["cgroups 2", "cgroups 1"])
def test_what_a_container_uses_is_not_left_but_for_files_that_are_given_back(machine, group):
    machine("MemTotal:     9 kB\nMemAvailable:     8 kB\n", group)
    assert (whole_memory(), available_memory()) == (4096, 4096 - 3000 + 500)


@pytest.mark.parametrize(
    ("group", "line", "folder"),
    [(NEW, "0::", ""), (OLD, "3:pids:/other\n4:cpu,memory:", "memory/")],
    ids=["cgroups 2", "cgroups 1"],
)
@pytest.mark.parametrize("limited", ["service", "service/job"])
def test_a_job_within_others_has_the_least_that_is_left(machine, group, line, folder, limited):
    # As of a batch system: the job, or what it is in, is limited, and the machine is not.
    named = {name.removeprefix(folder): text for name, text in group.items()}
    roomy = {name: text.replace("4096", "9000") for name, text in named.items()}
    groups = {
        f"{folder}{place}/{name}": text
        for place in ("service", "service/job")
        for name, text in (named if place == limited else roomy).items()
    }
    machine("MemTotal:     9 kB\nMemAvailable:     8 kB\n", groups)
    own = memory._ROOT / "proc/self/cgroup"
    own.parent.mkdir()
    own.write_text(f"{line}/service/job\n")
    assert (whole_memory(), available_memory()) == (4096, 4096 - 3000 + 500)
    own.write_text(f"{line}/service\n")
    assert whole_memory() == (4096 if limited == "service" else 9000)
    # Lines of another form say nothing.
    own.write_text("nothing\n")
    assert whole_memory() == 9 * 1024


def test_a_container_without_a_limit_has_what_the_machine_has(machine):
    machine("MemTotal:     9 kB\nMemAvailable:     5 kB\n", NEW | {"memory.max": "max\n"})
    assert (whole_memory(), available_memory()) == (9 * 1024, 5 * 1024)


def test_a_container_beyond_its_limit_has_nothing_left(machine):
    machine("MemTotal:     9 kB\nMemAvailable:     5 kB\n", NEW | {"memory.current": "9999"})
    assert available_memory() == 0
    with pytest.raises(ValueError, match=r"expected at most 0\.0 GiB.* for layers, got 1\.0 GiB"):
        refuse_beyond_memory(GIBIBYTE, "layers")


def test_where_the_system_says_nothing_there_is_no_limit(machine):
    machine("")
    assert (whole_memory(), available_memory()) == (math.inf, math.inf)


def test_of_a_limit_of_the_process_what_it_has_is_not_left():
    found = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True
    ).stdout
    limit, whole, available = map(float, found.split())
    assert whole == limit
    assert 0 < available < limit


LIMITED = """
import resource
from jaxvae.memory import available_memory, whole_memory
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(limit, whole_memory(), available_memory())
"""
