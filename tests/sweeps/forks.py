"""Many processes of the smallest sweep: one that has imported everything forks them.

Each is as a process of its own, without the seconds that its imports take. Its disk has locks, or
none, or is full. On a disk without locks claims are stale after seconds instead of minutes, so that
those of killed processes are taken over.
"""

import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import uuid
from pathlib import Path

# What a command imports once it runs.
import jaxvae.ending
import jaxvae.sweeps.work  # noqa: F401
from jaxvae.sweeps import claims
from tests.sweeps import smallest

WITH_LOCKS, WITHOUT_LOCKS, FULL = "with locks", "without locks", "full"
_STALE_SECONDS = 4.0
# The system ends what takes longer: no test waits for ever.
_MOST_SECONDS = 600
# The system writes no byte of a file beyond, and says so, as of a disk that is full.
_FULL_BYTES = 4096


class Forks:
    """What a test knows of the processes: how to start, kill and end them."""

    def __init__(self, process, folder):
        self._process, self._folder = process, folder
        self.running = []

    def start(self, out, *words, disk=WITH_LOCKS):
        """One more process, by its number."""
        self.running.append(self._ask("start", disk, "--out", str(out), *words))
        return self.running[-1]

    def kill(self, number):
        """The process ends at once, and is gone on return."""
        os.kill(number, signal.SIGKILL)
        assert self.end(number)[0] == -signal.SIGKILL

    def end(self, number):
        """The status of a process, which is waited for, and what it has printed."""
        self.running.remove(number)
        return self._ask("end", number), (self._folder / f"{number}.log").read_text()

    def finish(self, number):
        """What a process has printed that ends well, which is waited for."""
        status, shown = self.end(number)
        assert status == 0, shown
        return shown

    def _ask(self, *words):
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def forks(folder):
    """What they print goes to files in a folder; those that run at the end are killed."""
    command = [sys.executable, "-m", "tests.sweeps.forks", str(folder)]
    # They read the programs that are kept and keep none: a kill may leave half of one.
    own = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        started = Forks(process, folder)
        try:
            yield started
        finally:
            for number in started.running:
                os.kill(number, signal.SIGKILL)
            process.stdin.close()


def main(folder):
    disk, flock = WITH_LOCKS, fcntl.flock

    def flock_of_the_disk(descriptor, operation):
        if disk == WITHOUT_LOCKS:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        flock(descriptor, operation)

    fcntl.flock = flock_of_the_disk
    for line in sys.stdin:
        verb, *words = json.loads(line)
        if verb == "start":
            disk, *words = words
            answer = os.fork()
            if answer == 0:
                signal.alarm(_MOST_SECONDS)
                if disk == WITHOUT_LOCKS:
                    claims.STALE_SECONDS = _STALE_SECONDS
                    claims._RENEWED_SECONDS = _STALE_SECONDS / 8
                if disk == FULL:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL_BYTES, _FULL_BYTES))
                # As it has by being imported in a process of its own.
                claims._PROCESS = uuid.uuid4().hex
                _run(smallest.main, words, Path(folder, f"{os.getpid()}.log"))
            # Also of one that is killed before it does so.
            Path(folder, f"{answer}.log").touch()
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(*words, 0)[1])
        print(json.dumps(answer), flush=True)


def _run(command, words, log):
    """As a command: its status is that of the process, which ends."""
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    status = 70
    try:
        status = command(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
