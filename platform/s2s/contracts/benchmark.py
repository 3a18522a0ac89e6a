"""The documents of a benchmark: what to compare (`BenchmarkConfig`), one piece of it (`BenchmarkCell`), and what came of both.

A cell is one method on one phase of one section with one seed: the unit that is run, stored and shared between
benchmarks. Decision: a network stands in a benchmark as a label, a preset and overrides, and is resolved into the same
`RunConfig` that `s2s train` runs, so that a row of the table can be trained as a run of its own.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, JsonValue, StringConstraints, Tag, model_validator

from s2s.contracts.document import Document, Part
from s2s.contracts.run import GeneConfig, Resources, RunConfig, ScoreRow, Uri
from s2s.contracts.section import SectionId
from s2s.contracts.sources import AnySource, label_of

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.,+()/-]{0,59}$")]
PhaseStep = Annotated[int, Field(ge=0, le=1)]
Phase = tuple[PhaseStep, PhaseStep]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
ALL_PHASES: tuple[Phase, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
KEY = r"^[0-9a-f]{16}$"


def _kind_of_method(value: object) -> str:
    return "NetworkMethod" if isinstance(value, dict | NetworkMethod) else "text"


class BenchmarkSection(Part):
    """One section of a benchmark."""

    section: AnySource = Field(description="URI or id of an ingested section, a file with how to read it, or what synthetic to make")
    genes: GeneConfig = Field(GeneConfig(), description="which of its genes are imputed and scored")

    @property
    def label(self) -> str:
        """Name of the section in tables: its id."""
        return label_of(self.section)


class NetworkMethod(Part):
    """A network as a row of a benchmark: a label, where its values start, and what is different."""

    name: Label = Field(description="label of the row")
    preset: str | None = Field(None, description="values that the network starts from, see jobs/presets/")
    set: dict[str, JsonValue] = Field({}, description="keys of a run laid over the preset; not those that the benchmark itself varies")


Method = Annotated[Annotated[Label, Tag("text")] | Annotated[NetworkMethod, Tag("NetworkMethod")], Discriminator(_kind_of_method)]


class BootstrapConfig(Part):
    """The paired block bootstrap that gives every difference to the reference its interval."""

    resamples: int = Field(1000, ge=100, le=100_000, description="how often blocks are drawn")
    block: int = Field(8, ge=1, le=1024, description="side of a block in bins")


class BenchmarkTracking(Part):
    """Where the benchmark is recorded."""

    experiment: str = Field("benchmark", min_length=1, max_length=200, description="MLflow experiment")


class BenchmarkConfig(Document):
    """Sections times methods times phases times seeds, compared in one table."""

    kind: Literal["benchmark"] = "benchmark"
    version: Literal[1] = 1
    name: SectionId = Field(description="name of the benchmark in MLflow and in file names")
    sections: tuple[BenchmarkSection, ...] = Field(min_length=1, description="fully measured sections")
    methods: tuple[Method, ...] = Field(min_length=1, description="names of baselines, and networks")
    phases: tuple[Phase, ...] = Field(ALL_PHASES, min_length=1, description="(y, x) offsets of the kept positions; a row is their mean")
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1, description="of methods that are trained; the others run once per phase")
    reference: Label | None = Field(None, description="label that all others are compared with; the first network, or method, when null")
    resources: Resources = Field(Resources(), description="of one cell")
    bootstrap: BootstrapConfig = BootstrapConfig()
    tracking: BenchmarkTracking = BenchmarkTracking()

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the methods, in the order of the table."""
        return tuple(method if isinstance(method, str) else method.name for method in self.methods)

    @property
    def reference_label(self) -> str:
        """The method that the others are compared with."""
        networks = (method.name for method in self.methods if isinstance(method, NetworkMethod))
        return self.reference or next(networks, self.labels[0])

    @model_validator(mode="after")
    def _nothing_stands_twice(self) -> "BenchmarkConfig":
        lists: dict[str, tuple[object, ...]] = {
            "sections": tuple(section.label for section in self.sections),
            "methods": self.labels,
            "phases": self.phases,
            "seeds": self.seeds,
        }
        for name, items in lists.items():
            if twice := sorted({str(item) for item in items if items.count(item) > 1}):
                raise ValueError(f"expected every one of {name} once, got {', '.join(twice)} more than once; give each its own label")
        return self

    @model_validator(mode="after")
    def _reference_is_a_method(self) -> "BenchmarkConfig":
        if self.reference is not None and self.reference not in self.labels:
            raise ValueError(f"expected one of the methods as reference ({', '.join(self.labels)}), got {self.reference!r}")
        return self


class BenchmarkCell(Document):
    """One method on one phase of one section with one seed; all that a worker needs to know."""

    kind: Literal["benchmark_cell"] = "benchmark_cell"
    version: Literal[1] = 1
    key: str = Field(pattern=KEY, description="hash of code, method, sampling and data; labels and resources are left out")
    section: Uri = Field(description="URI of the section")
    genes: GeneConfig
    phase: Phase
    seed: Seed
    method: Label = Field(description="label of the row, and for a baseline its name")
    network: RunConfig | None = Field(None, description="of a network, resolved; null for a baseline")
    resources: Resources = Resources()


class Coverage(Part):
    """How often the truth lies inside an interval of one nominal level, over genes and held-out bins."""

    level: float = Field(gt=0, lt=1, description="nominal")
    measured: float = Field(ge=0, le=1, description="share of held-out values inside")
    width: float = Field(ge=0, description="mean width, log1p units")


class CellResult(Document):
    """What came of a cell; it lies at `benchmarks/cells/<key>/cell.json` and exists only once all of the cell's files do."""

    kind: Literal["cell_result"] = "cell_result"
    version: Literal[1] = 1
    cell: BenchmarkCell
    data_sha256: str = Field(description="of the section")
    code_version: str
    score: ScoreRow | None = Field(None, description="null where the method failed")
    failure: str | None = Field(None, description="why the method could not impute this section")
    coverage: tuple[Coverage, ...] = Field((), description="one per level of a method that gives intervals")
    seconds: float = Field(ge=0, description="wall time of the method alone, reading and scoring left out")
    peak_memory_bytes: int = Field(ge=0, description="largest resident memory of the cell's own process up to the end of the method")
    device: str
    versions: dict[str, str] = Field(description="of Python and the libraries that the result rests on")
    files: dict[str, str] = Field(default_factory=dict, description="name -> path within the cell's folder")
    created_at: str = Field(description="UTC time, ISO 8601")

    @model_validator(mode="after")
    def _scored_or_failed(self) -> "CellResult":
        if (self.score is None) == (self.failure is None):
            raise ValueError("expected either a score or a failure, got both or neither")
        return self


class Difference(Part):
    """A row minus the reference, with the 95 % interval of a paired block bootstrap."""

    value: float
    lower: float
    upper: float


class BenchmarkRow(Part):
    """One method on one section: means over phases and seeds."""

    section: str
    method: str
    is_reference: bool
    score: ScoreRow | None = Field(None, description="null where a cell of the row failed")
    pcc_spread: float | None = Field(None, description="standard deviation over seeds of the mean over phases; null for a single seed")
    rmse_spread: float | None = Field(None, description="the same of RMSE")
    coverage: tuple[Coverage, ...] = ()
    peak_memory_bytes: int | None = Field(None, description="largest of its cells")
    device: str = ""
    num_cells: int = Field(ge=0)
    num_failed: int = Field(0, ge=0)
    failure: str | None = Field(None, description="why the first of them failed")
    pcc_difference: Difference | None = Field(None, description="null for the reference itself, or where either failed")
    rmse_difference: Difference | None = None


class BenchmarkReport(Document):
    """The table of a benchmark, and where everything else lies."""

    kind: Literal["benchmark_report"] = "benchmark_report"
    version: Literal[1] = 1
    benchmark_key: str = Field(pattern=KEY, description="hash of the keys of its cells and of how they are compared")
    config: BenchmarkConfig
    reference: str
    code_version: str
    rows: tuple[BenchmarkRow, ...]
    num_cells: int = Field(ge=0)
    num_cells_run: int = Field(ge=0, description="the others had been finished before")
    seconds: float = Field(ge=0, description="of this command")
    mlflow_run_id: str | None = Field(None, description="absent while the records wait for an MLflow server")
    artifacts: dict[str, str] = Field(default_factory=dict, description="name -> URI")
