"""The main programs, compiled for a TPU that this machine does not have.

    python -m benchmarks.aot [--topology v5e:2x2] [--resume] [--out FILE] [NAME ...]

libtpu compiles for TPU on any x86 machine with Linux (`pip install -e '.[aot]'`); JAX's plugin for
a GPU that XLA's sources describe (`pip install 'jax[cuda12]'`, `--topology NAME.txtpb`), of which
it does not count operations and bytes.

Every metric at two sizes, as the programs that run one after another for a user, some also as the
one program inside of a user's `jit`; a step and an epoch of every network, an ensemble of eight
members, a step whose batch is split over all chips, a hierarchy of 40 layers in bfloat16 whose
activations are computed twice. Of each the seconds to compile, the memory of the device, the size
of the code, operations and bytes, products by their precision, native convolutions and
collectives: what the compiler says, without a device, and no time of any run.

Each program is saved as soon as it is compiled; `--resume` leaves out those that FILE has
already. Half an hour of one core. docs/accelerators.md is written anew.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.aot.account import account
from benchmarks.aot.metric_programs import metric_programs
from benchmarks.aot.page import write_page
from benchmarks.aot.parts import Program
from benchmarks.aot.table import COLUMNS, Record, line, said
from benchmarks.aot.targets import TPU, Target, target_of
from benchmarks.aot.training_programs import training_programs
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path

RESULTS = Path(__file__).parents[1] / "results"
PROGRAMS: dict[str, Program] = metric_programs() | training_programs()


def chosen(names: list[str]) -> dict[str, Program]:
    """The programs of these names, or whose names hold one of them; of none, all.

    Raises:
        ValueError: for a name that no program has.
    """
    wanted: set[str] = set()
    for name in names:
        programs = {name} & set(PROGRAMS) or {program for program in PROGRAMS if name in program}
        if not programs:
            raise ValueError(f"expected names among {'; '.join(PROGRAMS)}, got {name}")
        wanted |= programs
    return {name: program for name, program in PROGRAMS.items() if not names or name in wanted}


def compiled(name: str, program: Program, target: Target, known: dict[Any, Record]) -> Record:
    """The account of every part; of one that another program has too, the same."""
    parts = []
    try:
        for part in program(target):
            key = part.key or (name, part.name)
            if key not in known:
                known[key] = account(part.lowered())
            parts.append({"part": part.name, "calls": part.calls, **known[key]})
    except Exception as error:  # one that fails must not take the others along
        return {"program": name, "error": f"{type(error).__name__}: {str(error)[:300]}"}
    return {"program": name, "parts": parts}


def described(target: Target) -> Record:
    """The machine, the versions, and what is compiled for."""
    return machine() | {
        "topology": target.name,
        "target": target.devices[0].device_kind,
        "target_count": len(target.devices),
        "compiler": target.compiler,
    }


def held(path: Path, wanted: Record) -> dict[str, Record]:
    """The records of a file, by program.

    Raises:
        ValueError: for a file of another topology or other versions.
    """
    if not path.exists():
        return {}
    saved = json.loads(path.read_text())
    for key in ("topology", "jax", "compiler"):
        if saved["machine"].get(key) != wanted[key]:
            raise ValueError(
                f"expected a file of {key} {wanted[key]}, got {saved['machine'].get(key)}: "
                f"remove {path}, or choose another by --out"
            )
    return {record["program"]: record for record in saved["records"] if "error" not in record}


def in_order(records: dict[str, Record]) -> list[Record]:
    return [records[name] for name in PROGRAMS if name in records]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of programs, or a part of it")
    parser.add_argument("--topology", default=TPU, help="default %(default)s")
    parser.add_argument("--resume", action="store_true", help="leave out what FILE has already")
    parser.add_argument("--out", type=as_path, metavar="FILE", help="default results/aot-*.json")
    return parser.parse_args()


def main() -> None:
    given, console = options(), Console(width=150)
    try:
        programs, target = chosen(given.names), target_of(given.topology)
        path, described_target = given.out or RESULTS / f"aot-{target.name}.json", described(target)
        records = held(path, described_target)
    except ValueError as error:
        sys.exit(f"error: {error}")
    known: dict[Any, Record] = {}
    left = [name for name in programs if not (given.resume and name in records)]
    for number, name in enumerate(left, 1):
        records[name] = compiled(name, programs[name], target, known)
        measure.save(path, described_target, in_order(records))
        console.print(f"{number}/{len(left)} {said(records[name])}", highlight=False)
    table = Table(
        *COLUMNS, title=f"{described_target['target']}: a compiler's account, not a timing"
    )
    for name in programs:
        table.add_row(*line(records[name]))
    console.print(table)
    complete = set(PROGRAMS) <= {name for name in records if "error" not in records[name]}
    if complete and path == RESULTS / f"aot-{TPU.replace(':', '-')}.json":
        write_page(described_target, in_order(records))
    if any("error" in records[name] for name in programs):
        sys.exit(1)


if __name__ == "__main__":
    main()
