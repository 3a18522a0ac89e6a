"""Deep image prior: a convolutional hourglass that turns fixed noise into the section, stopped before it learns the noise.

Our implementation: all genes are channels of one picture, the loss looks at observed bins only. Decision: a small hourglass with
bilinear upsampling and one skip per level, because the observed bins are few; the price is that very fine structure is lost.

Source: Ulyanov, Vedaldi and Lempitsky 2018; written for this project with torch (BSD-3-Clause), no code of others.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from s2s.evaluation.baselines.hexagonal import on_axial
from s2s.evaluation.baselines.training import Field, Schedule, Standardised, fit_and_fill, zeroed
from s2s.lattice.measured import Measured

INPUT_CHANNELS = 16
SKIP_CHANNELS = 4
"""Carried past the deeper levels; few, or the noise of the input shows. Source: Ulyanov et al. 2018."""
CHANNELS_PER_GROUP = 16
"""Normalised together."""
JITTER = 0.05
"""Noise added to the fixed input in every step, as a share of its deviation. Source: Ulyanov et al. 2018."""
POWER = 0.0
"""Genes keep the spread they have: equal spreads would let the noise of rare genes lead."""
SCHEDULE = Schedule(max_steps=300, check_every=10, patience=4)


@dataclass(frozen=True, slots=True)
class DeepImagePrior:
    """An hourglass from fixed noise to all genes, fitted to the observed bins of one section.

    Attributes:
        name: Row of the table.
        width: Channels of every level.
        levels: Halvings of the grid; fewer where a side is short.
        schedule: Of the training.
        seed: Of noise, weights and hidden bins.
    """

    name: str = "deep_image_prior"
    width: int = 64
    levels: int = 4
    schedule: Schedule = SCHEDULE
    seed: int = 0

    @on_axial
    def impute(self, measured: Measured) -> Field:
        """Train, then read the picture; log1p units, clipped at 0."""
        return fit_and_fill(partial(_Task, self), measured, power=POWER, schedule=self.schedule, seed=self.seed)


class _Hourglass(nn.Module):
    def __init__(self, settings: DeepImagePrior, num_genes: int) -> None:
        super().__init__()
        width = settings.width
        self.down = nn.ModuleList(_layer(INPUT_CHANNELS if level == 0 else width, width) for level in range(settings.levels + 1))
        self.skips = nn.ModuleList(_layer(width, SKIP_CHANNELS, kernel=1) for _ in range(settings.levels))
        self.up = nn.ModuleList(_layer(width + SKIP_CHANNELS, width) for _ in range(settings.levels))
        self.last = zeroed(nn.Linear(width, num_genes))

    def forward(self, noise: Float[Tensor, "1 channel y x"], places: Bool[Tensor, "y x"]) -> Float[Tensor, "bin gene"]:
        """Estimate all genes at some bins: with hundreds of genes the last layer is the dearest, and the loss needs a quarter of it."""
        x, skipped = self.down[0](noise), []
        for layer, skip in zip(self.down[1:], self.skips, strict=True):
            skipped.append(skip(x))
            x = layer(functional.avg_pool2d(x, 2, ceil_mode=True))
        for layer, finer in zip(self.up, reversed(skipped), strict=True):
            x = functional.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            x = layer(torch.cat([x, finer], 1))
        estimate: Tensor = self.last(x[0, :, places].T)
        return estimate


class _Task:
    def __init__(self, settings: DeepImagePrior, measured: Measured, standard: Standardised) -> None:
        self.noise = torch.rand(1, INPUT_CHANNELS, *measured.observed.shape)
        self.network = _Hourglass(settings, len(standard.mean))
        self.places = torch.from_numpy(measured.observed)
        self.values = torch.from_numpy(np.ascontiguousarray(standard.deviations[:, measured.observed].T))

    def loss(self) -> Tensor:
        jittered = self.noise + JITTER * torch.randn_like(self.noise)
        error: Tensor = (self.network(jittered, self.places) - self.values).square().mean()
        return error

    def error(self, network: nn.Module, truth: Field, hidden: Bool[np.ndarray, "y x"]) -> float:
        estimate = network(self.noise, torch.from_numpy(hidden)).numpy()
        return float(np.square(estimate.T - truth[:, hidden]).mean())

    def estimate(self, network: nn.Module) -> Field:
        everywhere = torch.ones_like(self.places)
        with torch.inference_mode():
            flat: np.ndarray = network(self.noise, everywhere).numpy().T
        return np.ascontiguousarray(flat).reshape(-1, *self.places.shape)


def _layer(channels: int, width: int, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2, padding_mode="replicate")
    return nn.Sequential(convolution, nn.GroupNorm(max(1, width // CHANNELS_PER_GROUP), width), nn.LeakyReLU(0.2))
