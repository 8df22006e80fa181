"""The speed of metrics, beside that of the matrix products that they consist of."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxvae.analysis.registry import METRICS
from jaxvae.bench.timing import timed
from jaxvae.typing import ArrayLike

# Rows of a product at a time: which is faster depends on the width and the device.
_BLOCKS = (100, 1000)
_CLASSES = 10
# Some metrics look at up to 64 neighbors.
_FEWEST_POINTS = 100


class MetricSpeed(NamedTuple):
    """The speed of a metric on this device.

    Attributes:
        metric: its name in `METRICS`.
        points: n.
        features: d of every space.
        first_seconds: seconds of the first call, which compiles.
        seconds: median seconds of later calls.
        pairs_per_second: pairs of points of all spaces; None where no pairs are compared.
        share_of_product: the time of the bare products divided by that of the metric: 1 is as
            fast as products alone.
    """

    metric: str
    points: int
    features: int
    first_seconds: float
    seconds: float
    pairs_per_second: float | None
    share_of_product: float


def metric_speed(name: str, *, points: int, features: int) -> MetricSpeed:
    """Time a metric on Gaussian clouds: one, or two where it compares spaces.

    The bare products are, for a metric that looks at neighbors, those of all points with all
    points of every space and the largest of each row; for another one, the products of the
    features of the two spaces with themselves and each other. All are of full float32
    precision.

    Args:
        name: one of `METRICS`.
        points: n.
        features: d.

    Raises:
        ValueError: as `refuse_cloud`.
    """
    refuse_cloud(name, points=points, features=features)
    metric = METRICS[name]
    spaces = [jnp.asarray(space) for space in _clouds(points, features)]
    if metric.of != "pairs":
        spaces = spaces[:1]
    labels = [np.arange(points) % _CLASSES] if metric.of == "labels" else []
    arrays: list[ArrayLike] = [*labels, *spaces]
    timing = timed(lambda: metric.compute(arrays, metric.k, lambda _: None).value)
    pairs = None
    if metric.neighbors:
        product = min(timed(partial(_products, spaces, block)).later for block in _BLOCKS)
        pairs = len(spaces) * points**2 / timing.later
    else:
        product = timed(partial(_feature_products, spaces)).later
    return MetricSpeed(
        name, points, features, timing.first, timing.later, pairs, product / timing.later
    )


def refuse_cloud(name: str, *, points: int, features: int) -> None:
    """Refuse what cannot be timed, before anything is.

    Raises:
        ValueError: for a metric that there is not, no features, and fewer than 100 points, of
            which not all metrics are defined.
    """
    if name not in METRICS:
        raise ValueError(f"expected metrics among {', '.join(METRICS)}, got {name}")
    if points < _FEWEST_POINTS or features < 1:
        raise ValueError(
            f"expected at least {_FEWEST_POINTS} points and 1 feature, got points={points}, "
            f"features={features}"
        )


def _clouds(points: int, features: int) -> list[Float[np.ndarray, "n d"]]:
    """A Gaussian cloud, and what a random layer makes of it."""
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((points, features), dtype=np.float32)
    weights = rng.standard_normal((features, features), dtype=np.float32) / np.sqrt(features)
    return [cloud, np.tanh(cloud @ weights)]


def _products(spaces: Sequence[Array], block: int) -> list[Array]:
    return [largest_products(space, block=min(block, len(space))) for space in spaces]


@partial(jax.jit, static_argnames="block")
def largest_products(space: Float[Array, "n d"], *, block: int) -> Float[Array, "blocks block"]:
    """The largest inner product of every row with any row: n^2 d, and one pass over n^2.

    The rows of the last block may be among those of the one before.
    """
    n, width = space.shape

    def of_block(start: Array) -> Array:
        rows = lax.dynamic_slice(space, (start, 0), (block, width))
        return jnp.matmul(rows, space.T, precision=lax.Precision.HIGHEST).max(axis=1)

    return lax.map(of_block, jnp.minimum(jnp.arange(0, n, block), n - block))


@jax.jit
def _feature_products(spaces: Sequence[Float[Array, "n d"]]) -> list[Float[Array, "d d"]]:
    return [
        jnp.matmul(one.T, other, precision=lax.Precision.HIGHEST)
        for index, one in enumerate(spaces)
        for other in spaces[index:]
    ]
