"""Many processes of the smallest sweep at once: one that has imported everything forks them.

Each is as a process of its own, without the seconds that its imports take. On a disk without locks
claims are stale after seconds instead of minutes, so that those of killed processes are taken over.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

WITHOUT_LOCKS = "without locks"
_STALE_SECONDS = 4.0


class Forks:
    """What a test knows of the processes: how to start, kill and end them."""

    def __init__(self, process, log):
        self._process, self._log = process, log
        self.running = []

    def start(self, out, *words):
        """One more process, by its number."""
        self.running.append(self._ask("start", "--out", str(out), *words))
        return self.running[-1]

    def kill(self, number):
        """The process ends at once, and is gone on return."""
        os.kill(number, signal.SIGKILL)
        assert self.end(number) == -signal.SIGKILL

    def end(self, number):
        """The status of a process, which is waited for."""
        self.running.remove(number)
        return self._ask("end", number)

    def shown(self):
        """What all of them have printed."""
        return self._log.read_text()

    def _ask(self, *words):
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def forks(log, *, disk="with locks"):
    """What they print goes to a file."""
    command = [sys.executable, "-m", "tests.sweeps.forks", str(log), disk]
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
        started = Forks(process, log)
        try:
            yield started
        finally:
            for number in started.running:
                os.kill(number, signal.SIGKILL)
            process.stdin.close()


def main(log, disk):
    if disk == WITHOUT_LOCKS:
        _without_locks()
    # Only now: claims ask for locks by the function that they find when they are imported.
    import jaxvae.report.ending  # noqa: PLC0415
    import jaxvae.sweeps.work  # noqa: F401, PLC0415
    from jaxvae.sweeps import claims  # noqa: PLC0415
    from tests.sweeps import smallest  # noqa: PLC0415

    if disk == WITHOUT_LOCKS:
        claims.STALE_SECONDS, claims._RENEWED_SECONDS = _STALE_SECONDS, _STALE_SECONDS / 8
    for line in sys.stdin:
        verb, *words = json.loads(line)
        if verb == "start":
            answer = os.fork()
            if answer == 0:
                # As it has by being imported in a process of its own.
                claims._PROCESS = uuid.uuid4().hex
                _run(smallest.main, words, log)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(*words, 0)[1])
        print(json.dumps(answer), flush=True)


def _without_locks():
    import errno  # noqa: PLC0415
    import fcntl  # noqa: PLC0415

    def flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    fcntl.flock = flock


def _run(command, words, log):
    """As a command: its status is that of the process, which ends."""
    with open(log, "a") as file:
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
