"""What is said of a rate plane whose best split is known."""

import numpy as np
import xarray as xr

from jaxvae.advising.plane import is_plane, plane_sentences

BETAS = [0.1, 0.3, 1.0, 3.0, 10.0]
RATES = np.array([100.0, 64.0, 32.0, 8.0, 2.0])


def plane_records(best, *, noise, seeds=3):
    """Records of `experiments.rate_allocation`: all scores are highest at the rates `best`."""
    random = np.random.default_rng(0)
    rates = np.stack(np.meshgrid(RATES, RATES, indexing="ij"), axis=-1)
    truth = -np.sum((np.log1p(rates) - np.log1p(best)) ** 2, axis=-1)[..., None]
    drawn = lambda: truth + noise * random.standard_normal((5, 5, seeds))  # noqa: E731
    grid = ("beta_top", "beta_bottom", "seed")
    cells = np.zeros((5, 5, seeds), bool)
    # Of the second layer nobody asked.
    accuracy = np.stack([drawn(), np.full(cells.shape, np.nan)], axis=-1)[..., None, None]
    repeated = np.repeat(rates[:, :, None], seeds, axis=2)[..., None, :]
    return xr.Dataset(
        {
            "rates": ((*grid, "epoch", "layer"), repeated),
            "psnr": ((*grid, "epoch"), drawn()[..., None]),
            "inception_score": (grid, drawn()),
            "accuracy": ((*grid, "layer", "kind", "classifier"), accuracy),
            "failed": ((*grid, "epoch"), cells[..., None]),
            "missing": (grid, cells),
            "suspect": (grid, cells),
        },
        coords={"beta_top": BETAS, "beta_bottom": BETAS, "kind": ["sample"]},
    )


def test_the_best_split_of_every_use_is_named_with_its_rates():
    records = plane_records([32.0, 8.0], noise=0.01)
    assert is_plane(records)
    said = plane_sentences(records)
    assert len(said) == 3
    assert all(
        "highest at 32.0 nats in the upper and 8.0 in the lower half" in sentence
        for sentence in said
    )
    assert all("32.0 to 32.0 nats in the upper half" in sentence for sentence in said)
    assert all("8.0 to 8.0 in the lower half" in sentence for sentence in said)


def test_one_seed_and_noise_decide_nothing():
    for records in (plane_records([32, 8], noise=0.01, seeds=1), plane_records([32, 8], noise=99)):
        assert all("not decided" in sentence for sentence in plane_sentences(records))


def test_a_cell_of_which_a_run_has_failed_is_left_out():
    records = plane_records([32.0, 8.0], noise=0.01)
    records["failed"][2, 3, 0] = True
    assert all("of 24 cells" in sentence for sentence in plane_sentences(records))
