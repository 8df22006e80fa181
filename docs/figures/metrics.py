"""The pictures of docs/metrics.md, from clouds of which the truth is known.

    python docs/figures/metrics.py

writes docs/figures/metrics/*.png in a minute.
"""

from pathlib import Path

import numpy as np

from jaxvae.metrics import (
    accuracy_bound,
    debiased_cka,
    gride,
    information_imbalance,
    linear_cka,
    neighborhood_overlap,
    procrustes_similarity,
    svcca,
    two_nn,
    water_filling,
)
from jaxvae.report.style import figure

FOLDER = Path(__file__).parent / "metrics"
RNG = np.random.default_rng(0)


def draw_two_nn() -> None:
    """The fit of TwoNN on a plane, and what it gives for Gaussians of known dimension."""
    with figure(FOLDER / "two_nn.png", size=(5.6, 2.3), title="TwoNN") as drawing:
        fit, bias = drawing.subplots(1, 2)
        plane = np.linalg.qr(RNG.normal(size=(10, 2)))[0] @ RNG.uniform(size=(2, 1000))
        squares = ((plane.T[:, None] - plane.T[None]) ** 2).sum(axis=2)
        nearest, second = np.sqrt(np.sort(squares, axis=1)[:, 1:3]).T
        ratios = np.sort(np.log(second / nearest))[:900]
        share = -np.log(1 - np.arange(1, 901) / 1000)
        slope = float(two_nn(plane.T).value)
        fit.plot(ratios, share, ".", color="0.6")
        fit.plot(ratios, slope * ratios, label=f"slope {slope:.2f}")
        fit.set(xlabel="log (second / first distance)", ylabel="-log (1 - rank / n)")
        fit.set_title("A plane in 10 dimensions")
        fit.legend()
        known = np.array([1, 2, 5, 10, 20, 40])
        estimates = [float(two_nn(RNG.normal(size=(2000, d))).value) for d in known]
        bias.plot(known, known, "--", color="0.6", label="truth")
        bias.plot(known, estimates, "o-", label="n = 2,000")
        bias.set(xlabel="dimension of the Gaussian", ylabel="ID")
        bias.set_title("Too small above ID 10")
        bias.legend(loc="upper left")


def draw_gride() -> None:
    """The dimension of a noisy curve over scales."""
    turn = RNG.uniform(0, 2 * np.pi, 4000)
    curve = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    with figure(FOLDER / "gride.png", size=(5.6, 2.3), title="Gride") as drawing:
        cloud, scales = drawing.subplots(1, 2)
        for noise in (0.0, 0.005, 0.02):
            points = curve + noise * RNG.normal(size=curve.shape)
            estimate = gride(points, max_rank=512)
            scales.plot(estimate.ranks[:, 0], estimate.values, "o-", label=f"noise {noise}")
        cloud.plot(*points[:500].T, ".", markersize=1.5, color="0.4")
        cloud.set_aspect("equal")
        cloud.set_title("A circle with noise 0.02")
        scales.set(xscale="log", xlabel="rank of the neighbor", ylabel="ID", ylim=(0.9, 2.9))
        scales.set_title("Dimension over neighbor ranks")
        scales.legend()


def draw_imbalance() -> None:
    """The imbalance is not symmetric, and grows with noise."""
    plane = RNG.normal(size=(1000, 2))
    with figure(
        FOLDER / "imbalance.png", size=(5.6, 2.3), title="Information imbalance"
    ) as drawing:
        scale, noise = drawing.subplots(1, 2)
        factors = np.logspace(-3, 0, 10)
        imbalances = [information_imbalance(plane, plane * [1, factor]) for factor in factors]
        scale.plot(factors, [float(each.forward) for each in imbalances], "o-", label="Δ(a → b)")
        scale.plot(factors, [float(each.backward) for each in imbalances], "s-", label="Δ(b → a)")
        scale.set(xscale="log", xlabel="scale of the coordinate", ylabel="Δ")
        scale.set_title("b: a, one coordinate scaled")
        scale.legend()
        levels = np.logspace(-3, 1, 12)
        for k in (1, 10):
            shaken = [plane + level * RNG.normal(size=plane.shape) for level in levels]
            values = [float(information_imbalance(plane, b, k=k).forward) for b in shaken]
            noise.plot(levels, values, "o-", label=f"k = {k}")
        noise.set(xscale="log", yscale="log", ylabel="Δ(a → b)")
        noise.set_xlabel("standard deviation of the noise")
        noise.set_title("b: a with noise")
        noise.legend()


def draw_overlap() -> None:
    """The overlap falls with noise, sooner for fewer neighbors."""
    plane = RNG.normal(size=(1000, 2))
    levels = np.logspace(-3, 1, 12)
    with figure(FOLDER / "overlap.png", size=(3.6, 2.5), title="Neighborhood overlap") as drawing:
        axes = drawing.subplots()
        for k in (3, 30, 100):
            shaken = [plane + level * RNG.normal(size=plane.shape) for level in levels]
            values = [float(neighborhood_overlap(plane, b, k=k)) for b in shaken]
            (line,) = axes.plot(levels, values, "o-", label=f"k = {k}")
            axes.axhline(k / 999, color=line.get_color(), linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="standard deviation of the noise", ylabel="shared neighbors")
        axes.legend(title="dotted: unrelated", loc="upper right")


def draw_similarity() -> None:
    """What similarities give for spaces that have nothing in common."""
    widths = np.array([2, 5, 10, 20, 50, 100, 200, 400])
    measures = {
        "linear CKA": linear_cka,
        "debiased CKA": debiased_cka,
        "Procrustes": procrustes_similarity,
        "SVCCA": lambda x, y: svcca(x, y).mean,
    }
    pairs = [RNG.normal(size=(2, 500, width)) for width in widths]
    with figure(
        FOLDER / "similarity.png", size=(3.6, 2.5), title="Similarity of unrelated Gaussians"
    ) as drawing:
        axes = drawing.subplots()
        for name, measure in measures.items():
            axes.plot(widths, [float(measure(*pair)) for pair in pairs], "o-", label=name)
        axes.set(xscale="log", xlabel="features of each space (n = 500)", ylabel="similarity")
        axes.legend()


def draw_information() -> None:
    """Which latents a linear VAE uses, and what accuracy a rate allows."""
    with figure(FOLDER / "information.png", size=(5.6, 2.3), title="Rates") as drawing:
        filling, bound = drawing.subplots(1, 2)
        variances = 4.0 * 0.5 ** np.arange(10)
        for level in (0.05, 0.5):
            rates = water_filling(variances, level=level).rates
            filling.plot(np.arange(1, 11), rates, "o-", label=f"level {level}")
        filling.set(xlabel="principal direction", ylabel="rate, nats")
        filling.set_title("Rates of a linear VAE")
        filling.legend()
        nats = np.linspace(0, 3, 31)
        for classes in (2, 10):
            most = accuracy_bound(nats, np.full(classes, 1 / classes))
            bound.plot(nats, most, label=f"{classes} classes")
        bound.set(xlabel="rate, nats", ylabel="largest accuracy", ylim=(0, 1.03))
        bound.set_title("Largest accuracy by rate")
        bound.legend()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    draw_two_nn()
    draw_gride()
    draw_imbalance()
    draw_overlap()
    draw_similarity()
    draw_information()
