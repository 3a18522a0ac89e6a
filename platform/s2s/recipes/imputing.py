"""Impute any section with a registered release: fetch, sample or take as it is, fill in, hand over with provenance."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from s2s import __version__
from s2s.contracts.release import Release
from s2s.contracts.run import GeneConfig, ImputationConfig, SamplingConfig, SectionSource
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.exchange.anndata_out import ImputedSection
from s2s.imputation.predict import hide_samples, predict_section
from s2s.imputation.slide import Imputer
from s2s.lattice.measured import Measured
from s2s.recipes.release import open_imputer
from s2s.recipes.run import Progress, silent
from s2s.recipes.sources import open_source
from s2s.streaming.sections import measure
from s2s.streaming.survey import Readable
from s2s.tracking.releases import load_release


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputationRequest:
    """What to impute with what.

    Attributes:
        model: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or a folder.
        section: Id, URI, or a file with how to read it.
        sampling: Which positions of a fully measured section to take as measured; a sparse one keeps its own.
        genes: Which genes to impute.
        imputation: Tiles and batches.
    """

    model: str
    section: str | SectionSource
    sampling: SamplingConfig = SamplingConfig()
    genes: GeneConfig = GeneConfig()
    imputation: ImputationConfig = ImputationConfig()


def impute_with_release(request: ImputationRequest, settings: Settings, on_progress: Progress = silent) -> ImputedSection:
    """Impute a section with a release.

    Args:
        request: What with what.
        settings: Where the registry and the sections are.
        on_progress: Told what is going on.

    Returns:
        Imputed and measured expression with reliability per gene and full provenance.

    Raises:
        MissingError: no such model or section.
        InputError: the section's values are not of the kind the release was trained on.

    Reads:
        The release, and the section.
    """
    release, weights = load_release(request.model, settings)
    section = open_source(request.section, settings, on_progress)
    check_values(release, section, request.model)
    measured = measure(section, request.sampling, request.genes)
    return impute_measured(
        Ready(request=request, release=release, imputer=open_imputer(release, weights), section=section), measured, on_progress
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An imputation with everything open: what is asked for, the release's contract and its network, and the section."""

    request: ImputationRequest
    release: Release
    imputer: Imputer
    section: Readable


def impute_measured(ready: Ready, measured: Measured, on_progress: Progress = silent) -> ImputedSection:
    """Impute what was read of a section.

    Args:
        ready: What with what.
        measured: From `measure` of the section.
        on_progress: Told what is going on.
    """
    section, request = ready.section, ready.request
    known = hide_samples(measured, ready.release.network, on_progress)
    imputed = predict_section(ready.imputer, measured, known, request.imputation, on_progress)
    return ImputedSection(
        genes=measured.genes,
        observed=measured.expression,
        imputed=imputed.prediction.mean,
        median=imputed.prediction.median,
        std=imputed.prediction.std,
        intervals=imputed.prediction.intervals,
        tissue=measured.tissue,
        is_measured=measured.observed,
        pitch_um=measured.pitch_um,
        origin_um=section.meta.origin_um,
        lattice=section.meta.lattice.shape,
        reliability=imputed.reliability.pcc,
        is_reliable=imputed.reliability.is_reliable,
        provenance=provenance_of(request, ready.release, section, (measured.stride, measured.phase)),
    )


def check_values(release: Release, section: Readable, model: str) -> None:
    """Refuse a section whose values are not of the kind that a release was trained on.

    Args:
        release: Its contract.
        section: Open.
        model: Names the release in the message.

    Raises:
        InputError: counts where log1p values are wanted, or the reverse.
    """
    expected = "counts" if release.normalisation == "log1p_median_total" else "log1p"
    if section.meta.values != expected:
        raise InputError(
            f"expected a section of {expected} for {model}, {section.uri} holds {section.meta.values}; ingest it with --values {expected}"
        )


def provenance_of(
    request: ImputationRequest, release: Release, section: Readable, sampled: tuple[int, tuple[int, int]]
) -> Mapping[str, JsonValue]:
    """Say where imputed values come from.

    Args:
        request: What was asked for.
        release: What made them.
        section: What they belong to.
        sampled: Stride and phase of the measured positions.
    """
    stride, phase = sampled
    return {
        "model": request.model,
        "release": release.model_dump(mode="json", exclude={"reliability"}),
        "section": section.meta.model_dump(mode="json"),
        "section_uri": section.uri,
        "sampling": {"stride": stride, "phase": list(phase)},
        "units": "log1p of counts scaled to the median total of measured bins" if section.meta.values == "counts" else "log1p as given",
        "code_version": __version__,
        "python": platform.python_version(),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
