"""The contract of a stored section: what its attributes say, not how its arrays are stored."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from s2s.contracts.document import SECTION_ID, Document, Part

SectionId = Annotated[str, StringConstraints(pattern=SECTION_ID)]
Term = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9 _-]{0,63}$")]
Values = Literal["counts", "log1p"]


class Lattice(Part):
    """How measured positions lie on the grid of a section.

    `stride` 1: every position on tissue was measured. `stride` 2: only positions with `y % 2 == phase[0]` and
    `x % 2 == phase[1]` were; the others are there to be imputed. On a hexagonal lattice the axial `x - y // 2` takes the place
    of `x`, so that the measured positions are a hexagonal lattice themselves.
    """

    shape: Literal["square", "hexagonal"] = Field("square", description="hexagonal: odd rows shifted by half a pitch (offset coordinates)")
    stride: int = Field(1, ge=1, le=16, description="distance of measured positions, in bins")
    phase: tuple[int, int] = Field((0, 0), description="(y, x) offset of the measured positions, each below stride; hexagonal: x is axial")

    @model_validator(mode="after")
    def _phase_is_below_stride(self) -> "Lattice":
        if not all(0 <= p < self.stride for p in self.phase):
            raise ValueError(f"expected a phase with both parts from 0 to {self.stride - 1}, got {self.phase}")
        return self


class SectionMeta(Document):
    """Everything about a section that is not an array."""

    kind: Literal["section"] = "section"
    version: Literal[1] = 1
    id: SectionId = Field(description="name of the section in the atlas")
    tissue: Term = Field(description="for instance breast, brain")
    organism: Term = Field(description="for instance human, mouse")
    technology: Term = Field(description="for instance xenium, visium, spatial-transcriptomics, iss, synthetic")
    pitch_um: float = Field(gt=0, description="side of a bin in micrometres; for hexagonal lattices the distance of neighbours in a row")
    origin_um: tuple[float, float] = Field((0.0, 0.0), description="(x, y) of the corner of the first bin in the source's frame")
    shape: tuple[int, int] = Field(description="(y, x) number of bins")
    num_genes: int = Field(gt=0, description="length of the gene axis")
    lattice: Lattice = Lattice()
    values: Values = Field("counts", description="counts: unsigned integers; log1p: values that the source had already normalised")
    is_synthetic: bool = Field(False, description="made by the generator, not measured")
    source: str = Field(description="file or URI the section was read from")
    licence: str = Field("unknown", description="licence of the source, as the user stated it")
    donor: str | None = Field(None, max_length=200, description="who the tissue is from: sections of one donor never judge each other")
    input_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the source file, or of the generator's settings")
    data_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="SHA-256 of the arrays as stored, filled at commit")
    code_version: str = Field(description="version of s2s that wrote the section")
    created_at: str = Field("", description="UTC time of the commit, ISO 8601, filled at commit")
