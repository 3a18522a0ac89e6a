"""The contract of a tissue release: the JSON that travels beside the weights and says what they may be used for."""

from collections.abc import Sequence
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


class TrialScore(Part):
    """A release on one section of its trial: means over genes on held-out bins."""

    section_id: str
    data_sha256: str
    pcc: float = Field(description="Pearson correlation")
    rmse: float = Field(ge=0, description="log1p units")
    coverage_90: float | None = Field(None, description="share of the truth inside the 90 % intervals")
    best_classical_pcc: float = Field(description="of the classical method that is best on this section")
    champion_pcc: float | None = Field(None, description="of the champion so far; absent where it was trained on this section or its donor")

    @property
    def gain(self) -> float:
        """Correlation above the best classical method's."""
        return self.pcc - self.best_classical_pcc


def mean_gain(scores: Sequence[TrialScore]) -> float | None:
    """Mean correlation above the best classical method's; None without scores."""
    return sum(score.gain for score in scores) / len(scores) if scores else None


class Trial(Part):
    """How a release was chosen among the candidates of its tissue, and how it stands beside the champion so far."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$", description="hash of everything that the choice rests on")
    atlas: str
    basis: Literal["other donors", "other sections", "own section"] = Field(
        description="what the candidates were scored on; own section: held-out bins of what each was trained on, for want of others"
    )
    num_candidates: int = Field(ge=1, description="that were scored")
    num_runs: int = Field(ge=1, description="of the tissue that are done")
    champion_weights_sha256: str | None = Field(None, description="of the champion that was scored beside it")
    scores: tuple[TrialScore, ...] = Field((), description="none where no section of the tissue has a truth")

    @property
    def gain(self) -> float | None:
        """Mean correlation above the best classical method's; None without scores."""
        return mean_gain(self.scores)


class Seen(Part):
    """What values a release was trained on: log1p expression at measured bins, over all its genes."""

    mean: float = Field(ge=0)
    largest: float = Field(ge=0)


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
    seen: Seen | None = Field(None, description="absent in releases of earlier versions")
    donor: str | None = Field(None, description="who the tissue is from that it was trained on")
    trial: Trial | None = Field(None, description="absent for the release of a single run")


def release_name(organism: str, tissue: str) -> str:
    """Name the registered model of a tissue: `s2s-<organism>-<tissue>`, spaces as dashes."""
    return f"s2s-{organism}-{tissue}".replace(" ", "-")
