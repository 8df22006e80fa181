"""Processes that end with the one that started them, and whose failures are told."""

import io
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from rich.console import Console

from jaxvae.sweeps.processes import LOGS, child_processes
from tests.processes import wait_for


def rest(*, console):
    console.print(os.getpid())
    time.sleep(600)


def fail(*, console):
    raise ValueError("expected luck, got none")


def held(work, out, printed):
    return child_processes(work, out=out, environments=[{}], console=Console(file=printed))


def number_in(folder):
    """The number of the process that writes there, once it does."""
    (log,) = wait_for(lambda: [file for file in folder.glob(f"{LOGS}/*.log") if file.read_text()])
    return int(log.read_text())


@pytest.mark.slow
def test_a_process_that_fails_is_told_with_its_own_words_also_where_the_block_fails(tmp_path):
    printed = io.StringIO()
    log = tmp_path / LOGS / "0.log"
    log.parent.mkdir()
    log.write_text("words of an earlier process\n")

    def interrupted():
        with held(fail, tmp_path, printed) as (process,):
            process.join()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    said = " ".join(printed.getvalue().split())
    assert "process 0 ended with status 2: error: expected luck, got none" in said
    with held(partial(sys.exit, 0), tmp_path, printed) as (process,):
        process.kill()
        process.join()
    assert "process 0 ended with status -9: it printed nothing" in printed.getvalue()


@pytest.mark.slow
def test_processes_end_with_one_that_is_killed(tmp_path):
    code = (
        "from tests.sweeps.test_processes import *\n"
        f"with held(rest, __import__('pathlib').Path({str(tmp_path)!r}), io.StringIO()):\n"
        "    time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    child = number_in(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    def is_gone():
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(is_gone)
