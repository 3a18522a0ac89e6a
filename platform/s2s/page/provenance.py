"""What `uns["s2s"]` says of an imputed section, in the words of the page.

Decision: a file of another version of s2s may lack any of it, so nothing here is trusted to be there: what is missing is left out.
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue, ValidationError

from s2s.contracts.page import PageModel
from s2s.contracts.release import Release
from s2s.contracts.run import ScoreRow
from s2s.exchange.anndata_by_gene import ImputedFrame
from s2s.tracking.links import ReleaseLink

KEY_DIGITS = 12
"""Of the weights' SHA-256 that name a model on a page."""

Told = Mapping[str, JsonValue]


def at(told: Told, *path: str) -> JsonValue:
    """What stands at a path of a JSON tree; None where nothing does."""
    found: JsonValue = dict(told)
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def text_at(told: Told, *path: str) -> str:
    """Text at a path; empty where there is none."""
    found = at(told, *path)
    return found if isinstance(found, str) else ""


def number_at(told: Told, *path: str, default: int) -> int:
    """A whole number at a path, or the default."""
    found = at(told, *path)
    return found if isinstance(found, int) else default


def is_so(told: Told, *path: str) -> bool:
    """Whether `true` stands at a path."""
    return at(told, *path) is True


def pair_at(told: Told, *path: str) -> tuple[int, int]:
    """Two whole numbers at a path, or zeros."""
    found = at(told, *path)
    if isinstance(found, list) and len(found) == 2 and all(isinstance(each, int) for each in found):
        return int(str(found[0])), int(str(found[1]))
    return 0, 0


def release_of(frame: ImputedFrame) -> Release | None:
    """The contract of the release that filled a section in; None where it is not of this version."""
    release = at(frame.provenance, "release")
    if not isinstance(release, dict):
        return None
    known = {key: value for key, value in release.items() if key in Release.model_fields}
    try:
        return Release.model_validate(known)
    except ValidationError:
        return None


def model_of(release: Release, link: ReleaseLink | None) -> PageModel:
    """Write the card of a model.

    Args:
        release: Its contract.
        link: Where MLflow has it; None where it is not known.
    """
    own, best = _best(release.scores)
    return PageModel(
        key=model_key(release),
        name=release.name,
        version=link.version if link else None,
        tissue=release.tissue,
        organism=release.organism,
        technology=release.technology,
        pitch_um=release.pitch_um,
        section_id=release.section_id,
        donor=release.donor,
        licence=release.licence,
        pcc=own.pcc if own else None,
        rmse=own.rmse if own else None,
        best_classical=best.method if best else None,
        best_classical_pcc=best.pcc if best else None,
        coverage_90=next((row.measured for row in release.coverage if abs(row.level - 0.9) < 1e-9), None),
        is_leaky=release.is_leaky,
        is_synthetic=release.is_synthetic,
        version_url=link.version_url if link else None,
        run_url=link.run_url if link else None,
        card=f"models/{model_key(release)}.txt",
    )


def model_key(release: Release) -> str:
    """Name of a model on a page."""
    return release.weights_sha256[:KEY_DIGITS]


def _best(scores: Sequence[ScoreRow]) -> tuple[ScoreRow | None, ScoreRow | None]:
    """The release's own row, which stands first, and the best of the others."""
    return (scores[0], max(scores[1:], key=lambda row: row.pcc, default=None)) if scores else (None, None)
