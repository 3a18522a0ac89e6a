"""The workers that train one network together: which of them this is, what it gets of a batch, and how they agree.

Decision: every worker cuts the same batch and takes its part of it, so that a batch depends on seed and step alone whatever the
number of workers; the price is that each cuts the windows of the others as well.
"""

from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor

from s2s.network import Batch, TermBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One of `size` workers; with more than one, torch's process group is there, and every method is called by all of them.

    Attributes:
        rank: Of this worker, from 0.
        size: Workers in all.
    """

    rank: int = 0
    size: int = 1

    def agree(self, number: float) -> float:
        """Give what the first worker says: clocks and last digits differ, decisions must not."""
        if self.size == 1:
            return number
        return float(self.give(torch.tensor(number, dtype=torch.float64), 0))

    def tell(self, text: str) -> str:
        """Give what the first worker says."""
        if self.size == 1:
            return text
        data = torch.tensor(list(text.encode()), dtype=torch.uint8)
        said = torch.empty(int(self.agree(len(data))), dtype=torch.uint8)
        if self.rank == 0:
            said.copy_(data)
        return bytes(self.give(said, 0).tolist()).decode()

    def all(self, number: float) -> list[float]:
        """Collect a number of every worker."""
        if self.size == 1:
            return [number]
        said = torch.zeros(self.size, dtype=torch.float64)
        said[self.rank] = number
        return [float(value) for value in self.sum(said)]

    def any(self, is_so: bool) -> bool:
        """Say whether it is so for one of them."""
        return is_so if self.size == 1 else bool(self.sum(torch.tensor(float(is_so))))

    def sum(self, value: Tensor) -> Tensor:
        """Add up a tensor of all workers, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def give(self, tensor: Tensor, source: int) -> Tensor:
        """Fill a tensor, on every worker of the same shape, with that of one of them, in place."""
        if self.size > 1:
            dist.broadcast(tensor, src=source)
        return tensor

    def share(self, batch: Batch) -> dict[str, TermBatch]:
        """Take this worker's windows of a batch; the losses of all shares add up to that of the batch.

        All workers get as many, for they must go through the network equally often: where windows do not suffice, the last is given
        again, and not scored.
        """
        return {name: self._part(term) for name, term in batch.items()}

    def _part(self, term: TermBatch) -> TermBatch:
        if self.size == 1:
            return term
        num_windows = len(term.sparse)
        per_worker = -(-num_windows // self.size)
        ours = torch.arange(self.rank * per_worker, (self.rank + 1) * per_worker)
        part = term.part(ours.clamp(max=num_windows - 1))
        return replace(part, scored=part.scored & (ours < num_windows)[:, None, None, None])


ALONE = World()
