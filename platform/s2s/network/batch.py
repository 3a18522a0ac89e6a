"""The seam between streaming and training: what one optimiser step sees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float
from torch import Tensor

TERMS = ("sparser_to_sparse", "sparse_to_dense", "photo_sparser_to_sparse", "photo_sparse_to_dense")


@dataclass(frozen=True, slots=True, kw_only=True)
class TermBatch:
    """The windows of one loss term; every window is one gene (or one photograph) at one place.

    Attributes:
        sparse: Network units at observed positions, 0 elsewhere. The observed lattice is anchored at (0, 0), stride 2.
        observed: Positions whose value the network is given and must keep.
        tissue: Positions on tissue; all of them for photographs.
        target: Network units; meaningless where not `scored`.
        scored: Positions where the loss compares output and target.
        loss_scale: Network units times this are loss units: `expression_scale`, or 1 for photographs.
        start: Picture that the cascade starts from, network units; None where the network fills the window itself.
        whole: The scored positions of all windows, where these are a part of them: the losses of the parts add up to that of the whole.
    """

    sparse: Float[Tensor, "batch 1 y x"]
    observed: Bool[Tensor, "batch 1 y x"]
    tissue: Bool[Tensor, "batch 1 y x"]
    target: Float[Tensor, "batch 1 y x"]
    scored: Bool[Tensor, "batch 1 y x"]
    loss_scale: float
    start: Float[Tensor, "batch 1 y x"] | None = None
    whole: Bool[Tensor, "windows 1 y x"] | None = None

    def part(self, windows: slice | Tensor) -> "TermBatch":
        """Take some of the windows; of a slice views, no copies."""
        return replace(
            self,
            sparse=self.sparse[windows],
            observed=self.observed[windows],
            tissue=self.tissue[windows],
            target=self.target[windows],
            scored=self.scored[windows],
            start=None if self.start is None else self.start[windows],
            whole=self.scored if self.whole is None else self.whole,
        )


Batch = Mapping[str, TermBatch]
"""Loss term -> its windows; a term whose weight is 0 is absent."""
