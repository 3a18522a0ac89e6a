"""The truth of an imputed section, where it is known: the section that it was made from, if all of it had been measured.

Decision: it is looked for where the provenance says, and believed only if that is still the very same section; a page without truth
says why.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.contracts.settings import Settings
from s2s.errors import S2SError
from s2s.exchange.anndata_by_gene import ImputedFrame
from s2s.page.provenance import number_at, pair_at, text_at
from s2s.storage.sections import Window, open_section
from s2s.streaming.survey import Survey, read_values, survey_section

KNOWN = "every position of this section was measured; those that are not marked as measured were hidden from the model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What was measured at every position.

    Attributes:
        survey: Of the section that it is read from; None where there is no truth.
        note: Where it comes from, or why there is none.
    """

    survey: Survey | None
    note: str

    def read(self, genes: slice, rows: slice, tissue: Bool[np.ndarray, "y x"]) -> Float32[np.ndarray, "gene y x"]:
        """Read some genes in a band of rows, log1p units; NaN off tissue.

        Args:
            genes: On the axis of the imputed section.
            rows: Of the grid.
            tissue: Positions on tissue in that band.
        """
        assert self.survey is not None, "only a truth that is there is read"
        window = Window(y=rows.start, x=0, height=rows.stop - rows.start, width=tissue.shape[1])
        values = read_values(self.survey, self.survey.chosen[genes], window)
        return np.where(tissue, values, np.float32(np.nan)).astype(np.float32)


def find_truth(frame: ImputedFrame, settings: Settings) -> Truth:
    """Open the section that an imputed one was made from.

    Args:
        frame: Of the imputed section.
        settings: Where sections lie.

    Reads:
        The section once, for the totals of its bins, if it was measured everywhere.
    """
    told = frame.provenance
    if number_at(told, "section", "lattice", "stride", default=1) != 1:
        return Truth(survey=None, note="none is known: the positions between the measured ones were never measured")
    uri = text_at(told, "section_uri")
    try:
        section = open_section(uri, settings)
        if section.meta.data_sha256 != text_at(told, "section", "data_sha256") or section.meta.shape != frame.shape:
            return Truth(survey=None, note="not shown: the section was replaced by another since it was imputed")
        sampling = SamplingConfig.model_validate({"phase": pair_at(told, "sampling", "phase")})
        return Truth(survey=survey_section(section, sampling, GeneConfig(names=frame.genes)), note=KNOWN)
    except S2SError as error:
        return Truth(survey=None, note=f"not shown: the section could not be opened when this page was made ({error})")
