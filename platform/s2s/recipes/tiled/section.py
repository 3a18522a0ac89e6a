"""Impute a whole section into one AnnData-Zarr, unit by unit, in memory that does not grow with the section.

What grows with it are masks and totals (some 20 bytes per bin), and on the local disk a band of tiles at a time. A section that fits one
unit gets, bit for bit, what `s2s impute` gives it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2s.contracts.release import Release
from s2s.contracts.settings import Settings
from s2s.exchange.anndata_parts import Frame, genes_of
from s2s.imputation.calibration import FEWEST_BINS, LEVELS
from s2s.imputation.reliability import Moments, Reliability, joined_all, reliability_of
from s2s.imputation.tiling import USUAL_SIZE, Tiling, UnitSize, cut
from s2s.imputation.unit import UnitImputer
from s2s.recipes.imputing import ImputationRequest, check_values, provenance_of
from s2s.recipes.release import open_imputer
from s2s.recipes.run import Progress
from s2s.recipes.tiled.band import STORE, Bands
from s2s.recipes.tiled.layout import begin, write_bins, write_observed
from s2s.storage.location import join
from s2s.storage.sections import Section
from s2s.streaming.survey import survey_section


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledRequest:
    """What to impute with what, and how large a piece at a time.

    Attributes:
        request: As of `s2s impute`; its model only names the release, its section is open already.
        section: Open.
        release: Contract of the network.
        weights: The safetensors file.
        size: Of a unit.
    """

    request: ImputationRequest
    section: Section
    release: Release
    weights: bytes
    size: UnitSize = USUAL_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an attempt writes.

    Attributes:
        folder: URI; nobody else writes there.
        predecessors: URIs of earlier attempts at the same request, newest first: what they finished is copied.
        settings: Where all of it lies.
        on_progress: Told of every tile.
    """

    folder: str
    predecessors: tuple[str, ...]
    settings: Settings
    on_progress: Progress


def impute_tiled(asked: TiledRequest, to: Destination) -> dict[str, float]:
    """Impute a section of any size.

    Args:
        asked: What with what.
        to: Where.

    Returns:
        Figures: bins, genes, units, and how reliable the genes are. Reliability is the correlation over all measured bins of the section,
        as for a section imputed in one piece, each bin predicted within its own tile.

    Raises:
        InputError: the section's values are not what the release was trained on, or nothing of it was measured.
        MissingError: a gene asked for by name is not in the section.
        StorageError: S3 or the local disk refused.

    Reads:
        The section: once whole, then tile by tile.

    Writes:
        `section.zarr`, and `bands/`, in the folder.
    """
    check_values(asked.release, asked.section, asked.request.model)
    imputer = open_imputer(asked.release, asked.weights)
    to.on_progress("survey", 0, 1)
    survey = survey_section(asked.section, asked.request.sampling, asked.request.genes)
    num_observed, meta = int(survey.observed.sum()), asked.section.meta
    tiling = cut(meta.shape, len(survey.chosen), asked.size, stride=survey.stride, lattice=survey.lattice)
    frame = Frame(
        genes=survey.genes,
        shape=meta.shape,
        pitch_um=meta.pitch_um,
        origin_um=meta.origin_um,
        lattice=meta.lattice.shape,
        provenance=provenance_of(asked.request, asked.release, asked.section, (survey.stride, survey.phase)),
        levels=LEVELS if num_observed >= FEWEST_BINS else (),
    )
    table = begin(join(to.folder, STORE), frame, tiling, to.settings)
    write_bins(table, frame, survey)
    write_observed(table, survey, to.settings, to.on_progress)
    bands = Bands(
        survey=survey,
        tiling=tiling,
        unit=UnitImputer(imputer=imputer, config=asked.request.imputation, num_observed=num_observed, on_progress=to.on_progress),
        levels=frame.levels,
        table=table,
        folder=to.folder,
        predecessors=to.predecessors,
        settings=to.settings,
        known={},
    )
    reliability = _all_bands(bands, tiling)
    for path, values in genes_of(reliability.pcc, reliability.is_reliable).items():
        table.write(path, (0,), values)
    table.finish()
    told = reliability.pcc[np.isfinite(reliability.pcc)]
    return {
        "num_bins": float(survey.tissue.size),
        "num_genes": float(len(survey.chosen)),
        "num_units": float(tiling.num_units),
        "num_reliable": float(reliability.is_reliable.sum()),
        **({"reliability_pcc": float(told.mean())} if told.size else {}),
    }


def _all_bands(bands: Bands, tiling: Tiling) -> Reliability:
    told: list[list[Moments | None]] = [[] for _ in tiling.genes]
    for row in range(len(tiling.rows)):
        for group, of_group in enumerate(told):
            of_group.append(bands.do(row, group))
    bands.unit.on_progress("tiles", tiling.num_units, tiling.num_units)
    return _concatenated([_reliability(joined_all(of_group), genes) for of_group, genes in zip(told, tiling.genes, strict=True)])


def _reliability(moments: Moments | None, genes: slice) -> Reliability:
    if moments is None:
        unknown = np.full(genes.stop - genes.start, np.nan)
        return Reliability(pcc=unknown, lower=unknown)
    return reliability_of(moments)


def _concatenated(parts: Sequence[Reliability]) -> Reliability:
    return Reliability(pcc=np.concatenate([part.pcc for part in parts]), lower=np.concatenate([part.lower for part in parts]))
