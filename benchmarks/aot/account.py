"""The account of a compiler of a program that it has compiled."""

import re
import time
from collections import Counter
from typing import Any

Record = dict[str, Any]

_COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
)
_OPERATION = re.compile(r"^\s*(?:ROOT )?%\S+ = (?:\(.*?\)|\S+) ([a-z][a-z0-9-]*)\(")
_FLOATS = re.compile(r"= \(?(?:f32|bf16|f16)\[")


def account(lowered: Any) -> Record:
    """Compiles a program.

    Returns:
        `seconds` to compile it and `cpu_seconds` of this process; `memory` on a device and
        `code`, in bytes; `flops` and `bytes` read and written, of a run in which every loop
        whose length is not known turns once; `collectives` by kind; native `convolutions`;
        `products` of matrices by the precision that they ask for; `float64`, how many results.
    """
    start, used = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - used
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "memory": memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "flops": cost.get("flops", 0.0),
        "bytes": cost.get("bytes accessed", 0.0),
        **_operations(compiled.as_text()),
    }


def _operations(text: str) -> Record:
    """The operations of the optimized program."""
    lines = [(match[1], line) for line in text.splitlines() if (match := _OPERATION.search(line))]
    counts = Counter(operation.removesuffix("-start") for operation, _ in lines)
    multiplications = [line for operation, line in lines if _multiplies(operation, line)]
    # On TPU products are convolutions too: what they were is in their names.
    products = [line for line in multiplications if "conv_general_dilated" not in line]
    precisions = Counter(_precision(line) for line in products if _FLOATS.search(line))
    return {
        "collectives": {name: counts[name] for name in _COLLECTIVES if counts[name]},
        "convolutions": len(multiplications) - len(products),
        "products": dict(precisions),
        "float64": len(re.findall(r"\bf64\[", text)),
    }


def _multiplies(operation: str, line: str) -> bool:
    """Whether a line is a product or a convolution, of XLA or of a library for GPUs."""
    return operation in ("convolution", "dot") or "__cudnn$conv" in line or "__cublas$" in line


def _precision(line: str) -> str:
    """The lower one of both factors."""
    match = re.search(r'operand_precision"?[=:][{\[]"?(\w+)"?,"?(\w+)', line)
    asked = {name.lower() for name in match.groups()} if match else {"default"}
    return next(name for name in ("default", "high", "highest") if name in asked)
