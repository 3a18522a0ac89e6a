"""The documents of an atlas page: what the overview shows (`PageIndex`), and what a section's store says of itself (`PageStore`).

They are read by a browser, from any server of files. Decision: the index holds what the overview shows and no more, so that a thousand
sections stay a few hundred kilobytes; everything else of a section is read when it is opened.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from s2s.contracts.document import Document, Part
from s2s.contracts.section import SectionId

LayerName = Literal["imputed", "std", "lower_90", "upper_90", "truth"]
"""Arrays `(gene, y, x)` of a section's store; `sampled` is not stored: it is `imputed` where `observed` is true."""

Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")]
"""Of a file below the page's folder."""

Url = Annotated[str, StringConstraints(pattern=r"^https?://")]


class PageModel(Part):
    """The card of a model that filled sections in."""

    key: SectionId = Field(description="by which sections name it")
    name: str = Field(description="of the registered model, s2s-<organism>-<tissue>")
    version: int | None = Field(None, ge=1, description="in the registry; null where it is not known")
    tissue: str
    organism: str
    technology: str
    pitch_um: float = Field(gt=0)
    section_id: str = Field(description="that it was trained on")
    donor: str | None = None
    licence: str = "unknown"
    pcc: float | None = Field(None, description="mean Pearson correlation over genes on held-out positions of its own section")
    rmse: float | None = Field(None, ge=0, description="likewise, log1p units")
    best_classical: str | None = Field(None, description="classical method that is best there")
    best_classical_pcc: float | None = None
    coverage_90: float | None = Field(None, ge=0, le=1, description="share of measured values inside 90 % intervals")
    is_leaky: bool = False
    is_synthetic: bool = False
    version_url: Url | None = Field(None, description="of the version in MLflow")
    run_url: Url | None = Field(None, description="of the training run in MLflow")
    card: Path | None = Field(None, description="the whole card as text")


class PageSection(Part):
    """One section on the overview, filled in or not."""

    key: SectionId = Field(description="name of its folder below sections/")
    tissue: str
    organism: str = ""
    technology: str = ""
    state: Literal["done", "running", "waiting", "failed", "missing"] = "done"
    reason: str = Field("", description="why it cannot be opened")
    num_genes: int = Field(0, ge=0)
    num_reliable: int | None = Field(None, ge=0, description="genes whose imputed values can be relied on; null where unknown")
    num_bins: int = Field(0, ge=0, description="on tissue")
    gene: str | None = Field(None, description="that its thumbnail shows; null without a thumbnail")
    model: SectionId | None = Field(None, description="key of the model that filled it in")
    has_truth: bool = False
    is_synthetic: bool = False
    is_leaky: bool = False


class PageIndex(Document):
    """All that the overview shows; it lies at `page.json`."""

    kind: Literal["page"] = "page"
    version: Literal[1] = 1
    title: str = Field(min_length=1, max_length=200)
    sections: tuple[PageSection, ...]
    models: tuple[PageModel, ...] = ()
    code_version: str
    created_at: str = Field(description="UTC time, ISO 8601")

    def count(self, state: str) -> int:
        """Sections in one state."""
        return sum(section.state == state for section in self.sections)


class PageDownload(Part):
    """An imputed section to take home."""

    path: Path
    bytes: int = Field(ge=0)


class PageStore(Document):
    """Attributes of the Zarr group of one section of a page; genes lie beside it in `genes.json.gz`."""

    kind: Literal["page_section"] = "page_section"
    version: Literal[1] = 1
    key: SectionId
    tissue: str
    organism: str = ""
    technology: str = ""
    donor: str | None = None
    licence: str = "unknown"
    shape: tuple[int, int] = Field(description="(y, x) number of bins")
    pitch_um: float = Field(gt=0, description="distance of neighbouring bins in a row")
    lattice: Literal["square", "hexagonal"] = "square"
    num_genes: int = Field(ge=1)
    num_measured: int = Field(ge=0, description="bins that were measured")
    num_bins: int = Field(ge=0, description="bins on tissue")
    layers: tuple[LayerName, ...] = Field(min_length=1, description="arrays (gene, y, x), float16, NaN off tissue")
    overview_factor: int = Field(
        1, ge=1, description="overview/ holds means of so many rows by so many columns; 1 where the section is small and has none"
    )
    units: str
    gene: str = Field(description="to begin with: the most reliable one")
    truth_note: str = Field(description="where the truth comes from, or why there is none")
    stride: int = Field(ge=1, description="distance of measured positions, in bins")
    phase: tuple[int, int]
    model: SectionId | None = Field(None, description="key of the model in page.json")
    model_uri: str = Field("", description="as it was asked for")
    source_uri: str = Field(description="of the AnnData that the page was made from; of a local one its name")
    source_digest: str = Field("", description="SHA-256 of the names, sizes and ETags of that AnnData's objects")
    written_by: str = Field("", description="version of s2s that wrote this store")
    download: PageDownload | None = None
    is_synthetic: bool = False
    is_leaky: bool = False
    made_at: str = Field("", description="when it was imputed, UTC, ISO 8601")
    code_version: str = Field("", description="that imputed it")
