"""The documents of an atlas: what to run (`AtlasConfig`), what that comes to (`AtlasPlan`), and how far it is (`AtlasStatus`).

A run of an atlas is the run that `s2s train` would do on the same section: same configuration, same key, same result.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from s2s.contracts.document import Document, Part
from s2s.contracts.ledger import Cause, Moment, RunKey
from s2s.contracts.release import Trial
from s2s.contracts.run import GpuUse, Resources, Uri
from s2s.contracts.section import SectionId, Term
from s2s.contracts.sources import AnySource

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Stage = Literal["train", "judge", "impute"]
"""What a run does with its section: train a network on it, score a release on it, or fill it in for good."""


class AtlasQuery(Part):
    """Which ingested sections belong to the atlas: those that fit every key; a key that is left out fits all."""

    tissue: tuple[Term, ...] = Field((), description="one of these tissues")
    organism: tuple[Term, ...] = Field((), description="one of these organisms")
    technology: tuple[Term, ...] = Field((), description="one of these technologies")
    licence: tuple[str, ...] = Field((), description="a licence that contains one of these words, for instance CC BY; case does not matter")


class Prices(Part):
    """What things cost, to estimate and to cap; the defaults are list prices of AWS us-east-1 in November 2026, to be checked."""

    cpu_hour_usd: float = Field(0.05, ge=0, description="one core for an hour, memory included")
    gpu_hour_usd: float = Field(1.0, ge=0, description="one graphics processor for an hour")
    put_usd: float = Field(5e-6, ge=0, description="one S3 write or list")
    get_usd: float = Field(4e-7, ge=0, description="one S3 read")
    gb_month_usd: float = Field(0.023, ge=0, description="a gigabyte on S3 for a month")


class Fleet(Part):
    """How the runs are handed to the cluster."""

    bundle_s: float = Field(30.0, gt=0, le=3600, description="seconds of work that one task should hold; short runs are bundled")
    max_bundle: int = Field(64, ge=1, le=1024, description="runs of one task at most")
    ahead: int = Field(2, ge=1, le=16, description="tasks handed in per task that the cluster can run at once")
    max_attempts: int = Field(3, ge=1, le=20, description="failed attempts after which a run is left until `s2s atlas retry`")
    lease_s: float = Field(60.0, ge=1, le=3600, description="seconds of silence after which a worker is presumed dead")
    max_per_gpu: int = Field(
        1, ge=1, le=64, description="runs that may share a graphics processor; as many do as the memory that finished runs took allows"
    )


class ReleaseRules(Part):
    """How the release of a tissue is chosen: its best candidates are scored on sections that they did not see."""

    candidates: int = Field(5, ge=1, le=100, description="runs of a tissue that are scored, those with the best own scores")
    judges: int = Field(5, ge=1, le=100, description="sections of a tissue that they are scored on, of as many donors as there are")


class AtlasTracking(Part):
    """Where the atlas is recorded."""

    experiment: str = Field("atlas", min_length=1, max_length=200, description="MLflow experiment")


class AtlasConfig(Document):
    """An atlas: many sections, one way to train on them."""

    kind: Literal["atlas"] = "atlas"
    version: Literal[1] = 1
    name: SectionId = Field(description="name of the atlas; its plan and status are found under it")
    sections: tuple[AnySource, ...] = Field(
        (), description="ids or URIs of ingested sections, files with how to read them, or synthetic ones"
    )
    query: AtlasQuery | None = Field(None, description="beside the list: every ingested section that fits")
    preset: str | None = Field("laptop", description="values that every run starts from, see jobs/presets/")
    set: dict[str, JsonValue] = Field({}, description="keys of a run laid over the preset; not those that the atlas itself fills in")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=100, description="every section is trained once per seed")
    resources: Resources = Field(Resources(), description="what one run asks of the cluster")
    budget_usd: float | None = Field(
        None,
        gt=0,
        description="no run is started once finished ones of the atlas, of earlier launches too, cost this much; null for no cap",
    )
    prices: Prices = Prices()
    fleet: Fleet = Fleet()
    releases: ReleaseRules | None = Field(ReleaseRules(), description="register the best run of every tissue; null for none")
    tracking: AtlasTracking = AtlasTracking()

    @model_validator(mode="after")
    def _some_sections_are_asked_for(self) -> "AtlasConfig":
        if not self.sections and self.query is None:
            raise ValueError("expected sections or a query, got neither; `query: {}` takes every ingested section")
        return self


class AtlasRun(Part):
    """One run of an atlas: one thing done with one section, once."""

    key: RunKey
    stage: Stage = "train"
    release: Uri | None = Field(None, description="folder of the release that is judged, or fills in")
    model: Uri | None = Field(None, description="where that release comes from: models:/NAME/VERSION, or the folder of a run")
    section: Uri = Field(description="URI of the section")
    section_id: str
    tissue: Term
    organism: Term
    technology: Term
    donor: str | None = None
    seed: Seed
    data_sha256: str = Field(description="of the section's arrays")
    is_synthetic: bool
    num_bins: int = Field(ge=1, description="of the section's grid")
    num_genes: int = Field(ge=1)

    @property
    def num_values(self) -> int:
        """Bins times genes, which the time that a run takes grows with."""
        return self.num_bins * self.num_genes


class Skipped(Part):
    """A section that the atlas leaves out."""

    section_id: str
    tissue: str
    reason: str


class AtlasPlan(Document):
    """All training runs of an atlas, by key; it lies at `atlases/<name>/plan.json`."""

    kind: Literal["atlas_plan"] = "atlas_plan"
    version: Literal[1] = 1
    config: AtlasConfig
    runs: tuple[AtlasRun, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = Field((), description="for instance several sections of one donor")
    code_version: str
    created_at: str = Field(description="UTC time, ISO 8601")


class AtlasBundle(Document):
    """Some runs of an atlas for one worker, which needs to know no more."""

    kind: Literal["atlas_bundle"] = "atlas_bundle"
    version: Literal[1] = 1
    config: AtlasConfig
    runs: tuple[AtlasRun, ...]


class RunOutcome(Part):
    """What became of one run in a worker's hands."""

    key: RunKey
    state: Literal["done", "failed", "elsewhere"] = Field(description="elsewhere: another process works on it or was faster")
    cause: Cause | None = None
    message: str = ""
    seconds: float = Field(0.0, ge=0)
    peak_memory_bytes: int = Field(0, ge=0, description="main memory of the worker's process, at most; 0 where nobody measured")
    gpu: GpuUse | None = Field(None, description="null where it had no graphics processor")


State = Literal["done", "running", "waiting", "failed"]


class RunState(Part):
    """Where one run stands, as the ledger tells."""

    key: RunKey
    section_id: str
    tissue: str
    organism: str
    seed: Seed
    state: State = Field(description="waiting: open, to be tried; failed: left until somebody mends it and says `s2s atlas retry`")
    num_failures: int = Field(0, ge=0, description="that count: since the last retry, without stops and preemptions")
    cause: Cause | None = Field(None, description="of the last failure")
    message: str = ""
    holder: str = Field("", description="who works on it, or did last")
    taken_at: Moment | None = Field(None, description="since when somebody works on it; null where nobody does")
    note: str = Field("", description="what they were doing when they last renewed their lease")
    seconds: float = Field(0.0, ge=0, description="of the attempt that is the result")
    peak_memory_bytes: int = Field(0, ge=0, description="main memory that this attempt took; 0 where nobody measured")
    gpu: GpuUse | None = Field(None, description="what this attempt took of a graphics processor")
    figures: dict[str, float] = Field(default_factory=dict, description="main results of a finished run")


class TissueRelease(Document):
    """What became of the runs of one tissue; it lies at `atlases/<name>/releases/<model>.json`."""

    kind: Literal["tissue_release"] = "tissue_release"
    version: Literal[1] = 1
    model: str = Field(description="registered name, s2s-<organism>-<tissue>")
    tissue: Term
    organism: Term
    run_key: RunKey = Field(description="of the best candidate")
    section_id: str = Field(description="that it was trained on")
    weights_sha256: str
    trial: Trial
    is_champion: bool = Field(description="it became, or stayed, champion of its tissue")
    gate: str = Field(description="why, or why not")
    model_version: str | None = Field(description="absent where it waits for an MLflow server")
    created_at: str = Field(description="UTC time, ISO 8601")


ModelChoice = Literal["champion", "own"]
"""Which release fills a section in: its tissue's champion, or that of its own training run."""


class SectionImputation(Part):
    """One section of an atlas, filled in or not."""

    section_id: str
    tissue: Term
    state: Literal["done", "running", "waiting", "failed", "missing"] = Field(description="missing: there is no release to fill it in with")
    reason: str = Field("", description="why it is not done")
    cause: Cause | None = Field(None, description="of the last failure")
    key: RunKey | None = Field(None, description="of the run that fills it in; null where there is no release")
    model: Uri | None = Field(None, description="models:/NAME/VERSION, or the folder of the section's own training run")
    weights_sha256: str | None = Field(None, description="SHA-256 of the weights")
    uri: Uri | None = Field(None, description="of the AnnData-Zarr; null while it is not done")
    num_bins: int = Field(0, ge=0, description="rows; 0 while it is not done")
    num_genes: int = Field(0, ge=0, description="columns; 0 while it is not done")


class AtlasManifest(Document):
    """Where the imputed sections of an atlas lie; it is found at `atlases/<name>/imputed.json`."""

    kind: Literal["atlas_manifest"] = "atlas_manifest"
    version: Literal[1] = 1
    name: str
    filled_with: ModelChoice
    sections: tuple[SectionImputation, ...]
    code_version: str
    created_at: str = Field(description="UTC time, ISO 8601")

    def count(self, state: str) -> int:
        """Sections in one state."""
        return sum(section.state == state for section in self.sections)


class ImputedBand(Document):
    """A band of tiles of an imputed section that is written, some of its genes: a later attempt copies it instead of computing it anew."""

    kind: Literal["imputed_band"] = "imputed_band"
    version: Literal[1] = 1
    num_told: int = Field(ge=0, description="measured bins that were predicted without themselves")
    moments: dict[str, tuple[float, ...]] = Field(description="name -> per gene: of predictions, then of measurements")


class AtlasStatus(Document):
    """How far an atlas is."""

    kind: Literal["atlas_status"] = "atlas_status"
    version: Literal[1] = 1
    name: str
    runs: tuple[RunState, ...]
    skipped: tuple[Skipped, ...] = ()
    releases: tuple[TissueRelease, ...] = ()
    imputed: tuple[SectionImputation, ...] = Field((), description="of the newest `s2s atlas impute`; empty where there was none")
    cost_usd: float = Field(ge=0, description="of finished runs, by the prices of the atlas")
    created_at: str = Field(description="UTC time, ISO 8601")

    def count(self, state: State) -> int:
        """Runs in one state."""
        return sum(run.state == state for run in self.runs)

    @property
    def counts(self) -> str:
        """Runs by state in words, for instance `3 done, 1 failed`; a state that no run is in is left out."""
        states: tuple[State, ...] = ("done", "running", "waiting", "failed")
        return ", ".join(f"{self.count(state)} {state}" for state in states if self.count(state))


class Range(Part):
    """A figure that is not known exactly."""

    low: float = Field(ge=0)
    middle: float = Field(ge=0)
    high: float = Field(ge=0)


class AtlasEstimate(Document):
    """What the runs of an atlas that are not done will take; hours and money are learnt from those that are."""

    kind: Literal["atlas_estimate"] = "atlas_estimate"
    version: Literal[1] = 1
    num_runs: int = Field(ge=0, description="not done")
    num_pilot_runs: int = Field(ge=0, description="done, from which the hours are learnt")
    cpu_hours: Range | None = Field(None, description="null without a pilot")
    gpu_hours: Range | None = None
    usd: Range | None = Field(None, description="machines and S3 requests")
    s3_writes: int = Field(ge=0, description="PUT, and LIST, which costs the same")
    s3_reads: int = Field(ge=0, description="GET and HEAD")
    s3_bytes_written: int = Field(ge=0)
    s3_bytes_read: int = Field(ge=0)
    usd_per_month: float = Field(ge=0, description="of storing what all runs leave")
    peak_memory_bytes: int = Field(0, ge=0, description="main memory that a finished run took at most; 0 without a pilot")
