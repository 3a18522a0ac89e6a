"""The contract of a tissue release: the JSON that travels beside the weights and says what they may be used for."""

from typing import Literal

from pydantic import Field

from s2s.contracts.document import Document, Part
from s2s.contracts.run import NetworkConfig, ScoreRow
from s2s.contracts.section import Term


class GeneReliability(Part):
    """How well one gene came back on held-out observed bins."""

    gene: str
    pcc: float = Field(ge=-1, le=1, description="Pearson correlation on held-out observed bins")


class Coverage(Part):
    """How often a measured value lay inside an interval of one level that was calibrated on other bins of the section."""

    level: float = Field(gt=0, lt=1, description="nominal, a fraction")
    measured: float = Field(ge=0, le=1, description="fraction of observed values inside")


class Release(Document):
    """One version of a tissue's model. The weights lie beside it as safetensors."""

    kind: Literal["release"] = "release"
    version: Literal[1] = 1
    name: str = Field(pattern=r"^s2s-[a-z0-9_-]+$", description="registry name, s2s-<organism>-<tissue>")
    tissue: Term
    organism: Term
    technology: Term
    pitch_um: float = Field(gt=0)
    stride: int = Field(ge=2, description="spacing of measured positions the network was trained to fill, in bins")
    normalisation: Literal["log1p_median_total", "log1p_given"] = Field(
        description="log1p_median_total: log1p of counts over the bin's total times their median total; log1p_given: as given"
    )
    expression_scale: float = Field(gt=0)
    network: NetworkConfig
    trust: float = Field(1.0, ge=0, le=1, description="share kept of what the network changes in a kriged fill")
    lattice: Literal["square", "hexagonal"] = Field("square", description="of its section; planes of a hexagonal one are axial")
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the safetensors file")
    is_leaky: bool = Field(description="trained in paper mode: can never take @champion")
    is_synthetic: bool
    run_key: str
    section_id: str
    data_sha256: str
    photographs: str | None
    code_version: str
    scores: tuple[ScoreRow, ...] = ()
    validation_error: float | None = None
    reliability: tuple[GeneReliability, ...] = ()
    coverage: tuple[Coverage, ...] = Field((), description="one per level of the intervals; none where they were not calibrated")
    licence: str = "unknown"


def release_name(organism: str, tissue: str) -> str:
    """Name the registered model of a tissue: `s2s-<organism>-<tissue>`, spaces as dashes."""
    return f"s2s-{organism}-{tissue}".replace(" ", "-")
