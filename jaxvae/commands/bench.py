"""`jaxvae bench`: how fast metrics and training are on this device."""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxvae.bench.metrics import MetricSpeed, metric_speed, refuse_cloud
from jaxvae.bench.timing import machine
from jaxvae.bench.training import TrainingSpeed, trained_model, training_speed
from jaxvae.commands.arguments.bench import PARTS
from jaxvae.files.whole import write_whole
from jaxvae.report.tables import printed_table
from jaxvae.runs.compiled import compiled_anew


def main(arguments: argparse.Namespace, console: Console, errors: Console) -> None:
    """Measure, print, and save what there is after every measurement."""
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        raise ValueError(f"expected parts among {', '.join(PARTS)}, got {', '.join(unknown)}")
    described = machine()
    console.print(_title(described), style="bold")
    results: dict[str, Any] = {"machine": described}
    wanted = dict.fromkeys(arguments.parts or PARTS)
    cases = {part: (_metrics if part == "metrics" else _trainings)(arguments) for part in wanted}
    for part, measures in cases.items():
        results[part] = []
        for doing, measure in measures:
            with errors.status(doing), compiled_anew():
                results[part].append(measure())
            if arguments.out:
                write_whole(arguments.out, partial(_write, results))
        rows = results[part]
        console.print(
            _metric_table(rows) if part == "metrics" else _training_table(rows, arguments)
        )
    console.print(f"saved: {arguments.out}" if arguments.out else "Not saved: --out FILE keeps it.")


Cases = list[tuple[str, Callable[[], Any]]]


def _metrics(arguments: argparse.Namespace) -> Cases:
    cases = list(product(arguments.metrics, arguments.points, arguments.features))
    for name, points, features in cases:
        refuse_cloud(name, points=points, features=features)
    return [
        (
            f"{name}: {points:,} points of {features:,} features",
            partial(metric_speed, name, points=points, features=features),
        )
        for name, points, features in cases
    ]


def _trainings(arguments: argparse.Namespace) -> Cases:
    sizes = {"image_size": arguments.image_size, "batch_size": arguments.batch_size}
    for network in arguments.network:
        trained_model(network, **sizes)
    return [
        (
            f"{network}: {members} at once",
            partial(training_speed, network, members=members, **sizes),
        )
        for network, members in product(arguments.network, arguments.members)
    ]


def _write(results: dict[str, Any], path: Path) -> None:
    rows = {part: [each._asdict() for each in results[part]] for part in PARTS if part in results}
    text = json.dumps({"machine": results["machine"], **rows}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _title(described: dict[str, Any]) -> str:
    device = described["cpu"] if described["backend"] == "cpu" else described["device"]
    count = described["cpu_count"] if described["backend"] == "cpu" else described["device_count"]
    return (
        f"{device} x {count}, JAX {described['jax']}, load {described['load_average']:.1f} "
        "before the start"
    )


def _metric_table(rows: Sequence[MetricSpeed]) -> Table:
    shown = [
        {
            "metric": row.metric,
            "points": f"{row.points:,}",
            "features": f"{row.features:,}",
            "first call": _seconds(row.first_seconds),
            "later": _seconds(row.seconds),
            "pairs/s": "" if row.pairs_per_second is None else f"{row.pairs_per_second:.2g}",
            "of product": f"{row.share_of_product:.0%}",
        }
        for row in rows
    ]
    return printed_table(shown, left=("metric",))


def _training_table(rows: Sequence[TrainingSpeed], arguments: argparse.Namespace) -> Table:
    full = {"epochs": arguments.epochs, "images": arguments.train_size}
    shown = [
        {
            "network": row.network,
            "members": str(row.members),
            "compiling": _seconds(row.compile_seconds),
            "step and model": f"{row.milliseconds:.3g} ms",
            "images/s": f"{row.images_per_second:,.0f}",
            "models/hour": f"{row.models_per_hour(**full):.3g}",
        }
        for row in rows
    ]
    return printed_table(shown, left=("network",))


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
