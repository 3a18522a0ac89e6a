"""An imputed section with a truth, made in a second: synthetic tissue, sampled, and filled in by a plain average of neighbours."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.contracts.section import Lattice
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.exchange.anndata_out import ImputedSection, write_imputed
from s2s.ingest.store import store_section
from s2s.ingest.synthetic import make_synthetic
from s2s.lattice.prediction import Interval
from s2s.storage.sections import open_section
from s2s.streaming.sections import measure

RELEASE = json.loads((Path(__file__).parents[1] / "schemas" / "examples" / "valid" / "release.v1--calibrated.json").read_text())
"""What filled it in, so to speak: any valid contract does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What is in the files, to be compared with what is shown."""

    path: Path
    imputed: ImputedSection
    section_uri: str


def make_imputed(path: Path, settings: Settings, *, lattice: str = "square", **tissue: object) -> Example:
    """Commit a synthetic section, fill a sample of it in, and write the AnnData to `path`."""
    wanted = SyntheticTissue.model_validate({"height": 40, "width": 56, "num_genes": 12, "id": f"synthetic-{path.stem}", **tissue})
    binned, _ = make_synthetic(wanted)
    if lattice == "hexagonal":
        binned = replace(binned, meta=binned.meta.model_copy(update={"lattice": Lattice(shape="hexagonal")}))
    uri = (settings.home / "local" / "sections" / wanted.id).as_posix()
    store_section(binned, uri, settings)
    section = open_section(uri, settings)
    measured = measure(section, SamplingConfig(), GeneConfig(min_detected=0))
    known = measured.observed.astype(np.float32)
    weight = np.maximum(gaussian_filter(known, 1.5), 1e-6)
    values = np.nan_to_num(measured.expression)
    blurred = np.stack([gaussian_filter(plane, 1.5) / weight for plane in values])
    imputed = np.where(measured.observed, values, blurred).astype(np.float32)
    std = (0.1 + 0.3 * blurred).astype(np.float32)
    num_genes = len(measured.genes)
    made = ImputedSection(
        genes=measured.genes,
        observed=measured.expression,
        imputed=imputed,
        std=std,
        intervals={0.9: Interval(lower=np.maximum(imputed - std, 0), upper=imputed + std)},
        tissue=measured.tissue,
        is_measured=measured.observed,
        pitch_um=section.meta.pitch_um,
        origin_um=section.meta.origin_um,
        lattice=section.meta.lattice.shape,
        reliability=np.linspace(0.9, -0.1, num_genes),
        is_reliable=np.linspace(0.9, -0.1, num_genes) > 0.2,
        provenance={
            "model": "models:/s2s-human-breast@champion",
            "release": {key: value for key, value in RELEASE.items() if key != "reliability"} | {"is_synthetic": True},
            "section": section.meta.model_dump(mode="json"),
            "section_uri": section.uri,
            "sampling": {"stride": 2, "phase": [0, 0]},
            "units": "log1p of counts scaled to the median total of measured bins",
            "code_version": "0.1.0",
            "made_at": "2026-11-24T12:00:00+00:00",
        },
    )
    write_imputed(path, made)
    return Example(path=path, imputed=made, section_uri=uri)
