"""What a metric compiles: nothing for a second cloud of another size in the same class."""

import jax
import numpy as np

from jaxvae import metrics
from tests.clouds import gaussian
from tests.tiers import parametrize

METRICS = {
    "two_nn": metrics.two_nn,
    "gride": metrics.gride,
    "information_imbalance": lambda x: metrics.information_imbalance(x, x[:, :3]),
    "imbalance_matrix": lambda x: metrics.imbalance_matrix([x, x[:, :3], x[:, ::2]], k=2),
    "two_nn_mle": metrics.two_nn_mle,
    "levina_bickel": metrics.levina_bickel,
    "neighborhood_overlap": lambda x: metrics.neighborhood_overlap(x, x[:, :3]),
    "label_overlap": lambda x: metrics.label_overlap(x, np.arange(len(x)) % 3),
}
# The most programs of a first call, with those of rows that the bounds leave open.
MOST_PROGRAMS = 12


@parametrize("name", METRICS, quick=4)
def test_another_n_of_the_same_class_compiles_nothing(name, compilations):
    jax.clear_caches()
    METRICS[name](gaussian(300, 8))
    assert 1 <= len(compilations) <= MOST_PROGRAMS
    compilations.clear()
    for n in (301, 400, 512):
        METRICS[name](gaussian(n, 8, seed=n))
    assert not compilations


def test_spaces_of_other_widths_share_what_needs_no_coordinates(compilations):
    jax.clear_caches()
    metrics.imbalance_matrix([gaussian(300, 8), gaussian(300, 9)])
    of_two = len(compilations)
    compilations.clear()
    metrics.imbalance_matrix([gaussian(300, 8), gaussian(300, 9), gaussian(300, 10)])
    # Its products and its differences; the number of targets changes what is counted.
    assert len(compilations) < of_two


def test_known_latents_are_sorted_without_a_program(compilations):
    jax.clear_caches()
    metrics.latent_types(np.random.default_rng(0).gamma(1.0, size=(50, 7)).astype(np.float32))
    metrics.active_units(gaussian(50, 7))
    assert not compilations
