"""A cluster of Ray on this machine, in a process of its own, which Ray forks.

It has a head and another node, with a core each. The process writes the address and the process of
the node, kills the node when it reads a line, and ends with its input.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

_NODE = {"num_cpus": 1, "object_store_memory": 80 * 10**6, "include_dashboard": False}


class Nodes:
    """What a test knows of the cluster: its address, and the process of the node."""

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self.address, self.node = json.loads(process.stdout.readline())

    def kill_node(self) -> None:
        """The node ends as that of a machine that loses its power, and is gone on return."""
        print(file=self._process.stdin, flush=True)
        assert json.loads(self._process.stdout.readline()) == self.node


@contextlib.contextmanager
def running_nodes():
    """The cluster, which takes tasks within the block."""
    command = [sys.executable, "-m", "tests.sweeps.nodes"]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Nodes(process)
        finally:
            process.stdin.close()
            process.wait(120)


def main() -> None:
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    # What Ray prints belongs to what people read.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value) -> None:
        print(json.dumps(value), file=answers, flush=True)

    cluster = Cluster(initialize_head=True, head_node_args=_NODE)
    try:
        node = cluster.add_node(**_NODE)
        process = node.all_processes["raylet"][0].process.pid
        answer([cluster.address, process])
        for _ in sys.stdin:
            cluster.remove_node(node, allow_graceful=False)
            answer(process)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
