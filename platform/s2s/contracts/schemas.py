"""JSON Schemas of the documents, for those who do not read Python: `make schemas` writes them, a test fails on drift."""

import json
from pathlib import Path

from s2s.contracts.atlas import (
    AtlasBundle,
    AtlasConfig,
    AtlasEstimate,
    AtlasManifest,
    AtlasPlan,
    AtlasStatus,
    ImputedBand,
    TissueRelease,
)
from s2s.contracts.benchmark import BenchmarkCell, BenchmarkConfig, BenchmarkReport, CellResult
from s2s.contracts.document import Document
from s2s.contracts.layout import LayoutReport
from s2s.contracts.ledger import Failure, Lease, Pardon, RunCommit
from s2s.contracts.page import PageIndex, PageStore
from s2s.contracts.panel import PanelReport
from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.release import Release
from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.section import SectionMeta
from s2s.contracts.service import HeldChampions, JobRecord, JobStatus, ModelDetails, ModelList, ServiceConfig, TokenRecord
from s2s.contracts.sharding import DeepSpeedConfig, MemoryPlan

DOCUMENTS: dict[str, type[Document]] = {
    "section.v1": SectionMeta,
    "photographs.v1": PhotographsMeta,
    "run.v1": RunConfig,
    "run_report.v1": RunReport,
    "deepspeed.v1": DeepSpeedConfig,
    "memory_plan.v1": MemoryPlan,
    "release.v1": Release,
    "panel_report.v1": PanelReport,
    "layout_report.v1": LayoutReport,
    "atlas.v1": AtlasConfig,
    "atlas_plan.v1": AtlasPlan,
    "atlas_bundle.v1": AtlasBundle,
    "atlas_status.v1": AtlasStatus,
    "atlas_estimate.v1": AtlasEstimate,
    "tissue_release.v1": TissueRelease,
    "atlas_manifest.v1": AtlasManifest,
    "imputed_band.v1": ImputedBand,
    "page.v1": PageIndex,
    "page_section.v1": PageStore,
    "lease.v1": Lease,
    "failure.v1": Failure,
    "pardon.v1": Pardon,
    "run_commit.v1": RunCommit,
    "service.v1": ServiceConfig,
    "token.v1": TokenRecord,
    "models.v1": ModelList,
    "model.v1": ModelDetails,
    "job.v1": JobRecord,
    "job_status.v1": JobStatus,
    "champions.v1": HeldChampions,
    "benchmark.v1": BenchmarkConfig,
    "benchmark_cell.v1": BenchmarkCell,
    "cell_result.v1": CellResult,
    "benchmark_report.v1": BenchmarkReport,
}


def schema_text(name: str) -> str:
    """Render one schema as it stands in `schemas/`, with a final newline."""
    return json.dumps(DOCUMENTS[name].model_json_schema(), indent=2, sort_keys=True) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema.

    Writes:
        `<folder>/<name>.json`, one per document.
    """
    paths = []
    for name in DOCUMENTS:
        path = folder / f"{name}.json"
        path.write_text(schema_text(name), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    write_schemas(Path("schemas"))
