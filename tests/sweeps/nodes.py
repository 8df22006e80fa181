"""A cluster of Ray on this machine, in a process of its own, which Ray forks.

It writes the address and the processes of the nodes that work, kills the node whose process it
reads, and ends with its input.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

_NODE = {"object_store_memory": 80 * 10**6, "include_dashboard": False}


class Nodes:
    """What a test knows of the cluster: its address, and its nodes by the process of each."""

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self.address, self.working = json.loads(process.stdout.readline())

    def kill(self, node: int) -> None:
        """The node ends as that of a machine that loses its power, and is gone on return."""
        print(node, file=self._process.stdin, flush=True)
        assert json.loads(self._process.stdout.readline()) == node


@contextlib.contextmanager
def running_nodes(count: int):
    """Nodes with a core each beside a head that does no work."""
    command = [sys.executable, "-m", "tests.sweeps.nodes", str(count)]
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


def main(count: int) -> None:
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    # What Ray prints belongs to what people read.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value) -> None:
        print(json.dumps(value), file=answers, flush=True)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_NODE})
    try:
        added = [cluster.add_node(num_cpus=1, **_NODE) for _ in range(count)]
        nodes = {node.all_processes["raylet"][0].process.pid: node for node in added}
        answer([cluster.address, list(nodes)])
        for line in sys.stdin:
            cluster.remove_node(nodes[int(line)], allow_graceful=False)
            answer(int(line))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
