"""Every metric at two sizes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.aot.parts import Part, Program, parts_of, whole
from benchmarks.aot.targets import Target
from jaxvae import metrics
from jaxvae.metrics import cka_matrix, imbalance_matrix, procrustes_matrix

PAIR, NARROW, LAYERS = (784, 16), (16, 8), (784, 64, 16)


class Metric(NamedTuple):
    """A metric, the widths of the spaces that it is given, and numbers of points."""

    function: Callable[..., Any]
    widths: tuple[int, ...]
    sizes: tuple[int, int] = (2_000, 10_000)

    def driven(self, target: Target, *, n: int) -> Iterator[Part]:
        """The programs that run for a user, whose values are known."""
        random = np.random.default_rng(0)
        given = [jnp.asarray(random.normal(size=(n, d)), jnp.float32) for d in self.widths]
        yield from parts_of(lambda: self.function(*given), target, is_computed=True)

    def traced(self, target: Target, *, n: int) -> Iterator[Part]:
        """The one program inside of a user's `jit`."""
        given = [jax.ShapeDtypeStruct((n, width), jnp.float32) for width in self.widths]
        yield from whole(self.function, given, target)


def _label_overlap(x: Any) -> Any:
    return metrics.label_overlap(x, np.arange(len(x)) % 10)


def _minibatch_cka(*spaces: Any) -> Any:
    method = metrics.minibatch_cka(len(spaces))
    return method.result(method.update(method.init(), spaces))


METRICS = {
    "two_nn": Metric(metrics.two_nn, (784,)),
    "two_nn_mle": Metric(metrics.two_nn_mle, (784,)),
    "levina_bickel": Metric(metrics.levina_bickel, (784,)),
    "gride": Metric(metrics.gride, (784,)),
    "information_imbalance": Metric(metrics.information_imbalance, PAIR),
    "imbalance_matrix": Metric(lambda *spaces: imbalance_matrix(spaces), LAYERS),
    "neighborhood_overlap": Metric(metrics.neighborhood_overlap, PAIR),
    "label_overlap": Metric(_label_overlap, (784,)),
    "linear_cka": Metric(metrics.linear_cka, PAIR),
    "debiased_cka": Metric(metrics.debiased_cka, PAIR),
    "cka_matrix": Metric(lambda *spaces: cka_matrix(spaces), LAYERS),
    "minibatch_cka": Metric(_minibatch_cka, LAYERS, (128, 512)),
    "rbf_cka": Metric(metrics.rbf_cka, PAIR, (1_000, 4_000)),
    "procrustes_similarity": Metric(metrics.procrustes_similarity, PAIR),
    "procrustes_matrix": Metric(lambda *spaces: procrustes_matrix(spaces), LAYERS),
    # Decompositions of wider spaces take minutes to compile.
    "cca": Metric(metrics.cca, NARROW),
    "svcca": Metric(metrics.svcca, NARROW),
}
# These run as single operations, unless they are traced.
SMALL = {
    "active_units": Metric(metrics.active_units, (16,)),
    "latent_types": Metric(lambda x: metrics.latent_types(jnp.exp(x)), (16,)),
    "inception_score": Metric(lambda x: metrics.inception_score(jax.nn.softmax(x)), (10,)),
    "water_filling": Metric(lambda x: metrics.water_filling(x[0] ** 2, level=0.5), (784,)),
}
# One metric of each kind is traced: what the others of its kind hold is the same.
TRACED = {
    name: METRICS[name]
    for name in (
        "two_nn",
        "gride",
        "information_imbalance",
        "neighborhood_overlap",
        "cka_matrix",
        "procrustes_matrix",
    )
}


def metric_programs() -> dict[str, Program]:
    """The programs of metrics by name, first those that the host drives, then the traced ones."""
    driven = {
        f"{name}, n = {n:,}": partial(metric.driven, n=n)
        for name, metric in METRICS.items()
        for n in metric.sizes
    }
    traced = {
        f"{name}, n = {n:,}, traced": partial(metric.traced, n=n)
        for name, metric in (TRACED | SMALL).items()
        for n in metric.sizes
    }
    return driven | traced
