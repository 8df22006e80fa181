"""Learning dynamics in words and figures, from records whose story is known."""

import matplotlib.image
import numpy as np
import pytest
import xarray as xr

from jaxvae.report.dynamics_figures import draw_dynamics
from jaxvae.report.dynamics_summary import (
    between,
    convergence,
    dynamics_rows,
    dynamics_summary,
    to_final,
)

EPOCHS = [0, 1, 2, 4]
LAYERS = ["input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output"]
MODELS = [("beta_vae", 4.0, 0), ("beta_vae", 4.0, 1), ("dip_vae_i", 2.0, 0), ("dip_vae_i", 2.0, 1)]
# Similarity to the end: the encoder is there at 1, the decoder at 2, or the other way round.
EARLY, LATE = [0.0, 0.9, 1.0, 1.0], [0.5, 0.6, 0.9, 1.0]


def made(*, encoder=EARLY, decoder=LATE, failed=()):
    """Records of four models whose layers are learned as said."""
    runs, epochs, layers = len(MODELS), len(EPOCHS), len(LAYERS)
    matrix = np.full((runs, epochs, layers, epochs, layers), 0.25)
    for index, layer in enumerate(LAYERS):
        curve = decoder if layer.startswith("decoder") else encoder
        matrix[:, :, index, -1, index] = curve
    cross = np.full((layers, runs, runs), 0.5)
    same = np.array([[a[0] == b[0] for b in MODELS] for a in MODELS])
    cross[:, same] = 0.75
    cross[:, range(runs), range(runs)] = 1
    rng = np.random.default_rng(0)
    variables = {
        "debiased_cka": (("run", "epoch", "layer", "other_epoch", "other_layer"), matrix),
        "debiased_cka_between": (("layer", "run", "other_run"), cross),
        "failed": ("run", [index in failed for index in range(runs)]),
        "reconstruction": (("run", "epoch"), np.full((runs, epochs), 12.34)),
        "kl": (("run", "epoch"), np.full((runs, epochs), 5.0)),
        "kl_per_latent": (("run", "epoch", "latent"), rng.random((runs, epochs, 3))),
        **{
            f"{kind}_latents": (("run", "epoch"), np.full((runs, epochs), number))
            for kind, number in (("active", 2), ("mixed", 0), ("passive", 1))
        },
    }
    labels = {
        name: ("run", list(values))
        for name, values in zip(
            ("objective", "value", "seed"), zip(*MODELS, strict=True), strict=True
        )
    }
    coordinates = {"epoch": EPOCHS, "other_epoch": EPOCHS, "layer": LAYERS, "other_layer": LAYERS}
    attributes = {"data": "sprites", "network": "compact_vae"}
    return xr.Dataset(variables, coords={**labels, **coordinates}, attrs=attributes)


def test_similarity_to_the_end_is_the_diagonal_of_the_last_epoch():
    similarity = to_final(made())
    np.testing.assert_allclose(similarity.sel(layer="encoder/1"), [EARLY] * 4)
    np.testing.assert_allclose(similarity.sel(layer="decoder/1"), [LATE] * 4)


def test_the_halves_converge_when_they_do():
    found = convergence(to_final(made()))
    np.testing.assert_allclose(found.encoder, [1] * 4)
    np.testing.assert_allclose(found.decoder, [2] * 4)


@pytest.mark.parametrize(
    ("encoder", "decoder", "first"), [(EARLY, LATE, "2/2"), (LATE, EARLY, "0/2")]
)
def test_the_table_says_which_half_came_first(encoder, decoder, first):
    rows = dynamics_rows([made(encoder=encoder, decoder=decoder)])
    assert [row["objective"] for row in rows] == ["beta_vae", "dip_vae_i"]
    assert [row["encoder first"] for row in rows] == [first, first]
    assert rows[0]["recon. nats"] == "12.3"


def test_what_an_untrained_layer_has_is_not_learned():
    # From .5 to 1: shares 0, .2, .8, 1, so .9 comes half way between epochs 2 and 4.
    rows = dynamics_rows([made()])
    assert rows[0]["learned decoder"] == "3.0±0.0"


def test_models_that_failed_are_left_out():
    rows = dynamics_rows([made(failed=(0, 2, 3))])
    assert [(row["objective"], row["encoder first"]) for row in rows] == [("beta_vae", "1/1")]


def test_models_that_differ_in_one_thing_are_compared():
    records = made()
    assert set(between(records, "seeds").values()) == {0.75}
    assert set(between(records, "objectives").values()) == {0.5}
    assert between(records, "strengths") is None


def test_the_summary_says_it_in_words():
    text = dynamics_summary([made()])
    assert "the encoder was learned before the decoder in 4 of 4 models" in text
    assert "of what was left to learn, the encoder was first in 4" in text
    assert "other seeds: encoder 0.75" in text
    assert "| sprites | compact_vae | beta_vae | 1.0±0.0 | 2.0±0.0 | 2/2 |" in text


@pytest.mark.slow
def test_every_figure_is_drawn(tmp_path):
    paths = draw_dynamics([made(), made(encoder=LATE, decoder=EARLY)], tmp_path / "figures")
    assert {path.name for path in paths} == {
        "sprites_compact_vae_layers.png",
        "sprites_compact_vae_learning.png",
        "sprites_compact_vae_latents.png",
        "convergence.png",
        "between_models.png",
    }
    for path in paths:
        assert matplotlib.image.imread(path).std() > 0.01
