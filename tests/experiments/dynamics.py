"""Records of learning dynamics whose story is known."""

import numpy as np
import xarray as xr

EPOCHS = [0, 1, 2, 4]
KINDS = ("active", "mixed", "passive")
LAYERS = ["input", "encoder/1", "mean", "log_variance", "sample", "decoder/1", "output"]
MODELS = [("beta_vae", 4.0, 0), ("beta_vae", 4.0, 1), ("dip_vae_i", 2.0, 0), ("dip_vae_i", 2.0, 1)]
# Similarity to the end: the encoder is there at 1, the decoder at 2, or the other way round.
EARLY, LATE = [0.0, 0.9, 1.0, 1.0], [0.5, 0.6, 0.9, 1.0]


def made(*, encoder=EARLY, decoder=LATE, failed=(), replicate=1.0):
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
        "debiased_cka_replicate": (("run", "layer"), np.full((runs, layers), replicate)),
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
