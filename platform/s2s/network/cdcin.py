"""CDCIN, the cascaded data-consistent imputation network: stages that each correct the last one's picture.

It maps `(batch, 1, y, x)` to `(stage, batch, 1, y, x)` for any size; every window is one gene or one photograph, and none sees
another of its batch. Decision: the raw stages go to the loss and only `predict` applies the last consistency, so that what
the loss says of measured positions is not hidden; the price is that whoever skips `predict` gets a result that does not
honour the samples. Nothing of training, tiling or units is known here.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from s2s.contracts.run import NetworkConfig
from s2s.network.attention import WindowAttention
from s2s.network.blocks import ResidualDenseBlock
from s2s.network.consistency import enforce_consistency, require_same_lattice
from s2s.network.fill import fill

LINEAR_STD = 0.02
"""Spread of fresh attention weights, as in Swin and HAT."""
LAST_STD = 1e-3
"""Spread of each stage's fresh last convolution: a new network is close to the identity, yet every weight has a gradient."""


class Stage(nn.Module):
    """One residual `R_k`: a residual dense network with attention that sees the picture and, if asked for, the masks.

    Attributes:
        layout: Memory format of its features; `torch.func.vmap` knows the contiguous one alone.

    Source:
        Zhang et al. 2018 (RDN); sizes of `method.md` section 3.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Lay out the weights.

        Args:
            config: Size and parts.
        """
        super().__init__()
        features = config.features
        self.layout = torch.channels_last
        self.first = nn.Conv2d(3 if config.has_mask_inputs else 1, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualDenseBlock(config) for _ in range(config.blocks))
        self.fuse = nn.Sequential(nn.Conv2d(config.blocks * features, features, 1), nn.Conv2d(features, features, 3, padding=1))
        self.last = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, inputs: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch 1 y x"]:
        """Return the correction to the picture.

        Args:
            inputs: The picture in network units; with mask inputs also `observed` and `tissue` as 0 and 1.
        """
        shallow = self.first(inputs).contiguous(memory_format=self.layout)
        x = self.second(shallow)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        deep: Tensor = self.last(self.fuse(torch.cat(outputs, 1)) + shallow)
        return deep


class CDCIN(nn.Module):
    """The cascade: `x = R_k(x) + x` for every stage, measured values put back in between.

    Attributes:
        config: Size and parts.
        recompute: In training keep each stage's input alone and compute the rest of it again going back: the memory of one stage in the
            place of all, for a second forward pass.

    Source:
        Fang et al. 2025 (S2S-ST, arXiv 2507.16886), read from the text; see `method.md` section 3.
    """

    def __init__(self, config: NetworkConfig, generator: torch.Generator | None = None) -> None:
        """Build and initialise the network.

        Args:
            config: Size and parts.
            generator: Source of the initial weights, on the CPU; torch's global one when absent.
        """
        super().__init__()
        self.config = config
        self.recompute = False
        # Torch's layers draw weights as they are made; ours replace them, so that draw must not move the global generator.
        with torch.random.fork_rng(devices=[]):
            self.stages = nn.ModuleList(Stage(config) for _ in range(config.cascades))
        initialise(self, generator)

    def forward(
        self,
        sparse: Float[Tensor, "batch 1 y x"],
        observed: Bool[Tensor, "batch 1 y x"],
        tissue: Bool[Tensor, "batch 1 y x"],
        start: Float[Tensor, "batch 1 y x"] | None = None,
    ) -> Float[Tensor, "stage batch 1 y x"]:
        """Run the cascade and return every stage's picture, raw, in network units.

        Args:
            sparse: Network units at observed positions; ignored elsewhere.
            observed: Positions whose value is given; a stride-2 lattice anchored at (0, 0), possibly with holes.
            tissue: Positions on tissue; read only by networks with mask inputs.
            start: Picture to start from; `begin` makes one where there is none.

        Raises:
            ShapeError: the lattices differ.
        """
        require_same_lattice(sparse=sparse, observed=observed, tissue=tissue)
        x = self.begin(sparse, observed, start)
        masks = [observed.to(x.dtype), tissue.to(x.dtype)] if self.config.has_mask_inputs else []
        pictures: list[Tensor] = []
        for stage in self.stages:
            if pictures and self.config.has_consistency:
                x = enforce_consistency(x, sparse, observed)
            x = self._correction(stage, torch.cat([x, *masks], 1)) + x
            pictures.append(x)
        return torch.stack(pictures)

    def _correction(self, stage: nn.Module, inputs: Tensor) -> Tensor:
        is_recomputed = self.recompute and torch.is_grad_enabled()
        found: Tensor = checkpoint(stage, inputs, use_reentrant=False) if is_recomputed else stage(inputs)
        return found

    def begin(
        self, sparse: Float[Tensor, "batch 1 y x"], observed: Bool[Tensor, "batch 1 y x"], start: Float[Tensor, "batch 1 y x"] | None
    ) -> Float[Tensor, "batch 1 y x"]:
        """Give the picture that the cascade starts from, measured values in place.

        Args:
            sparse: Network units at observed positions.
            observed: Measured positions.
            start: Made outside, as kriging is; without it the window is filled here, smoothly in the place of kriging.
        """
        if start is None:
            return fill(sparse, observed, "copy" if self.config.fill == "copy" else "smooth")
        return enforce_consistency(start, sparse, observed)


def predict(
    network: CDCIN,
    sparse: Float[Tensor, "batch 1 y x"],
    observed: Bool[Tensor, "batch 1 y x"],
    tissue: Bool[Tensor, "batch 1 y x"],
    start: Float[Tensor, "batch 1 y x"] | None = None,
) -> Float[Tensor, "batch 1 y x"]:
    """Impute windows: last stage, measured values put back, 0 off tissue; no gradient.

    Args:
        network: A trained network.
        sparse: Network units at observed positions; ignored elsewhere.
        observed: Positions whose value is given; on tissue.
        tissue: Positions on tissue.
        start: Picture to start from, as of `CDCIN.forward`.

    Returns:
        Network units, equal to `sparse` at observed positions, bit for bit.

    Raises:
        ShapeError: the lattices differ.
    """
    with torch.no_grad():
        picture = enforce_consistency(network(sparse, observed, tissue, start)[-1], sparse, observed)
        return torch.where(tissue, picture, torch.zeros_like(picture))


def initialise(network: nn.Module, generator: torch.Generator | None) -> None:
    """Draw fresh weights in the order of the modules; the same generator state gives the same bits.

    Convolutions as torch does, linear layers and bias tables truncated normal, norms the identity, each stage's last
    convolution small.

    Args:
        network: Changed in place.
        generator: torch's global one when None.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(_bias_of(module), -bound, bound, generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=LINEAR_STD, generator=generator)
            nn.init.zeros_(_bias_of(module))
        elif isinstance(module, WindowAttention):
            nn.init.trunc_normal_(module.bias_table, std=LINEAR_STD, generator=generator)
    for module in network.modules():
        if isinstance(module, Stage):
            nn.init.trunc_normal_(module.last.weight, std=LAST_STD, generator=generator)
            nn.init.zeros_(_bias_of(module.last))


def _bias_of(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None, "every layer of CDCIN has a bias"
    return layer.bias
