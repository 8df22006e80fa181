"""The metrics that can be asked for by name: how each is computed, its error and its null."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvae.metrics.cka import cka_matrix
from jaxvae.metrics.correlation import svcca_matrix
from jaxvae.metrics.dimension import Dimension, two_nn, two_nn_mle
from jaxvae.metrics.gride import gride
from jaxvae.metrics.imbalance import imbalance_matrix
from jaxvae.metrics.levina_bickel import levina_bickel
from jaxvae.metrics.nulls import gaussian_null, unrelated_null
from jaxvae.metrics.overlap import label_overlap, overlap_matrix
from jaxvae.metrics.procrustes import procrustes_matrix
from jaxvae.metrics.resample import jackknife_error, subsample_error
from jaxvae.typing import ArrayLike

_GRIDE_RANK = 64
Spaces = Sequence[ArrayLike]
ShareDone = Callable[[float], None]


class Reading(NamedTuple):
    """The values of a metric for l spaces.

    Attributes:
        value: `[l]`, `[l, l]` from row to column, or `[l, s]` over scales.
        distinct: `[l]`, distinct points that a dimension rests on.
        ranks: `[l, s]`, the scales as ranks of the nearer of two neighbors.
        radii: `[l, s]`, the scales as distances.
    """

    value: Float[Array, "l ..."]
    distinct: Int[Array, " l"] | None = None
    ranks: Int[Array, "l s"] | None = None
    radii: Float[Array, "l s"] | None = None


class Metric(NamedTuple):
    """How one metric is measured.

    Attributes:
        title: its name, for headings.
        reads: how to read its numbers, in words.
        of: `spaces`, `pairs`, or `labels` (spaces against labels).
        compute: `compute(arrays, k, progress) -> Reading`; labels are the first of the
            arrays, and `progress(share)` is called as the work goes on, where that can
            be long.
        error: `subsample_error`, or `jackknife_error` for smooth metrics, and as an
            upper bound for those of many neighbors.
        null: `gaussian_null` (a Gaussian of the same n and covariance) or
            `unrelated_null` (permuted rows).
        neighbors: how many neighbors it looks at; 0 for none.
        k: default of k, or None where k is no setting of the metric.
    """

    title: str
    reads: str
    of: Literal["spaces", "pairs", "labels"]
    compute: Callable[[Any, Any, ShareDone], Reading]
    error: Callable[..., Any]
    null: Callable[..., Any]
    neighbors: int = 0
    k: int | None = None


def _part(progress: ShareDone, index: int, parts: int) -> Callable[[int, int], None]:
    """A report of the rows done in one search, as a share of all searches."""
    return lambda done, n: progress((index + done / n) / parts)


def _each(estimate: Callable[..., Any], spaces: Spaces, progress: ShareDone) -> list[Any]:
    return [
        estimate(space, progress=_part(progress, index, len(spaces)))
        for index, space in enumerate(spaces)
    ]


def _dimensions(dimensions: Sequence[Dimension]) -> Reading:
    return Reading(
        jnp.stack([one.value for one in dimensions]), jnp.stack([one.points for one in dimensions])
    )


def _scales(spaces: Spaces, progress: ShareDone) -> Reading:
    scales = jax.tree.map(
        lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]),
        *_each(partial(gride, max_rank=_GRIDE_RANK), spaces, progress),
    )
    return Reading(scales.values, scales.points, scales.ranks[..., 0], scales.radii)


def _labelled(arrays: Spaces, k: int, progress: ShareDone) -> Reading:
    labels, *spaces = arrays
    return Reading(jnp.stack(_each(partial(label_overlap, labels=labels, k=k), spaces, progress)))


_SIMILARITY = "1: the same up to rotation and scale; unrelated spaces have a value above 0"

METRICS: dict[str, Metric] = {
    "id": Metric(
        "Intrinsic dimension (TwoNN)",
        "dimension at the scale of the nearest neighbors",
        "spaces",
        lambda spaces, k, progress: _dimensions(_each(two_nn, spaces, progress)),
        subsample_error,
        gaussian_null,
        neighbors=2,
    ),
    "id-mle": Metric(
        "Intrinsic dimension (TwoNN, maximum likelihood)",
        "dimension at the scale of the nearest neighbors, from all ratios",
        "spaces",
        lambda spaces, k, progress: _dimensions(_each(two_nn_mle, spaces, progress)),
        subsample_error,
        gaussian_null,
        neighbors=2,
    ),
    "levina-bickel": Metric(
        "Intrinsic dimension (Levina-Bickel)",
        "dimension at the scale of k neighbors",
        "spaces",
        lambda spaces, k, progress: _dimensions(
            _each(partial(levina_bickel, k=k), spaces, progress)
        ),
        jackknife_error,
        gaussian_null,
        neighbors=20,
        k=20,
    ),
    "gride": Metric(
        "Intrinsic dimension over scales (Gride)",
        "dimension from the distances of neighbors 2r and r, by rank r",
        "spaces",
        lambda spaces, k, progress: _scales(spaces, progress),
        jackknife_error,
        gaussian_null,
        neighbors=_GRIDE_RANK,
    ),
    "imbalance": Metric(
        "Information imbalance Δ(row → column)",
        "0: neighbors in the row are neighbors in the column; 1: the row says nothing about it",
        "pairs",
        lambda spaces, k, progress: Reading(
            imbalance_matrix(spaces, k=k, progress=_part(progress, 0, 1))
        ),
        subsample_error,
        unrelated_null,
        neighbors=1,
        k=1,
    ),
    "overlap": Metric(
        "Neighborhood overlap",
        "share of the k nearest neighbors in common",
        "pairs",
        lambda spaces, k, progress: Reading(
            overlap_matrix(spaces, k=k, progress=_part(progress, 0, 1))
        ),
        jackknife_error,
        unrelated_null,
        neighbors=30,
        k=30,
    ),
    "label-overlap": Metric(
        "Label overlap",
        "share of the k nearest neighbors with the label of the point",
        "labels",
        _labelled,
        jackknife_error,
        unrelated_null,
        neighbors=30,
        k=30,
    ),
    "cka": Metric(
        "Linear CKA",
        _SIMILARITY,
        "pairs",
        lambda spaces, k, progress: Reading(cka_matrix(spaces)),
        jackknife_error,
        unrelated_null,
    ),
    "cka-debiased": Metric(
        "Linear CKA, debiased",
        "1: the same up to rotation and scale; 0: unrelated",
        "pairs",
        lambda spaces, k, progress: Reading(cka_matrix(spaces, debiased=True)),
        jackknife_error,
        unrelated_null,
    ),
    "procrustes": Metric(
        "Procrustes similarity",
        _SIMILARITY,
        "pairs",
        lambda spaces, k, progress: Reading(procrustes_matrix(spaces)),
        jackknife_error,
        unrelated_null,
    ),
    "svcca": Metric(
        "SVCCA (99% of the variance)",
        "1: the same up to a linear map; unrelated spaces have a value above 0",
        "pairs",
        lambda spaces, k, progress: Reading(svcca_matrix(spaces)),
        jackknife_error,
        unrelated_null,
    ),
}
