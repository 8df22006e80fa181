"""The pairs of rates with the highest score, by a quadratic surface and its confidence."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxvae.analysis.spread import residuals, ways_of
from jaxvae.files.refusals import refuse_no_share
from jaxvae.geometry.arrays import as_float64

# A quadratic has the terms 1, x, y, x^2, xy and y^2, and differences all but the first.
_COEFFICIENTS, _PLACES = 6, 5
# A plane is no quadratic where p is below: of all in which cells differ from the surface, and of
# its cubic terms, by which the top of a quadratic is moved from that of a lopsided surface.
_LACK_OF_FIT, _LOPSIDED = 0.05, 0.2
# Seeds move the surface as a whole where p is below.
_MOVED = 0.4
# Sums and the fit leave up to this share of the largest score of differences that are zero.
_ROUNDING = 1e-12


class BestRegion(NamedTuple):
    """Which of m cells may have the highest score.

    Attributes:
        candidates: cells of which the surface is not shown to be lower than at another one.
        best: the cell at which the fitted surface is highest.
        fitted: the surface at every cell, in units of the score.
        is_quadratic: whether cells differ from the surface, and from one with cubic terms too, by
            no more than trainings do.
    """

    candidates: Bool[np.ndarray, " m"]
    best: int
    fitted: Float[np.ndarray, " m"]
    is_quadratic: bool

    @property
    def is_decided(self) -> bool:
        """Whether the surface describes the scores, and leaves some cell out."""
        return self.is_quadratic and not bool(self.candidates.all())


def best_region(
    rates: Float[np.ndarray, "m s 2"], scores: Float[np.ndarray, "m s"], *, error: float = 0.05
) -> BestRegion:
    """The cells at which a quadratic response surface may be highest.

    The model is `score = surface + seed + training`: a quadratic in log(1 + R) of both rates, a
    random effect that a seed has in all cells, and noise of one variance. With every seed in every
    cell, means over seeds carry the effects of seeds as one constant, which moves no maximum. Of
    these means the surface is fitted. Their variance is that of cells around the surface, with
    m - 6 degrees of freedom, or of trainings around the surface of their seed over s, with
    (m - 6)(s - 1): the larger of both, since what all trainings of a cell share counts too. Where
    the surfaces of seeds vary by more than that, because a seed tilts or bends the whole plane, it
    is added by how much more, in the mean of the 5 orthogonal terms that differences have.

    A cell is left out where another one is higher by more than `sqrt(5 F)` standard errors of the
    difference, with F the quantile `1 - error`. Its degrees of freedom are

    - 5 and those of the variance, if trainings vary independently of each other (Scheffe 1953);
    - k and k(s - 1), if the surfaces of seeds vary by more than that gives (an F test with p < .4),
      and with two seeds, which cannot show whether they do. k is the number of ways, 1 to 5 and
      s - 1, in which they are seen to vary: 5 times the share of Greenhouse and Geisser (1959), by
      which Box (1954) approximates this sum of squares. Of one way, as a tilt in one direction, F
      is the square of Student's t with s - 1 degrees of freedom.

    As both hold for all differences together, the true best cell is left out in at most the share
    `error` of planes, also where the best is at the edge of what was tried, or on a ridge, and
    whatever seeds do to the surface, with normal trainings. That holds if the scores are a
    quadratic function: the two tests of that may miss a small difference, and a cell is then left
    out too often that is better by as little (`docs/statistics.md`, with the power).

    Args:
        rates: rates of every cell and seed in nats, two layers or halves of a hierarchy.
        scores: scores of every cell and seed; large is good.
        error: share of planes in which the best cell may be left out.

    Returns:
        `BestRegion`. It is no quadratic where an F test of the cells around the surface has
        p < .05, or one of all cubic terms together has p < .2.

    Raises:
        ValueError: for shapes that do not match, values that are not finite, negative rates, one
            seed, fewer than 9 cells, rates that no quadratic can be fitted to, and an error that
            is not between 0 and 1.
    """
    rates, scores = as_float64(rates), as_float64(scores)
    if rates.shape != (*scores.shape, 2) or scores.ndim != 2 or min(scores.shape) < 2:
        raise ValueError(
            "expected rates [m, s, 2] and scores [m, s] of at least 2 cells and 2 seeds, got "
            f"rates of shape {rates.shape} and scores of shape {scores.shape}"
        )
    if not (np.isfinite(scores).all() and np.isfinite(rates).all() and (rates >= 0).all()):
        raise ValueError(
            "expected finite scores and finite rates of at least 0, got scores from "
            f"{scores.min()} to {scores.max()} and rates from {rates.min()} to {rates.max()}"
        )
    refuse_no_share(error)
    cells, seeds = scores.shape
    terms = _terms(rates.mean(axis=1))
    if cells < 9 or np.linalg.matrix_rank(terms) < _COEFFICIENTS:
        raise ValueError(
            f"expected at least 9 cells whose rates differ in both layers, got {cells} cells"
        )
    rounding = _ROUNDING * np.abs(scores).max()
    basis, means = np.linalg.qr(terms)[0], scores.mean(axis=1)
    fitted = basis @ (basis.T @ means)
    variances = _variances(scores, basis, means - fitted, rounding=rounding)
    # In differences of the surface the constant drops out.
    projection = basis @ basis.T
    own = np.diag(projection)
    squared = np.maximum(own[:, None] + own - 2 * projection, 0.0)
    limit = np.sqrt(_square_of_limit(variances, seeds, error) * squared)
    lopsided, more = _lopsided(terms, means, fitted)
    lopsided = _not_rounding(lopsided, rounding)
    return BestRegion(
        ~np.any(fitted - fitted[:, None] > limit + rounding, axis=1),
        int(fitted.argmax()),
        fitted,
        _chance(variances, seeds, variances.cells, variances.rest) >= _LACK_OF_FIT
        and _chance(variances, seeds, lopsided, more) >= _LOPSIDED,
    )


class _Variances(NamedTuple):
    """Variances of means over seeds, each in the mean of its orthogonal terms.

    Attributes:
        cells: of cells around the surface.
        trainings: as trainings around the surface of their seed give it.
        surfaces: as the surfaces of seeds give it.
        ways: in how many ways these surfaces vary, from 1 to 5 and to s - 1.
        rest: terms in which cells differ from a surface.
    """

    cells: float
    trainings: float
    surfaces: float
    ways: float
    rest: int


def _variances(
    scores: Float[np.ndarray, "m s"],
    basis: Float[np.ndarray, "m 6"],
    around: Float[np.ndarray, " m"],
    *,
    rounding: float,
) -> _Variances:
    cells, seeds = scores.shape
    rest, noise = cells - _COEFFICIENTS, residuals(scores)
    moved = basis.T @ noise
    by_seed = moved.T @ moved
    squares, total = float(np.sum((noise - basis @ moved) ** 2)), float(np.trace(by_seed))
    freedom = (seeds - 1) * seeds
    surfaces = _not_rounding(total / _PLACES / freedom, rounding)
    return _Variances(
        _not_rounding(float(np.sum(around**2)) / rest, rounding),
        _not_rounding(squares / rest / freedom, rounding),
        surfaces,
        ways_of(by_seed) if surfaces else 1.0,
        rest,
    )


def _not_rounding(variance: float, rounding: float) -> float:
    """What is rounding is no variance: scores may be equal, or a quadratic exactly."""
    return variance if variance > rounding**2 else 0.0


def _chance(variances: _Variances, seeds: int, variance: float, places: int) -> float:
    """The p of an F test that a variance in some places is no larger than that of trainings."""
    from scipy.special import fdtrc  # noqa: PLC0415

    if variances.trainings == 0.0:
        return float(variance == 0.0)
    return float(fdtrc(places, variances.rest * (seeds - 1), variance / variances.trainings))


def _square_of_limit(variances: _Variances, seeds: int, error: float) -> float:
    """The square of the largest difference of cells whose terms differ by one in all."""
    from scipy.special import fdtri  # noqa: PLC0415

    cells, trainings, surfaces, ways, rest = variances
    variance, freedom = max((cells, float(rest)), (trainings, float(rest * (seeds - 1))))
    variance += max(surfaces - trainings, 0.0)
    places = float(_PLACES)
    if seeds == 2 or _chance(variances, seeds, surfaces, _PLACES * (seeds - 1)) < _MOVED:
        places, freedom = ways, ways * (seeds - 1)
    return _PLACES * variance * float(fdtri(places, freedom, 1 - error))


def _lopsided(
    terms: Float[np.ndarray, "m 6"], means: Float[np.ndarray, " m"], fitted: Float[np.ndarray, " m"]
) -> tuple[float, int]:
    """The mean square that cubic terms add to the surface, and how many they are."""
    _, x, y, *_ = terms.T
    cubic = np.concatenate([terms, np.stack([x**3, x * x * y, x * y * y, y**3], axis=1)], axis=1)
    places = int(np.linalg.matrix_rank(cubic)) - _COEFFICIENTS
    if places == 0:
        return 0.0, 1
    added = cubic @ np.linalg.lstsq(cubic, means, rcond=None)[0] - fitted
    return float(np.sum(added**2)) / places, places


def _terms(rates: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "m 6"]:
    """The terms of a quadratic function of log(1 + R), which is centered and of unit spread."""
    logs = np.log1p(rates)
    spread = logs.std(axis=0)
    x, y = ((logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).T
    return np.stack([np.ones_like(x), x, y, x**2, x * y, y**2], axis=1)
