"""A section that is to be kept, before it is: its parts, what they must be, and the hash of its values.

The hash is taken over values, not over stored bytes, so that it survives another chunking, compression or dtype.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Num

from s2s.contracts.section import SectionMeta
from s2s.errors import InputError, ShapeError

UNSIGNED = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """What is known about the bins of a section.

    Attributes:
        tissue: There is tissue.
        observed: Was measured; a part of `tissue`.
        valid: Not a gap between fields of view, a fold or an artefact.
    """

    tissue: Bool[np.ndarray, "y x"]
    observed: Bool[np.ndarray, "y x"]
    valid: Bool[np.ndarray, "y x"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSection:
    """A section that is to be written.

    Attributes:
        meta: Its contract; `data_sha256` and `created_at` are filled in.
        genes: Unique names, in the order of the blocks.
        blocks: Consecutive genes, any number per block. Counts: integers; the first block's dtype is stored where it
            is unsigned, else uint32. With `meta.values` "log1p": real numbers, stored as float32.
        masks: Of the shape in `meta`.
    """

    meta: SectionMeta
    genes: Sequence[str]
    blocks: Iterable[Num[np.ndarray, "block y x"]]
    masks: Masks


class CheckedValues:
    """The values of a new section, block by block, each checked and hashed as it passes.

    Attributes:
        dtype: Of the numbers as they are kept: that of the first block where it is unsigned, else uint32; float32 for log1p values.
    """

    def __init__(self, new: NewSection) -> None:
        """Look at the first block.

        Raises:
            ShapeError: there is none.
        """
        self._meta, stream = new.meta, iter(new.blocks)
        first = next(stream, None)
        if first is None:
            raise ShapeError(f"expected blocks with {new.meta.num_genes} genes for section {new.meta.id}, got none")
        self.dtype = _stored_dtype(new.meta, first)
        self._stream = chain([first], stream)
        self._digest = hashlib.sha256(json.dumps([new.meta.values, new.meta.shape, list(new.genes)]).encode())
        for name in Masks.__slots__:
            self._digest.update(getattr(new.masks, name).tobytes())

    def blocks(self) -> Iterator[Num[np.ndarray, "block y x"]]:
        """Hand the blocks on as they are kept.

        Raises:
            ShapeError: a block of another shape, or other genes than the contract says.
            InputError: a value that a section cannot hold.
        """
        # The hash sees four bytes per value whatever is kept, gene after gene: block sizes and dtypes leave no trace in it.
        meta, hashed, num_genes = self._meta, np.dtype("<f4" if self._meta.values == "log1p" else "<u4"), 0
        for block in self._stream:
            where = f"genes {num_genes} to {num_genes + len(block) - 1} of section {meta.id}"
            num_genes += len(block)
            if block.ndim != 3 or block.shape[1:] != meta.shape or num_genes > meta.num_genes:
                raise ShapeError(f"expected {meta.num_genes} genes of {meta.shape} bins, got {where} as a block of shape {block.shape}")
            _check_values(block, meta, self.dtype, where)
            kept = block.astype(self.dtype, copy=False)
            self._digest.update(np.ascontiguousarray(kept, hashed).data)
            yield kept
        if num_genes != meta.num_genes:
            raise ShapeError(f"expected blocks with {meta.num_genes} genes for section {meta.id}, got {num_genes}")

    def sha256(self) -> str:
        """Of names, masks and all values, once every block has passed."""
        return self._digest.hexdigest()


def check_section(uri: str, new: NewSection) -> None:
    """Refuse names and masks that a section cannot have.

    Raises:
        ShapeError: they do not fit the contract.
        InputError: a name twice, or a bin that was observed off tissue.
    """
    if len(new.genes) != new.meta.num_genes:
        raise ShapeError(f"expected {new.meta.num_genes} gene names for {uri}, as its contract says, got {len(new.genes)}")
    twice = [name for name, times in Counter(new.genes).items() if times > 1]
    if twice:
        raise InputError(f"expected unique gene names for {uri}, got {twice[0]!r} more than once")
    for name in Masks.__slots__:
        mask = getattr(new.masks, name)
        if mask.shape != new.meta.shape or mask.dtype != np.bool_:
            raise ShapeError(f"expected mask {name!r} of {uri} as bool of shape {new.meta.shape}, got {mask.dtype} of shape {mask.shape}")
    num_outside = int((new.masks.observed & ~new.masks.tissue).sum())
    if num_outside:
        raise InputError(f"expected observed bins to lie on tissue, got {num_outside} outside it for {uri}")


def _stored_dtype(meta: SectionMeta, first: np.ndarray) -> np.dtype[Any]:
    if meta.values == "log1p":
        return np.dtype(np.float32)
    return first.dtype if first.dtype in UNSIGNED else np.dtype(np.uint32)


def _check_values(block: np.ndarray, meta: SectionMeta, dtype: np.dtype[Any], where: str) -> None:
    if block.size == 0:
        return
    if meta.values == "log1p":
        if not np.isfinite(block).all():
            raise InputError(f"expected finite values, got NaN or infinity in {where}; leave out what was not measured through the masks")
        return
    if block.dtype.kind not in "ui":
        raise InputError(f'expected integer counts, got {block.dtype} in {where}; for normalised values set `values` to "log1p"')
    low, high = int(block.min()), int(block.max())
    limit = int(np.iinfo(dtype).max)
    if low < 0 or high > limit:
        raise InputError(f"expected counts from 0 to {limit} ({dtype}, from the first block), got {low} to {high} in {where}")
