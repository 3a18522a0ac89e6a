"""Krige a whole section: every gene as what it shares with the others and what it has by itself.

Factors carry most of what is known about a gene, because they average the noise of many; the rest is in the gene's own field. How
much of either to take is told by samples that are hidden in turn. Decision: two shares for all genes of a section, not two per gene,
which a few hundred bins cannot tell apart; the price is a gene that its factors miss.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from scipy.optimize import nnls

from s2s.contracts.run import KrigingConfig
from s2s.kriging.factors import FLAT, weighted_factors
from s2s.kriging.fields import Kriging
from s2s.kriging.noise import noise_exponent, relative_noise
from s2s.kriging.regions import regions
from s2s.kriging.threads import side_by_side
from s2s.lattice.geometry import positions
from s2s.lattice.measured import Measured, without
from s2s.lattice.sampling import random_folds

Field = Float32[np.ndarray, "gene y x"]
Mask = Bool[np.ndarray, "y x"]
Values = Float64[np.ndarray, "bin gene"]
Points = Float64[np.ndarray, "bin 2"]
Indices = Int[np.ndarray, " index"]

NUM_FOLDS, SEED = 5, 0
"""Of `usual_folds`."""
USUAL_SHARES = (0.8, 0.2)
"""Where nothing can be hidden."""
REGION_BINS = 400
"""Observed bins of a region, where a section is cut: its cost grows with their cube, and a region's own bins are the middle quarter.
Breast Xenium at 12.5 um: PCC .4718, .4728, .4732 with 1,000, 400, 256 of them, in 18, 4.8, 3.2 s; at 25 um, where one piece is usual
and has .3379, they have .3384, .3373, .3373."""
PRIOR_BINS = 20
"""Hidden samples that must speak before they are heard as much as the usual shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kriged:
    """A section kriged from all its samples, and once without each fold of them.

    Attributes:
        fill: log1p units, never negative: the measured value at observed bins, their mean off tissue.
        without: The same without each fold, in their order: factors, noise and covariances found anew.
        shares: Weights of the genes' factors and of their own fields; they need not add up to 1.
    """

    fill: Field
    without: tuple[Field, ...]
    shares: tuple[float, float]


def krige_section(measured: Measured, config: KrigingConfig) -> Field:
    """Estimate every position on tissue from the measured ones; see `Kriged.fill`.

    Args:
        measured: What is known; any lattice.
        config: Rank, share and noise.
    """
    folds = usual_folds(measured) if config.own_share is None else ()
    return krige_in_turn(measured, folds, config).fill


def usual_folds(measured: Measured) -> tuple[Mask, ...]:
    """Parts of the observed bins to hide in turn, the same each time: whoever imputes a section without training on it takes these."""
    return random_folds(measured.observed, NUM_FOLDS, np.random.default_rng(SEED))


def krige_in_turn(
    measured: Measured, hidden: Sequence[Mask], config: KrigingConfig, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Kriged:
    """Krige a section without each part of its samples in turn, then with all of them.

    Args:
        measured: What is known; any lattice.
        hidden: Parts of its observed bins.
        config: Rank, share and noise.
        on_progress: Told sections kriged and sections in all.
    """
    sections = [*(without(measured, part) for part in hidden), measured]
    parts = []
    for done, section in enumerate(sections):
        on_progress(done, len(sections))
        parts.append(_krige_parts(section, config))
    on_progress(len(sections), len(sections))
    shares = (1 - config.own_share, config.own_share) if config.own_share is not None else _shares(measured, hidden, parts[:-1])
    *others, fill = (part.joined(shares, section) for part, section in zip(parts, sections, strict=True))
    return Kriged(fill=fill, without=tuple(others), shares=shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Two estimates of how far genes are from their mean on tissue, `(bin, gene)` in log1p units: from factors, and alone."""

    mean: Float64[np.ndarray, " gene"]
    shared: Float32[np.ndarray, "bin gene"]
    own: Float32[np.ndarray, "bin gene"]

    def joined(self, shares: tuple[float, float], measured: Measured) -> Field:
        return on_grid(self.mean + shares[0] * self.shared + shares[1] * self.own, self.mean, measured)


def _krige_parts(measured: Measured, config: KrigingConfig) -> _Parts:
    values, points, targets = observed_values(measured), *points_of(measured)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    exponent = noise_exponent(values, points) if config.noise_exponent is None else config.noise_exponent
    noise = relative_noise(values, exponent)
    factors, loadings = weighted_factors(values - mean, noise, config.rank)
    standard = (values - mean) / np.where(spread > FLAT, spread, np.inf)
    fields = factors if config.own_share == 0 else np.concatenate([factors, standard], axis=1)  # at once: they share their covariances
    shared, own = (np.zeros((len(targets), len(mean)), np.float32) for _ in range(2))

    def krige(region: tuple[Indices, Indices]) -> None:
        bins, part = region
        estimate = Kriging(points[bins], noise[bins]).estimate(fields[bins], targets[part])
        shared[part] = estimate[:, : len(loadings)] @ loadings
        if config.own_share != 0:
            own[part] = estimate[:, len(loadings) :] * np.where(spread > FLAT, spread, 0)

    side_by_side(krige, list(_regions(measured, points, targets, config.max_bins)))
    return _Parts(mean=mean, shared=shared, own=own)


def _regions(measured: Measured, points: Points, targets: Points, max_bins: int) -> Iterator[tuple[Indices, Indices]]:
    """Observed bins and targets that share a covariance: those of one piece, or of a region of it where it is large."""
    for near, wanted in _pieces(measured):
        for bins, part in regions(points[near], targets[wanted], max_bins if len(near) <= max_bins else min(max_bins, REGION_BINS)):
            yield near[bins], wanted[part]


def _pieces(measured: Measured) -> Iterator[tuple[Indices, Indices]]:
    """Observed bins and targets of each piece with something measured."""
    for rows, columns in measured.pieces or ((slice(None), slice(None)),):
        inside = np.zeros_like(measured.tissue)
        inside[rows, columns] = True
        near, wanted = (np.flatnonzero(inside[mask]) for mask in (measured.observed, _wanted(measured)))
        if near.size:
            yield near, wanted


def _shares(measured: Measured, hidden: Sequence[Mask], parts: Sequence[_Parts]) -> tuple[float, float]:
    """Weights with the smallest squared error at hidden samples, every gene divided by its spread; never negative."""
    spread = observed_values(measured).std(axis=0)
    weight = np.divide(1, spread, out=np.zeros_like(spread), where=spread > FLAT)
    normal, towards, num_bins = np.zeros((2, 2)), np.zeros(2), 0
    for truth, shared, own in _hidden_samples(measured, hidden, parts):
        estimates = [(shared * weight).ravel(), (own * weight).ravel()]
        normal += [[one @ other for other in estimates] for one in estimates]
        towards += [one @ (truth * weight).ravel() for one in estimates]
        num_bins += len(truth)
    if not normal.any():
        return USUAL_SHARES
    prior = PRIOR_BINS / num_bins * np.trace(normal) / 2
    first, second = nnls(normal + prior * np.eye(2), towards + prior * np.asarray(USUAL_SHARES))[0]
    return float(first), float(second)


def _hidden_samples(measured: Measured, hidden: Sequence[Mask], parts: Sequence[_Parts]) -> Iterator[tuple[Values, Values, Values]]:
    """Of each fold, what its samples are above the mean of the others, and both estimates of that."""
    wanted = _wanted(measured)
    for fold, part in zip(hidden, parts, strict=True):
        truth = measured.expression[:, fold].T.astype(np.float64) - part.mean
        places = fold[wanted]
        yield truth, part.shared[places].astype(np.float64), part.own[places].astype(np.float64)


def points_of(measured: Measured) -> tuple[Points, Points]:
    """Points of the observed bins, and of all bins on tissue, both in the order of the grid."""
    places = positions(measured.observed.shape, measured.lattice)
    return places[measured.observed], places[_wanted(measured)]


def observed_values(measured: Measured) -> Values:
    """Bins x genes, log1p units: the observed bins in the order of the grid."""
    values: np.ndarray = measured.expression[:, measured.observed].T.astype(np.float64)
    return values


def place_on_grid(estimate: Float64[np.ndarray, "target gene"], elsewhere: Float64[np.ndarray, " gene"], measured: Measured) -> Field:
    """Put estimates at their positions on the grid, and one value per gene at all others."""
    grid = np.empty(measured.expression.shape, np.float32)
    grid[:] = elsewhere[:, None, None]
    grid[:, _wanted(measured)] = estimate.T
    return grid


def on_grid(means: Float64[np.ndarray, "target gene"], elsewhere: Float64[np.ndarray, " gene"], measured: Measured) -> Field:
    """Clip at 0, and put the measured values back where there are any."""
    filled: np.ndarray = np.where(measured.observed, measured.expression, place_on_grid(np.maximum(means, 0), elsewhere, measured))
    return filled


def _wanted(measured: Measured) -> Bool[np.ndarray, "y x"]:
    wanted: np.ndarray = measured.tissue | measured.observed
    return wanted
