"""The CPU seconds of a first call of every metric, compilation included.

    python -m benchmarks.first_call [--only NAME ...] [--rounds N] [--peers DIR] [--out FILE]

Every call is made in a process of its own, without a cache of compiled programs, on standard
Gaussian points. "Call" is the first call of a metric on n = 1,500 points of 50 and 7 features,
imports left out, with the number of programs that it compiles; "jitted" the first call of a
function of the user's that holds the metric. "Process" is a whole process
that measures n = 2,000 points, imports included, beside DADApy and scikit-dimension, each in
an environment of its own. "Another n" are calls on 200 clouds of different n between 1,000 and
2,000 after the first, with what they compile. "Command" is `jaxvae measure` of the 1,797 digits
of scikit-learn. CPU seconds are the smallest of some rounds. Five minutes on two cores, most of
them for the environments of the peers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.peers.environments import PEERS, PeerError, install
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path
from jaxvae.data.cache import cache_directory

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "first_call.json"
DATA = """
import numpy as np
def cloud(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
def pair(n):
    x = cloud(n, 50)
    return x, x[:, :7] ** 2
"""
COUNTED = """
import json, sys, time
import jax
from jaxvae import metrics
compiled = []
def count(event, seconds, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append(seconds)
jax.monitoring.register_event_duration_secs_listener(count)
"""
REPORT = """
print(json.dumps({"cpu_seconds": time.process_time() - start, "programs": len(compiled)}))
"""


class Work(NamedTuple):
    """Something to be timed.

    Attributes:
        name: what it says.
        call: Python that does it, once `DATA` is there.
        most: CPU seconds that it may take, or None where no limit was set.
        peers: Python of other libraries for the same answer, by name.
    """

    name: str
    call: str
    most: float | None
    peers: dict[str, str] | None = None


CALLS = (
    Work("two_nn", "metrics.two_nn(cloud(1500, 50))", 1.2),
    Work("levina_bickel", "metrics.levina_bickel(cloud(1500, 50))", 1.2),
    Work("gride", "metrics.gride(cloud(1500, 50))", 1.8),
    Work("information_imbalance", "metrics.information_imbalance(*pair(1500))", 2.0),
    Work(
        "imbalance_matrix, 3 spaces",
        "metrics.imbalance_matrix([*pair(1500), cloud(1500, 20, 1)])",
        2.5,
    ),
    Work("neighborhood_overlap", "metrics.neighborhood_overlap(*pair(1500))", 2.0),
    Work("rbf_cka", "metrics.rbf_cka(*pair(1500))", 1.2),
)
JITTED = (
    Work("jitted two_nn", "jax.jit(metrics.two_nn)(cloud(1500, 50))", None),
    Work("jitted gride", "jax.jit(metrics.gride)(cloud(1500, 50))", None),
    Work(
        "jitted information_imbalance", "jax.jit(metrics.information_imbalance)(*pair(1500))", None
    ),
    Work("jitted neighborhood_overlap", "jax.jit(metrics.neighborhood_overlap)(*pair(1500))", None),
    Work("jitted linear_cka", "jax.jit(metrics.linear_cka)(*pair(1500))", None),
)
PROCESSES = (
    Work(
        "TwoNN, n = 2,000, d = 50",
        "from jaxvae import metrics\nmetrics.two_nn(cloud(2000, 50)).value.block_until_ready()",
        2.2,
        {
            "DADApy": "from dadapy import Data\n"
            "data = Data(cloud(2000, 50).astype(float), verbose=False)\n"
            "data.compute_distances(maxk=3)\ndata.compute_id_2NN()",
            "scikit-dimension": "import skdim\nskdim.id.TwoNN().fit(cloud(2000, 50))",
        },
    ),
    Work(
        "imbalance both ways, n = 2,000, d = 50 and 7",
        "from jaxvae import metrics\nx, y = pair(2000)\n"
        "metrics.information_imbalance(x, y).forward.block_until_ready()",
        3.2,
        {
            "DADApy": "from dadapy import MetricComparisons\nx, y = pair(2000)\n"
            "m = MetricComparisons(np.concatenate([x, y], 1).astype(float))\n"
            "m.return_inf_imb_two_selected_coords(list(range(50)), list(range(50, 57)))",
        },
    ),
)
ANOTHER_N = Work(
    "two_nn of 200 clouds, 1,000 <= n < 2,000",
    "[metrics.two_nn(cloud(1000 + 5 * i, 50, i)) for i in range(200)]",
    3.0,
)
COMMAND = Work("jaxvae measure of 1,797 digits: id, gride, label-overlap", "", 10.0)


def cpu_seconds(python: Path, code: str, rounds: int) -> float:
    """The CPU seconds of the fastest of some whole processes."""
    times = []
    for _ in range(rounds):
        before = os.times()
        subprocess.run([python, "-c", code], check=True, cwd=ROOT, env=clean(), capture_output=True)
        after = os.times()
        children = after.children_user + after.children_system
        times.append(children - before.children_user - before.children_system)
    return min(times)


def clean() -> dict[str, str]:
    """The environment, on the CPU and without compiled programs of other processes."""
    return os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}


def of_call(work: Work, rounds: int, before: str = "") -> dict[str, Any]:
    """A first call in processes of their own; `before` is done before the clock starts."""
    code = COUNTED + DATA + before + "\ncompiled.clear()\nstart = time.process_time()\n"
    code += f"jax.block_until_ready({work.call})\n" + REPORT
    measured = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            cwd=ROOT,
            env=clean(),
            capture_output=True,
            text=True,
        )
        measured.append(json.loads(done.stdout.splitlines()[-1]))
    return min(measured, key=lambda each: each["cpu_seconds"])


def of_process(work: Work, pythons: dict[str, Path], rounds: int) -> dict[str, Any]:
    """A whole process of ours, and of every peer."""
    peers = {
        name: cpu_seconds(pythons[name], DATA + code, rounds)
        for name, code in (work.peers or {}).items()
        if name in pythons
    }
    return {"cpu_seconds": cpu_seconds(Path(sys.executable), DATA + work.call, rounds)} | {
        "peers": peers
    }


def of_command(rounds: int) -> dict[str, Any]:
    """`jaxvae measure` with errors and nulls."""
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import sys, numpy as np\nfrom sklearn.datasets import load_digits\n"
            f"x, y = load_digits(return_X_y=True)\nnp.save('{folder}/x.npy', x)\n"
            f"np.save('{folder}/y.npy', y)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        run = (
            "import sys\nfrom jaxvae.cli import main\n"
            f"sys.exit(main(['measure', '{folder}/x.npy', '--labels', '{folder}/y.npy', "
            "'--metrics', 'id,gride,label-overlap']))"
        )
        return {"cpu_seconds": cpu_seconds(Path(sys.executable), run, rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names that the rows start with")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each")
    parser.add_argument(
        "--peers", type=as_path, default=cache_directory() / "peers", help="their environments"
    )
    parser.add_argument("--out", type=as_path, default=RESULTS, help="JSON file to write")
    options = parser.parse_args()
    console, pythons = Console(width=110), {}
    wanted = tuple(options.only or [""])
    compared = [work for work in PROCESSES if work.name.startswith(wanted)]
    for peer in PEERS:
        if any(peer.name in (work.peers or {}) for work in compared):
            try:
                pythons[peer.name] = install(peer, options.peers.absolute())
            except PeerError as error:
                console.print(f"{peer.name}: {error}")
    first = "metrics.two_nn(cloud(1003, 50))"
    todo = [(work, lambda w=work: of_call(w, options.rounds)) for work in CALLS + JITTED]
    todo += [(work, lambda w=work: of_process(w, pythons, options.rounds)) for work in PROCESSES]
    todo.append((ANOTHER_N, lambda: of_call(ANOTHER_N, options.rounds, first)))
    todo.append((COMMAND, lambda: of_command(options.rounds)))
    described, records = machine(), []
    for work, timed in todo:
        if work.name.startswith(wanted):
            console.print(f"{work.name} ...")
            records.append({"work": work.name, "at_most": work.most} | timed())
            measure.save(options.out, described, records)
    console.print(table(records))
    console.print(f"{described['cpu']} x {described['cpu_count']}: {options.out}")


def table(records: list[dict[str, Any]]) -> Table:
    result = Table(title="CPU seconds of a first call, compilation included")
    for heading in ("work", "seconds", "programs", "at most", "met", "peers"):
        result.add_column(heading, justify="left" if heading in ("work", "peers") else "right")
    for row in records:
        peers = ", ".join(f"{name} {time:.2f}" for name, time in row.get("peers", {}).items())
        most, limit, met = row["at_most"], "", ""
        if most is not None:
            limit, met = f"{most:g}", "yes" if row["cpu_seconds"] <= most else "NO"
        seconds, programs = f"{row['cpu_seconds']:.2f}", str(row.get("programs", ""))
        result.add_row(row["work"], seconds, programs, limit, met, peers)
    return result


if __name__ == "__main__":
    main()
