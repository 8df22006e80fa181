"""Similarities of representations between layers, epochs and models."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from jaxvae.geometry.arrays import as_point_array
from jaxvae.metrics.cka import cka_matrix
from jaxvae.metrics.imbalance import imbalance_matrix
from jaxvae.metrics.procrustes import procrustes_matrix
from jaxvae.typing import ArrayLike

SIMILARITIES: Mapping[str, Callable[[Sequence[ArrayLike]], ArrayLike]] = {
    "cka": cka_matrix,
    "debiased_cka": partial(cka_matrix, debiased=True),
    "procrustes": procrustes_matrix,
    "imbalance": imbalance_matrix,
}
"""What is compared, by name; all but the imbalance are symmetric and 1 for the same space."""


def similarities(
    spaces: Sequence[ArrayLike], *, points: Mapping[str, int]
) -> dict[str, Float[np.ndarray, "s s"]]:
    """Similarities between all of s spaces over the same examples.

    Args:
        spaces: each `[n, ...]`.
        points: how many examples, the first ones, by the names of `SIMILARITIES`: CKA
            takes n^2 d for every space, the imbalance n^2 s^2, and Procrustes a singular
            value decomposition, n^3, for every pair.

    Returns:
        The matrices by name. Of a constant space CKA and Procrustes similarity are NaN; its
        imbalance is that of a space in which all points are tied, 1 to one without ties.

    Raises:
        ValueError: for names that are not among `SIMILARITIES`, fewer examples than `points`, and
            what these refuse.
    """
    unknown = [name for name in points if name not in SIMILARITIES]
    if unknown:
        raise ValueError(
            f"expected points by names among {', '.join(SIMILARITIES)}, got {', '.join(unknown)}"
        )
    spaces = [as_point_array(space) for space in spaces]
    most, least = max(points.values(), default=0), min(map(len, spaces), default=0)
    if most > least:
        raise ValueError(f"expected points up to the {least:,} examples there are, got {most:,}")
    return {
        name: np.asarray(SIMILARITIES[name]([space[:n] for space in spaces]))
        for name, n in points.items()
    }


def similarities_between(
    load: Callable[[int], Mapping[str, ArrayLike]],
    count: int,
    *,
    points: Mapping[str, int],
    block: int,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, Float[np.ndarray, "m m"]]]:
    """`similarities` of every layer between more models than memory holds at once.

    Args:
        load: `index -> layers of a model`, each `[n, ...]`, by name; the same names for all.
        count: m, how many models there are.
        points: see `similarities`.
        block: the layers of twice as many models are in memory at once, or of all if they are as
            many at most. The fewer there are, the oftener a model is loaded.
        note: function that shows what is being compared.

    Returns:
        The matrices by layer, then by name of the similarity.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    size = count if count <= 2 * block else block
    blocks = [range(first, min(first + size, count)) for first in range(0, count, size)]
    for number, rows in enumerate(blocks[:-1] or blocks):
        ours = [load(index) for index in rows]
        for columns in blocks[number + 1 :] or [range(0)]:
            models, indices = [*ours, *map(load, columns)], [*rows, *columns]
            for layer in models[0]:
                note(f"{layer} in {len(models)} of {count} models")
                matrices = similarities([model[layer] for model in models], points=points)
                for name, matrix in matrices.items():
                    whole = found.setdefault(layer, {}).setdefault(
                        name, np.full((count, count), np.nan)
                    )
                    whole[np.ix_(indices, indices)] = matrix
    return found
