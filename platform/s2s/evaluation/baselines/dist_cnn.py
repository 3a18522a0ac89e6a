"""A DIST-style network: learns to densify by taking the sampled lattice apart once more, then is applied one scale down.

Our implementation: one channel, genes are samples. The lattice of observed bins is sampled with its own stride again
("sparser"), the network learns to give back the lattice, and is then applied from the lattice to the grid. Decision: the
network corrects Gaussian averages of what is given instead of starting from copies, so that an untrained one is already a
smoother; the price is that structure is assumed to look alike at both scales.

Source: Zhao et al. 2023 (DIST), whose idea this is; written for this project with torch (BSD-3-Clause), no code of others.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from s2s.evaluation.baselines.hexagonal import on_axial
from s2s.evaluation.baselines.interpolation import sampled_lattice
from s2s.evaluation.baselines.smoothing import smooth
from s2s.evaluation.baselines.training import Field, Schedule, Standardised, fit, standardise, zeroed
from s2s.lattice.measured import Measured
from s2s.lattice.sampling import sampled_positions

BANDWIDTHS = (2.0, 1.0, 4.0)
"""Of the averages that the network sees, in positions of its grid; it corrects the first."""
POWER = 1.0
"""All genes are equally spread: one network serves them all."""
GENE_BLOCK = 32
"""Genes estimated at once."""
SCHEDULE = Schedule(max_steps=320, check_every=40, patience=2, learning_rate=2e-3)


@dataclass(frozen=True, slots=True)
class DistCNN:
    """A small convolutional network trained from sparser to sparse and applied from sparse to dense.

    Attributes:
        name: Row of the table.
        width: Channels of the hidden layers.
        layers: Of 3 x 3 convolutions.
        genes: Of one step.
        schedule: Of the training.
        seed: Of weights, order and hidden bins.
    """

    name: str = "dist_cnn"
    width: int = 24
    layers: int = 4
    genes: int = 16
    schedule: Schedule = SCHEDULE
    seed: int = 0

    @on_axial
    def impute(self, measured: Measured) -> Field:
        """Train, then fill the grid from the lattice; log1p units, clipped at 0.

        Raises:
            ShapeError: an observed bin lies off the section's lattice.
        """
        standard = standardise(measured, power=POWER)
        _, network = fit(partial(_Task, self), measured, standard, self.schedule, self.seed)
        return standard.restore(_densify(network, standard.deviations, measured.observed))


class _Corrector(nn.Module):
    def __init__(self, settings: DistCNN) -> None:
        super().__init__()
        sizes = [len(BANDWIDTHS) + 2, *[settings.width] * (settings.layers - 1)]
        hidden = [part for a, b in pairwise(sizes) for part in (nn.Conv2d(a, b, 3, padding=1), nn.GELU())]
        self.hidden = nn.Sequential(*hidden)
        self.last = zeroed(nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, inputs: Float[Tensor, "gene channel y x"]) -> Float[Tensor, "gene 1 y x"]:
        corrected: Tensor = inputs[:, :1] + self.last(self.hidden(inputs))
        return corrected


class _Task:
    """Sparser to sparse on the lattice of one section, every phase of the sparser lattice."""

    def __init__(self, settings: DistCNN, measured: Measured, standard: Standardised) -> None:
        self.network = _Corrector(settings)
        self.lattice = sampled_lattice(measured)[0]
        self.genes = settings.genes
        self.observed = measured.observed[self.lattice]
        self.values = np.ascontiguousarray(standard.deviations[(slice(None), *self.lattice)])
        phases = np.ndindex(measured.stride, measured.stride)
        sparser = [self.observed & sampled_positions(self.observed.shape, measured.stride, phase) for phase in phases]
        # A phase without a single bin, or with all of them, teaches nothing.
        self.sparser = [mask for mask in sparser if mask.any() and (self.observed & ~mask).any()]
        self.inputs = [_inputs(self.values, mask) for mask in self.sparser]

    def loss(self) -> Tensor:
        if not self.sparser:
            return torch.zeros((), requires_grad=True)
        phase = int(torch.randint(len(self.sparser), ()))
        genes = torch.randint(len(self.values), (self.genes,)).numpy()
        wanted = np.broadcast_to(self.observed & ~self.sparser[phase], (self.genes, 1, *self.observed.shape))
        planes = np.concatenate([self.inputs[phase][genes], self.values[genes, None], wanted], axis=1, dtype=np.float32)
        turned = _turned(torch.from_numpy(planes))
        inputs, target, weight = turned[:, :-2], turned[:, -2:-1], turned[:, -1:]
        error: Tensor = (weight * (self.network(inputs) - target).square()).sum() / weight.sum()
        return error

    def error(self, network: nn.Module, truth: Field, hidden: Bool[np.ndarray, "y x"]) -> float:
        places = hidden[self.lattice]
        wanted = truth[(slice(None), *self.lattice)][:, places]
        errors = [np.square(_correct(network, inputs)[:, places] - wanted).mean() for inputs in self.inputs]
        return float(np.mean(errors)) if errors else 0.0


def _inputs(values: Field, given: Bool[np.ndarray, "y x"]) -> Float32[np.ndarray, "gene channel y x"]:
    """Gaussian averages of what is given, what is given itself (0 elsewhere), and where that is."""
    averages = [smooth(values, given, bandwidth) for bandwidth in BANDWIDTHS]
    mask = np.broadcast_to(given.astype(np.float32), values.shape)
    return np.stack([*averages, np.where(given, values, np.float32(0)), mask], axis=1)


def _correct(network: nn.Module, inputs: Float32[np.ndarray, "gene channel y x"]) -> Field:
    blocks = torch.split(torch.from_numpy(inputs), GENE_BLOCK)
    corrected: np.ndarray = torch.cat([network(block)[:, 0] for block in blocks]).numpy()
    return corrected


def _densify(network: nn.Module, deviations: Field, observed: Bool[np.ndarray, "y x"]) -> Field:
    starts = range(0, len(deviations), GENE_BLOCK)
    with torch.inference_mode():
        return np.concatenate([_correct(network, _inputs(deviations[start : start + GENE_BLOCK], observed)) for start in starts])


def _turned(planes: Float[Tensor, "gene channel y x"]) -> Float[Tensor, "gene channel a b"]:
    """Turn and flip all planes by one of the eight symmetries of a square lattice."""
    symmetry = int(torch.randint(8, ()))
    turned = torch.rot90(planes, symmetry % 4, (2, 3))
    return turned.flip(3) if symmetry >= 4 else turned
