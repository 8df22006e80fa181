"""Train on the devices of several processes: JAX_... python train_in_processes.py DIR."""

import sys
from pathlib import Path

import jax
import numpy as np

from jaxvae.training.mesh import chosen_devices, everywhere, put
from jaxvae.training.processes import is_first, join_processes
from tests.training.train_on_devices import numbers, of_batches, of_members


def main(out):
    join_processes()
    mesh = chosen_devices(None)
    results = {}
    for storage in ("everywhere", "split", "host"):
        results[storage] = of_batches("dense", mesh, storage)
    results = {name: numbers(put(tree, everywhere(mesh))) for name, tree in results.items()}
    if is_first():
        np.savez(out / "results.npz", **results)
    try:
        of_members(3, mesh)
    except ValueError as error:
        print("refused:", error)
    print("processes", jax.process_count(), "devices", mesh.size)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
