"""Peers in environments of their own: installed once, spoken to as long as a row lasts."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Peer(NamedTuple):
    """A library, the module of this package that runs it, and what pip installs for it."""

    name: str
    module: str
    requirements: tuple[str, ...]


class Answer(NamedTuple):
    """The time of a call, its CPU time in all threads, and its result."""

    seconds: float
    cpu_seconds: float
    value: Any


class PeerError(Exception):
    """A peer that cannot be installed, or that failed; says why."""


# Ours has no requirements: it runs in the environment of whoever runs the benchmark.
OURS = Peer("jaxvae", "jaxvae", ())
PEERS = (
    Peer("DADApy", "dadapy", ("dadapy",)),
    Peer("PyTorch", "torch", ("torch==2.13.0", "numpy")),
    Peer("faiss", "faiss", ("faiss-cpu", "numpy")),
    Peer("scikit-dimension", "skdim", ("scikit-dimension",)),
    Peer("NumPy", "numpy", ()),
)


def install(peer: Peer, folder: Path) -> Path:
    """The interpreter of the peer's environment, made under `folder` where it is not there.

    Raises:
        PeerError: what pip said.
    """
    if not peer.requirements:
        return Path(sys.executable)
    home, wanted = folder / peer.module, "\n".join(peer.requirements)
    python, done = home / "bin" / "python", home / "requirements.txt"
    if not (done.exists() and done.read_text() == wanted):
        venv.create(home, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", *peer.requirements]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
            raise PeerError("; ".join(errors) or result.stderr[-500:])
        done.write_text(wanted)
    return python


class Worker:
    """A running process of a peer.

    Attributes:
        described: the versions it reports.
    """

    def __init__(self, peer: Peer, python: Path) -> None:
        """Start it and wait until its imports are done.

        Raises:
            PeerError: the last line of what it said before it ended.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  until close()
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.peers.{peer.module}"],
            cwd=ROOT,
            # Another process may need the accelerator too.
            env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.described: dict[str, Any] = self._receive()["described"]

    def call(self, work: str, inputs: Sequence[Path], rows: int | None = None) -> Answer:
        """Time one call on the first `rows` of the inputs.

        Raises:
            PeerError: what the peer raised, or how it ended.
        """
        request = {"work": work, "inputs": list(map(str, inputs)), "rows": rows}
        # A dead worker is noticed, and explained, where its answer is read.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._receive()
        if "error" in answer:
            raise PeerError(answer["error"])
        return Answer(**answer)

    def close(self) -> int:
        """End it and return its peak resident memory in bytes, as the kernel counted it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        usage = self._reap()
        self._process.stdout.close()
        self._errors.close()
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    @functools.cache  # noqa: B019  a process can be waited for once
    def _reap(self) -> Any:
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return usage

    def _receive(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._reap()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or ["it printed nothing"]
        raise PeerError(f"ended with status {self._process.returncode}: {lines[-1]}")
