"""A section in memory that is read as one on a store is: for what comes with a request and goes with it.

Decision: it is checked and hashed as if it were stored, so that whoever reads it cannot tell. Storing a small section takes longer than
everything else that is done to read it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

from s2s.contracts.section import SectionMeta
from s2s.storage.new_section import CheckedValues, Masks, NewSection, check_section
from s2s.storage.sections import Window, picked, span


class HeldSection:
    """A section in memory.

    Attributes:
        uri: What messages call it.
        meta: Its contract, with the hash of its values.
        genes: Names, in the order of the gene axis.
        chunks: Genes, rows and columns that are best read at once: all.
    """

    def __init__(self, name: str, new: NewSection) -> None:
        """Check a section and keep it.

        Args:
            name: What messages call it.
            new: Its parts.

        Raises:
            ShapeError: arrays, names and contract disagree.
            InputError: a value or a name that a section cannot hold.
        """
        check_section(name, new)
        checked = CheckedValues(new)
        self._values = np.concatenate(list(checked.blocks()))
        self._masks = new.masks
        self.uri = name
        self.genes = tuple(new.genes)
        self.meta: SectionMeta = new.meta.model_copy(update={"data_sha256": checked.sha256()})
        self.chunks = (len(self.genes), *new.meta.shape)

    def read(self, genes: slice | Sequence[int] | None = None, window: Window | None = None) -> Num[np.ndarray, "gene y x"]:
        """The values of some genes in a window, as `Section.read` gives them.

        Raises:
            ShapeError: genes or window reach outside the section.
        """
        rows, columns = span(window, self)
        found: np.ndarray = self._values[picked(genes, self)][:, rows, columns]
        return found

    def masks(self, window: Window | None = None) -> Masks:
        """The masks in a window.

        Raises:
            ShapeError: the window reaches outside the section.
        """
        spans = span(window, self)
        return Masks(**{name: getattr(self._masks, name)[spans] for name in Masks.__slots__})
