"""Is a section like what a model was trained on? Said in sentences, never a refusal: a network fills in whatever it is given."""

from collections.abc import Iterator

import numpy as np

from s2s.contracts.release import Release
from s2s.contracts.service import Domain
from s2s.lattice.measured import Measured

PITCH_TOLERANCE = 0.1
"""Relative; a network has learnt textures at one pitch."""
ENOUGH_GENES = 0.5
"""Share of genes that the model's section had too."""
EXPRESSION_FACTOR = 2.0
"""Between the mean levels of both sections, either way."""


def domain_of(release: Release, measured: Measured, technology: str | None) -> Domain:
    """Compare a section with the one that a model was trained on.

    Args:
        release: Of the model.
        measured: The section, as the model sees it.
        technology: Of the section, where it is known.
    """
    known = {gene.gene for gene in release.reliability}
    overlap = len(known.intersection(measured.genes)) / len(measured.genes) if known else None
    warnings = tuple(_differences(release, measured, technology, overlap))
    return Domain(is_out_of_domain=bool(warnings), warnings=warnings, gene_overlap=overlap)


def _differences(release: Release, measured: Measured, technology: str | None, overlap: float | None) -> Iterator[str]:
    if abs(measured.pitch_um / release.pitch_um - 1) > PITCH_TOLERANCE:
        yield f"pitch is {measured.pitch_um:g} um, the model was trained at {release.pitch_um:g} um"
    if measured.lattice != release.lattice:
        yield f"lattice is {measured.lattice}, the model was trained on a {release.lattice} one"
    if technology is not None and technology != release.technology:
        yield f"technology is {technology}, the model was trained on {release.technology}"
    if overlap is not None and overlap < ENOUGH_GENES:
        yield f"{overlap:.0%} of the genes were in the section that the model was trained on"
    if release.seen is not None:
        values = measured.expression[:, measured.observed]
        mean, largest = float(values.mean(dtype=np.float64)), float(values.max())
        if not 1 / EXPRESSION_FACTOR <= (mean + 1e-6) / (release.seen.mean + 1e-6) <= EXPRESSION_FACTOR:
            yield f"mean expression is {mean:.3g} in log1p units, the model was trained where it was {release.seen.mean:.3g}"
        if largest > EXPRESSION_FACTOR * release.seen.largest:
            yield f"expression reaches {largest:.3g} in log1p units, the model has seen at most {release.seen.largest:.3g}"
