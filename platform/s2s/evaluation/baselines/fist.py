"""FIST: tensor completion with a graph along every axis, by the authors' own package `fistnd` 0.1.0 (MIT).

What is passed: `algorithm.FIST` gets the whole grid `(gene, y, x)`, log1p units, zeros as the graph of genes, rank and lambda.
The package takes every entry that is not above 0 as missing: unobserved bins are passed as 0 and an observed 0 as
`MEASURED_ZERO`, because as a missing value it would be filled like an unobserved bin (breast Xenium, 25 um: RMSE 0.82 instead
of 0.52). A graph of genes is left out: the package reads protein interactions from a file and asks a server for gene names,
and a graph of correlated genes did worse on hidden observed bins. Of the package's command line nothing is used: it drops rows
and columns without a measurement, so that nothing would be imputed there.

Decision: rank and lambda are chosen on hidden observed bins, measured values are put back, a constant gene is its mean. The price
of the package as it is: cost grows with the whole grid times rank, and it draws from numpy's global generator, which is put back.

Source: Li, Song, Yong and Kuang 2021 (FIST, PLoS Computational Biology); FIST-nD, https://github.com/kuanglab/FIST-nD.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorly
from fistnd.algorithm import FIST
from jaxtyping import Float32, Float64

from s2s.evaluation.baselines.hexagonal import on_axial
from s2s.lattice.measured import Measured, without
from s2s.lattice.sampling import choose_positions

MEASURED_ZERO = 1e-6
"""Stands for an observed 0: above 0, so that the package counts it as measured."""
HIDDEN = 0.1
"""Share of observed bins that choose rank and lambda."""
STOP = 1e-4
"""Relative change of the factors at which the package stops. Source: its command line."""

Field = Float32[np.ndarray, "gene y x"]


@dataclass(frozen=True, slots=True)
class Fist:
    """Graph-regularised tensor completion of the section by `fistnd`.

    Attributes:
        name: Row of the table.
        settings: `(rank, lambda)` that hidden observed bins choose from.
        num_trial_iterations: Of each trial, at least 2.
        num_iterations: Of the chosen one, at least 2.
        seed: Of the factors' start and of the hidden bins.
    """

    name: str = "fist"
    settings: tuple[tuple[int, float], ...] = ((10, 0.1), (20, 0.1), (20, 0.03), (40, 0.1))
    num_trial_iterations: int = 100
    num_iterations: int = 300
    seed: int = 0

    @on_axial
    def impute(self, measured: Measured) -> Field:
        """Complete the tensor, log1p units; the measured value at observed bins."""
        values = measured.expression[:, measured.observed]
        varies = np.ptp(values, axis=1) > 0
        imputed = np.empty(measured.expression.shape, np.float32)
        imputed[:] = values.mean(axis=1)[:, None, None]
        if varies.any():
            imputed[varies] = self._complete(measured, varies, self.choose_settings(measured), self.num_iterations)
        return np.where(measured.observed, measured.expression, imputed)

    def choose_settings(self, measured: Measured) -> tuple[int, float]:
        """Find rank and lambda with the smallest squared error on hidden observed bins.

        Returns:
            One of `settings`; the first where a single observed bin leaves nothing to hide.
        """
        hidden = choose_positions(measured.observed, HIDDEN, np.random.default_rng(self.seed))
        seen = without(measured, hidden)
        varies = np.ptp(seen.expression[:, seen.observed], axis=1) > 0
        if len(self.settings) == 1 or not hidden.any() or not varies.any():
            return self.settings[0]
        truth = measured.expression[varies][:, hidden]
        errors = []
        for setting in self.settings:
            estimate = self._complete(seen, varies, setting, self.num_trial_iterations)[:, hidden]
            errors.append(np.square(estimate - truth).sum())
        return self.settings[int(np.argmin(errors))]

    def _complete(
        self, measured: Measured, genes: np.ndarray, setting: tuple[int, float], num_iterations: int
    ) -> Float64[np.ndarray, "gene y x"]:
        rank, penalty = setting
        known = np.maximum(measured.expression[genes], MEASURED_ZERO)
        tensor = np.where(measured.observed, known, 0.0).astype(np.float64)
        no_graph = np.zeros((len(tensor), len(tensor)))
        with _numpy_stream(self.seed), tensorly.backend_context("numpy"):
            completed: np.ndarray = FIST(tensor, no_graph, l=penalty, rank_k=rank, stop_crit=STOP, max_iters=num_iterations, metadata={})
        return completed


@contextmanager
def _numpy_stream(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, the only one the package draws from, and put its state back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
