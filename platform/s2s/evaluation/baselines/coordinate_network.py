"""A coordinate network: from where a bin lies to the expression of all its genes at once.

Our implementation of the family of SUICA and STAGE: Fourier features of the position, a small perceptron, squared error at
observed bins. Decision: genes share everything but the last layer, so that the many steady the few; the price is that what
one gene has alone comes late, after early stopping.

Source: Tancik et al. 2020 (Fourier features); written for this project with torch (BSD-3-Clause), no code of others.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from s2s.evaluation.baselines.hexagonal import on_axial
from s2s.evaluation.baselines.training import Field, Schedule, Standardised, fit_and_fill, zeroed
from s2s.lattice.measured import Measured

POWER = 0.0
"""Genes keep the spread they have: equal spreads would let the noise of rare genes lead."""
SCHEDULE = Schedule(max_steps=400, check_every=20)


@dataclass(frozen=True, slots=True)
class CoordinateNetwork:
    """Fourier features and a perceptron, trained on the observed bins of one section.

    Attributes:
        name: Row of the table.
        num_features: Random frequencies; each gives a sine and a cosine.
        wavelengths: Shortest and longest typical wavelength of the features, in bins; between them they are even in their logarithm.
        width: Units of the two hidden layers.
        dropout: Share of hidden units left out in a step.
        schedule: Of the training.
        seed: Of frequencies, weights and hidden bins.
    """

    name: str = "coordinate_network"
    num_features: int = 256
    wavelengths: tuple[float, float] = (15.0, 120.0)
    width: int = 256
    dropout: float = 0.3
    schedule: Schedule = SCHEDULE
    seed: int = 0

    @on_axial
    def impute(self, measured: Measured) -> Field:
        """Train, then evaluate the network at every position; log1p units, clipped at 0."""
        return fit_and_fill(partial(_Task, self), measured, power=POWER, schedule=self.schedule, seed=self.seed)


class _Perceptron(nn.Module):
    def __init__(self, settings: CoordinateNetwork, num_genes: int) -> None:
        super().__init__()
        shortest, longest = settings.wavelengths
        wavelengths = shortest * (longest / shortest) ** torch.rand(settings.num_features)
        frequencies = torch.randn(2, settings.num_features) * 2 * math.pi / wavelengths
        self.register_buffer("frequencies", frequencies)
        self.frequencies: Tensor
        width = settings.width
        self.layers = nn.Sequential(
            nn.Linear(2 * settings.num_features, width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
        )
        self.last = zeroed(nn.Linear(width, num_genes))

    def forward(self, places: Float[Tensor, "bin 2"]) -> Float[Tensor, "bin gene"]:
        phase = places @ self.frequencies
        estimate: Tensor = self.last(self.layers(torch.cat([phase.sin(), phase.cos()], 1)))
        return estimate


class _Task:
    def __init__(self, settings: CoordinateNetwork, measured: Measured, standard: Standardised) -> None:
        self.network = _Perceptron(settings, len(standard.mean))
        self.places = torch.from_numpy(np.argwhere(measured.observed).astype(np.float32))
        self.values = torch.from_numpy(np.ascontiguousarray(standard.deviations[:, measured.observed].T))
        self.shape = measured.observed.shape

    def loss(self) -> Tensor:
        error: Tensor = (self.network(self.places) - self.values).square().mean()
        return error

    def error(self, network: nn.Module, truth: Field, hidden: Bool[np.ndarray, "y x"]) -> float:
        estimate = network(torch.from_numpy(np.argwhere(hidden).astype(np.float32))).numpy()
        return float(np.square(estimate.T - truth[:, hidden]).mean())

    def estimate(self, network: nn.Module) -> Field:
        places = torch.from_numpy(np.indices(self.shape, np.float32).reshape(2, -1).T.copy())
        with torch.inference_mode():
            flat: np.ndarray = network(places).numpy().T
        return np.ascontiguousarray(flat).reshape(-1, *self.shape)
