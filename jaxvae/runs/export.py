"""A saved run as one file of named arrays, for programs that have neither JAX nor jaxvae.

Names are the paths of flax joined with dots, as in a state dictionary of PyTorch:
`encoder.Dense_0.kernel`, `mean.bias`; running statistics of batch normalization, `mean` and `var`,
stand beside their `scale` and `bias`. Arrays are float32 as jaxvae holds them: dense kernels
`[in, out]`, convolutions `[height, width, in, out]`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae.files.whole import write_whole
from jaxvae.models.vae import Variables
from jaxvae.runs.config import run_settings
from jaxvae.runs.folder import as_json
from jaxvae.runs.saved import SavedRun


def export_run(run: SavedRun, kind: str, path: Path) -> list[str]:
    """Write what a run learned, whole.

    Args:
        run: the saved run.
        kind: `safetensors`, whose header holds the settings as `config` and the step as `step`,
            texts; or `npz`, where they are the arrays `__config__` and `__step__`.
        path: the file; replaced where it is there.

    Returns:
        The names of the arrays.

    Raises:
        ValueError: for another kind.
        ModuleNotFoundError: for safetensors where it is not installed.
        OSError: if it cannot be written.
    """
    arrays = _named_arrays(run.variables)
    settings = json.dumps(as_json(run_settings(run.config, image_shape=run.vae.image_shape)))
    if kind == "safetensors":
        _write_safetensors(path, arrays, {"config": settings, "step": str(run.step)})
    elif kind == "npz":
        metadata = {"__config__": np.array(settings), "__step__": np.array(run.step)}
        write_whole(path, lambda part: _write_npz(part, {**arrays, **metadata}))
    else:
        raise ValueError(f"expected safetensors or npz, got {kind}")
    return [*arrays]


def _write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    try:
        from safetensors.numpy import save_file  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "expected safetensors for --to safetensors: pip install safetensors, or --to npz"
        ) from error
    whole = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
    write_whole(path, lambda part: save_file(whole, part, metadata=dict(metadata)))


def _write_npz(part: Path, arrays: Mapping[str, Any]) -> None:
    # Through a file, because of a path NumPy would change the name.
    with part.open("wb") as file:
        np.savez(file, **arrays)


def _named_arrays(variables: Variables) -> dict[str, np.ndarray]:
    """Parameters and statistics by name, on the host."""
    arrays = {}
    for tree in variables:
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            if name in arrays:
                raise ValueError(f"expected one array of every name, got several {name}")
            arrays[name] = np.asarray(leaf)
    return arrays
