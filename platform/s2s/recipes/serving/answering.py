"""One request, from bytes to bytes: read the section, impute it with a model that is loaded, say how far it may be believed.

Decision: the section is kept in memory, checked and hashed as if it were stored, and read like any other: that is why the answer is what
`s2s ingest section` and `s2s impute` give, bit for bit.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from s2s.contracts.run import GeneConfig, ImputationConfig, SamplingConfig, SectionSource
from s2s.contracts.section import Lattice
from s2s.contracts.service import Domain, Format, ImputeParameters, Limits
from s2s.errors import InputError
from s2s.exchange.anndata_out import ImputedSection, write_imputed
from s2s.exchange.arrow import write_arrow
from s2s.exchange.npz import write_npz
from s2s.imputation.slide import impute_section
from s2s.ingest.received import check_size, read_received
from s2s.ingest.store import hold_section
from s2s.lattice.measured import Measured
from s2s.recipes.imputing import ImputationRequest, Ready, check_values, impute_measured, provenance_of
from s2s.recipes.serving.champions import Served
from s2s.recipes.serving.domain import domain_of
from s2s.streaming.sections import measure

SECTION_ID = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request.

    Attributes:
        body: The section.
        form: Its format.
        wanted: Format of the answer.
        parameters: How it is to be read and imputed.
        limits: What is too large.
    """

    body: bytes
    form: Format
    wanted: Format
    parameters: ImputeParameters
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back.

    Attributes:
        body: The imputed section.
        form: Its format.
        model: `models:/NAME/VERSION`.
        data_sha256: Of the section's values.
        domain: How like the model's own section it is.
    """

    body: bytes
    form: Format
    model: str
    data_sha256: str
    domain: Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A request that was read: all that is left to do is arithmetic.

    Attributes:
        asked: The request.
        ready: What with what; nothing of the section is read any more.
        measured: The section, as the model sees it.
    """

    asked: Asked
    ready: Ready
    measured: Measured


def open_request(asked: Asked, served: Served) -> Opened:
    """Read the section that came with a request.

    Args:
        asked: The request.
        served: The model.

    Raises:
        InputError: the section cannot be read, is too large, or is not of the kind that the model fills in.
        MissingError: a gene that was asked for is not in the section.
    """
    with tempfile.TemporaryDirectory(prefix="s2s-request-") as folder:
        source = source_of(asked.form, asked.parameters, served)
        section = hold_section(read_received(asked.body, asked.form, source, asked.limits, Path(folder)), "the request")
    check_values(served.release, section, served.uri)
    names = asked.parameters.genes
    request = ImputationRequest(
        model=served.uri,
        section=SECTION_ID,
        sampling=SamplingConfig(phase=(asked.parameters.phase_y, asked.parameters.phase_x)),
        genes=GeneConfig(names=tuple(name.strip() for name in names.split(",")) if names else None),
    )
    measured = measure(section, request.sampling, request.genes)
    check_size(measured.tissue.shape, len(measured.genes), asked.limits)
    ready = Ready(request=request, release=served.release, imputer=served.imputer, section=section)
    return Opened(asked=asked, ready=ready, measured=measured)


def finish(opened: Opened, is_given_up: Callable[[], bool] = lambda: False) -> Answer:
    """Impute a request and write the answer.

    Args:
        opened: From `open_request`.
        is_given_up: Whether nobody waits for the answer any more.

    Raises:
        InputError: nobody does.
    """

    def on_progress(stage: str, done: int, total: int, note: str = "") -> None:
        if is_given_up():
            raise InputError("expected somebody to wait for the answer, the request was given up")

    asked, ready, measured = opened.asked, opened.ready, opened.measured
    imputed = impute_measured(ready, measured, on_progress) if asked.parameters.uncertainty else _mean_alone(ready, measured)
    domain = domain_of(ready.release, measured, asked.parameters.technology)
    told = {**imputed.provenance, "domain": domain.model_dump(mode="json")}
    return Answer(
        body=_written(replace(imputed, provenance=told), asked.wanted),
        form=asked.wanted,
        model=ready.request.model,
        data_sha256=ready.section.meta.data_sha256,
        domain=domain,
    )


def source_of(form: Format, parameters: ImputeParameters, served: Served) -> SectionSource:
    """Say how a section is to be read; what the request leaves out is as in the section that the model was trained on."""
    release = served.release
    is_free = parameters.reader == "cells"  # cells have no lattice of their own
    stride = 1 if is_free else parameters.stride or release.stride
    is_of_bins = is_free or form == "npz"  # else it is the distance of spots
    return SectionSource(
        file="body",
        reader=parameters.reader,
        id=SECTION_ID,
        tissue=release.tissue,
        organism=release.organism,
        technology=parameters.technology or "unknown",
        pitch_um=parameters.pitch_um or release.pitch_um * (1 if is_of_bins else stride),
        um_per_unit=parameters.um_per_unit,
        lattice=Lattice(shape="square" if is_free else parameters.lattice or release.lattice, stride=stride),
        values=parameters.values,
        layer=parameters.layer,
    )


def _mean_alone(ready: Ready, measured: Measured) -> ImputedSection:
    mean = impute_section(ready.imputer, measured, ImputationConfig())
    meta = ready.section.meta
    return ImputedSection(
        genes=measured.genes,
        observed=measured.expression,
        imputed=mean,
        tissue=measured.tissue,
        is_measured=measured.observed,
        pitch_um=measured.pitch_um,
        origin_um=meta.origin_um,
        lattice=meta.lattice.shape,
        reliability=np.full(len(measured.genes), np.nan),
        provenance=provenance_of(ready.request, ready.release, ready.section, (measured.stride, measured.phase)),
    )


def _written(imputed: ImputedSection, form: Format) -> bytes:
    if form == "npz":
        return write_npz(imputed)
    if form == "arrow":
        return write_arrow(imputed)
    with tempfile.TemporaryDirectory(prefix="s2s-answer-") as folder:
        path = Path(folder, "answer.h5ad")
        write_imputed(path, imputed)
        return path.read_bytes()
