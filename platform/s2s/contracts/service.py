"""The service of tissue models: how it is set up, and every document that goes over its HTTP interface.

The parameters of a request stand here too, so that service and client cannot disagree about a name.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from s2s.contracts.document import Document, Part
from s2s.contracts.ledger import Moment, RunKey
from s2s.contracts.section import Term, Values

FORMATS: dict[str, str] = {
    "h5ad": "application/x-hdf5",
    "npz": "application/x-npz",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""Media type of every format in which a section comes or goes."""

Format = Literal["h5ad", "npz", "arrow"]
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9 _-]{0,139}$")]
"""Tissue (`breast`), organism and tissue (`human-breast`), or registry name (`s2s-human-breast`)."""

GeneNames = Annotated[str, StringConstraints(max_length=20_000)]
StoreUri = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Replicas(Part):
    """How many processes impute, and what each takes."""

    min: int = Field(1, ge=1, le=1000, description="always there")
    max: int = Field(2, ge=1, le=1000, description="under load")
    cpus: float = Field(0.75, gt=0, le=64, description="of each, as Ray counts them")
    gpus: float = Field(0.0, ge=0, le=8, description="of each; above 0 networks run there")
    threads: int = Field(1, ge=1, le=64, description="of the arithmetic of one request")
    ongoing: int = Field(8, ge=1, le=1000, description="requests that a replica takes at once; above that others start")
    queued: int = Field(256, ge=1, le=100_000, description="requests that wait in all; more are told to come back")

    @model_validator(mode="after")
    def _max_is_at_least_min(self) -> "Replicas":
        if self.max < self.min:
            raise ValueError(f"expected max of at least min, got max {self.max} and min {self.min}")
        return self


class Batching(Part):
    """Requests that are worked on together."""

    pixels: int = Field(2**22, ge=1, description="genes x bins of one batch at most; a larger request goes alone")
    wait_ms: float = Field(5.0, ge=0, le=1000, description="how long the first request waits for others")


class Limits(Part):
    """What a stranger may ask for; anything above is refused before it costs much."""

    body_bytes: int = Field(64 * 2**20, ge=1024, description="of a request")
    bins: int = Field(2**20, ge=4, description="of a grid")
    side: int = Field(8192, ge=2, description="bins of a grid's longer side")
    genes: int = Field(40_000, ge=1, description="of a section, before any choice")
    values: int = Field(2**27, ge=4, description="genes x bins of a section, and of what is imputed")
    seconds: float = Field(120.0, gt=0, description="that a request may take in all, waiting included")
    requests_per_minute: int = Field(600, ge=1, description="of one token")
    jobs_per_token: int = Field(20, ge=1, description="not finished, of one token")


class Tls(Part):
    """Files for HTTPS; both in PEM."""

    certificate: str
    key: str


class JobSettings(Part):
    """How large sections are imputed: each in a Ray task of its own."""

    at_once: int = Field(1, ge=1, le=1000)
    cpus: float = Field(0.5, gt=0, le=64, description="of each, as Ray counts them")
    memory_gb: float = Field(0.0, ge=0, description="of each, as Ray counts it; 0 leaves it to the node")
    lease_s: float = Field(30.0, ge=2, le=3600, description="how long a job that went silent stays its worker's")
    attempts: int = Field(3, ge=1, le=100, description="at a job, whatever made the earlier ones fail but bad input")
    poll_s: float = Field(1.0, ge=0.1, le=60, description="how often the store is asked for new jobs")


class ServiceConfig(Document):
    """`infra/serve.yaml`: what `s2s serve` starts."""

    kind: Literal["service"] = "service"
    version: Literal[1] = 1
    host: str = Field("127.0.0.1", description="address that is listened on; anything else than loopback wants tls, or a proxy that has it")
    port: int = Field(8000, ge=1, le=65535)
    tls: Tls | None = Field(None, description="null: plain HTTP")
    pinned: tuple[ModelName, ...] | None = Field(None, description="models whose champions every replica holds; null: all of them")
    follow_s: float = Field(10.0, ge=1, le=3600, description="how often the registry is asked for new champions")
    replicas: Replicas = Replicas()
    batching: Batching = Batching()
    limits: Limits = Limits()
    jobs: JobSettings = JobSettings()
    read_from: tuple[StoreUri, ...] | None = Field(None, description="prefixes below which sections may lie; null: the atlas's sections")
    write_to: tuple[StoreUri, ...] | None = Field(None, description="prefixes below which results may go; null: the atlas's served/")
    page: str | None = Field(None, description="folder that `s2s page build` made, shown at /; null: a list of the models")


class Held(Part):
    """One champion as it is written down."""

    uri: str = Field(pattern=r"^models:/[^/@]+/[0-9]+$", description="models:/NAME/VERSION")
    folder: str = Field(description="URI of its release")


class HeldChampions(Document):
    """`service/champions.json`: what the service held last, for a start while the registry is silent."""

    kind: Literal["champions"] = "champions"
    version: Literal[1] = 1
    champions: tuple[Held, ...]


Action = Literal["impute", "jobs", "models"]


class TokenRecord(Document):
    """A token as it is kept: its secret only as a hash."""

    kind: Literal["token"] = "token"
    version: Literal[1] = 1
    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(min_length=1, max_length=100, description="who has it")
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tissues: tuple[ModelName, ...] | None = Field(None, description="models that it opens; null: all")
    actions: tuple[Action, ...] = ("impute", "jobs", "models")
    created_at: Moment
    expires_at: Moment | None = None
    revoked_at: Moment | None = None


class Domain(Part):
    """How like the model's own section a request is; what is not known to differ is not a warning."""

    is_out_of_domain: bool
    warnings: tuple[str, ...] = Field((), description="one sentence each: what differs, and by how much")
    gene_overlap: float | None = Field(None, description="share of the request's genes that the model's section had too")


class ModelEntry(Part):
    """One model as the list shows it."""

    tissue: Term
    organism: Term
    name: str = Field(description="in the registry")
    version: int | None = Field(description="that answers now; null while none could be loaded")
    technology: str | None = None
    pitch_um: float | None = None
    lattice: Literal["square", "hexagonal"] | None = None
    pcc: float | None = Field(None, description="mean correlation over genes on held-out bins of its own section")
    is_synthetic: bool | None = None
    problem: str | None = Field(None, description="why a newer champion does not answer")


class ModelList(Document):
    """Answer of `GET /v1/models`."""

    kind: Literal["models"] = "models"
    version: Literal[1] = 1
    models: tuple[ModelEntry, ...]


class VersionEntry(Part):
    """One version of a model, as the registry has it."""

    version: int
    aliases: tuple[str, ...]
    pcc: float | None
    technology: str | None
    pitch_um: float | None
    gate: str | None = Field(description="why it is or is not champion")


class CoverageEntry(Part):
    """How often measured values lay inside the intervals of one level."""

    level: float
    measured: float


class ModelDetails(Document):
    """Answer of `GET /v1/models/{tissue}`."""

    kind: Literal["model"] = "model"
    version: Literal[1] = 1
    model: ModelEntry
    card: str = Field(description="Markdown")
    metrics: dict[str, float]
    calibration: tuple[CoverageEntry, ...]
    num_reliable_genes: int = Field(description="genes of its section that correlate above 0.1 where they were hidden")
    versions: tuple[VersionEntry, ...] = Field(description="newest first; empty while the registry does not answer")


class ImputeParameters(Part):
    """How a section that comes with a request is to be read and imputed. What is left out is taken from the model."""

    tissue: ModelName | None = Field(None, description="model: tissue, organism-tissue or registry name; a job says it in its body")
    model_version: int | None = Field(None, ge=1, le=10**9, description="instead of the champion")
    reader: Literal["spots", "cells"] = Field("spots", description="h5ad: a row per spot, or a row per cell")
    pitch_um: float | None = Field(None, gt=0, le=1e6, description="distance of spots; cells, npz: side of a bin")
    um_per_unit: float = Field(1.0, gt=0, le=1e6, description="h5ad: micrometres per unit of obsm['spatial']")
    lattice: Literal["square", "hexagonal"] | None = None
    stride: int | None = Field(
        None,
        ge=1,
        le=2,
        description="2: what is sent is sparse, bins between are filled in; 1: it is dense, and a quarter of it counts as measured",
    )
    phase_y: int = Field(0, ge=0, le=1, description="row of the measured positions, as of `s2s impute --phase`")
    phase_x: int = Field(0, ge=0, le=1)
    values: Values = "counts"
    layer: Annotated[str, StringConstraints(max_length=200)] | None = Field(None, description="h5ad: layer with the values; null: X")
    technology: Term | None = Field(None, description="of the section; null: not compared with the model's")
    genes: GeneNames | None = Field(None, description="only these, separated by commas; null: all detected in 5 % of measured bins")
    uncertainty: bool = Field(True, description="also median, deviation and intervals; false is several times faster")


class JobRequest(Part):
    """Body of `POST /v1/impute` for a section in the store."""

    section: StoreUri = Field(description="URI or id of an ingested section")
    out: StoreUri = Field(description="URI below which the result is written, in a folder of its own")
    tissue: ModelName
    model_version: int | None = Field(None, ge=1, le=10**9)
    genes: tuple[Annotated[str, StringConstraints(max_length=200)], ...] | None = Field(None, max_length=100_000)
    phase_y: int = Field(0, ge=0, le=1)
    phase_x: int = Field(0, ge=0, le=1)


class JobRecord(Document):
    """A job as it is kept in the store; what became of it stands in the ledger."""

    kind: Literal["job"] = "job"
    version: Literal[1] = 1
    id: RunKey
    token_id: str = Field(description="whose it is")
    model: str = Field(description="models:/NAME/VERSION, fixed when the job was taken")
    request: JobRequest
    created_at: Moment


class JobStatus(Document):
    """Answer of `GET /v1/jobs/{id}`."""

    kind: Literal["job_status"] = "job_status"
    version: Literal[1] = 1
    id: RunKey
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    model: str
    section: str
    progress: str | None = Field(None, description="what its worker said last")
    attempt: int = Field(0, ge=0, description="how many were begun")
    result: str | None = Field(None, description="URI of the AnnData-Zarr")
    figures: dict[str, float] = Field(default_factory=dict, description="bins, genes, reliability")
    error: str | None = None
    created_at: Moment
    finished_at: Moment | None = None


class Problem(Part):
    """Body of every answer that is no success."""

    error: str = Field(description="what was expected, what came, and what to do")
    kind: str = Field(description="for programs: bad-input, too-large, unauthorized, forbidden, missing, busy, unavailable, timeout")
    is_retryable: bool = Field(description="the same request may succeed later")
