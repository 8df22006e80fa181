"""Images kept on the device, split over devices, or on disk: images a second of a training.

    python -m benchmarks.storage [--networks NAME ...] [--devices N] [--gib G]

Each network is trained by `train` on the same images in every storage of `place_images`; all
take turns, A B C A B C, over the same steps; compilation is not counted. Those on the host lie in
a memory-mapped file, of which the system keeps in memory what it has room for; `--gib` says how
large it is. `--devices N` splits every batch over N devices, and the images too (`split`). On
CPU, `JAX_NUM_CPU_DEVICES=4` simulates four devices, which share the cores: what it shows is what
collecting images costs, not what devices gain. Expected: no storage costs more than a few percent,
since batches are read while the steps before them run; on CPU reading takes a core from training.
Five minutes on one core.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from benchmarks.ensembles import LATENTS, NETWORKS, Network, trainer_of
from jaxvae.bench.timing import machine
from jaxvae.commands.arguments.paths import as_path
from jaxvae.training import PlacedImages, place_images, train
from jaxvae.training.batches import steps_at_once
from jaxvae.training.mesh import chosen_devices
from jaxvae.training.placed import STORAGES

RESULTS = Path(__file__).parent / "results" / "storage.json"
# A call lays out batches so many times.
PIECES, REPEATS, GIBIBYTE = 2, 3, 2**30


def on_disk(network: Network, gib: float, folder: Path) -> np.memmap:
    """A memory-mapped file of images of noise, which take as long to train on as any others."""
    shape = (network.size, network.size, 1)
    n = max(2 * network.batch, int(gib * GIBIBYTE) // int(np.prod(shape)))
    images = np.lib.format.open_memmap(
        folder / f"{network.name}.npy", mode="w+", dtype=np.uint8, shape=(n, *shape)
    )
    generator = np.random.default_rng(0)
    for first in range(0, n, 10_000):
        part = images[first : first + 10_000]
        part[:] = generator.integers(256, size=part.shape, dtype=np.uint8)
    images.flush()
    return np.load(folder / f"{network.name}.npy", mmap_mode="r")


def steps_of(network: Network, placed: PlacedImages, steps: int) -> Callable[[], Any]:
    """Train so many steps at the end of the first epoch, from a state that claims to be there."""
    trainer = trainer_of(network, LATENTS)
    state, per_epoch = trainer.init(jax.random.key(0)), placed.n // network.batch
    state = state._replace(step=jax.numpy.int32(per_epoch - steps))

    def run() -> Any:
        end = train(trainer, state, placed, epochs=1, batch_size=network.batch, mesh=placed.mesh)
        return end.variables

    return run


def measured(network: Network, mesh: Mesh | None, gib: float, repeats: int) -> dict[str, Any]:
    """One network on the same images in every storage, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        images = on_disk(network, gib, Path(folder))
        storages = [name for name in STORAGES if name != "split" or mesh is not None]
        per_epoch = len(images) // network.batch
        at_once = steps_at_once(per_epoch, network.batch * images[0].size)
        steps = per_epoch - max(0, -(-per_epoch // at_once) - PIECES) * at_once
        candidates = {
            name: steps_of(network, place_images(images, mesh=mesh, storage=name), steps)
            for name in storages
        }
        times = measure.interleaved_times(candidates, repeats)
    speed = {name: steps * network.batch / statistics.median(each) for name, each in times.items()}
    return network._asdict() | {
        "devices": 1 if mesh is None else mesh.size,
        "images": len(images),
        "gib": images.nbytes / GIBIBYTE,
        "steps": steps,
        "seconds_per_call": times,
        "images_per_second": speed,
        "share_of_resident": {name: each / speed["everywhere"] for name, each in speed.items()},
    }


def table_of(records: list[dict[str, Any]]) -> Table:
    table = Table(title="Images a second (median), and the share of images that are everywhere")
    for heading in ("network", "devices", "images", "GiB", *STORAGES):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for row in records:
        cells = [
            f"{row['images_per_second'][name]:,.0f} ({row['share_of_resident'][name]:.2f})"
            if name in row["images_per_second"]
            else ""
            for name in STORAGES
        ]
        about = (row["name"], str(row["devices"]), f"{row['images']:,}", f"{row['gib']:.2f}")
        table.add_row(*about, *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [network.name for network in NETWORKS]
    parser.add_argument(
        "--networks", nargs="+", choices=names, default=["dense_vae", "compact_vae"]
    )
    parser.add_argument("--devices", type=int, metavar="N", help="devices (default: one)")
    parser.add_argument("--gib", type=float, default=0.25, help="of images (default: 0.25)")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=as_path, default=RESULTS, help=f"(default: {RESULTS.name})")
    options = parser.parse_args()
    described, mesh = machine(), chosen_devices(options.devices)
    save, console = partial(measure.save, options.out, described), Console()
    records = []
    for network in (each for each in NETWORKS if each.name in options.networks):
        records.append(measured(network, mesh, options.gib, options.repeats))
        save(records)
    console.print(table_of(records))


if __name__ == "__main__":
    main()
