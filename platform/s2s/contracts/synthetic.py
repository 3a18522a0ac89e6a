"""The contract of a synthetic section: what to make. How it is made stands in `ingest/synthetic.py`."""

from typing import Literal

from pydantic import Field, model_validator

from s2s.contracts.document import Part
from s2s.contracts.section import SectionId, Term

ID_PREFIX = "synthetic-"
Kind = Literal["layers", "glands"]


class SyntheticTissue(Part):
    """What to make; the same settings make the same section, bit for bit."""

    kind: Kind = Field("glands", description="layers: bands like a cortex; glands: rings of epithelium in stroma")
    id: SectionId = Field("", validate_default=False, description="name in the atlas, starts with synthetic-; synthetic-<kind> when absent")
    tissue: Term | None = Field(None, description="its name in the atlas; the kind when absent")
    height: int = Field(64, ge=8, le=4096, description="bins")
    width: int = Field(64, ge=8, le=4096, description="bins")
    num_genes: int = Field(60, ge=4, le=20_000, description="genes, named SYN0001 and so on")
    median_total: float = Field(300.0, gt=0, le=1e6, description="counts of a bin of median depth")
    pitch_um: float = Field(25.0, gt=0, description="side of a bin")
    seed: int = Field(0, ge=0, lt=2**31, description="another seed makes another section")

    @model_validator(mode="before")
    @classmethod
    def _id_names_the_kind(cls, fields: object) -> object:
        if not isinstance(fields, dict) or fields.get("id"):
            return fields
        return {**fields, "id": f"{ID_PREFIX}{fields.get('kind', 'glands')}"}

    @model_validator(mode="after")
    def _id_says_synthetic(self) -> "SyntheticTissue":
        if not self.id.startswith(ID_PREFIX):
            raise ValueError(f"expected an id that starts with {ID_PREFIX}, got {self.id!r}: synthetic sections are labelled everywhere")
        return self
