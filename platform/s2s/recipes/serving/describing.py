"""A model as its users see it: card, accuracy, calibration, versions."""

import logging

from s2s.contracts.release import Release
from s2s.contracts.service import CoverageEntry, ModelDetails, ModelEntry, VersionEntry
from s2s.contracts.settings import Settings
from s2s.errors import S2SError
from s2s.evaluation.release_card import release_card
from s2s.tracking.registry import list_models

logger = logging.getLogger(__name__)
RELIABLE_PCC = 0.1


def describe_model(entry: ModelEntry, release: Release, settings: Settings) -> ModelDetails:
    """Describe a model.

    Args:
        entry: From the list.
        release: Contract of what answers.
        settings: Where the registry is; while it does not answer, the versions are left out.
    """
    own = release.scores[0] if release.scores else None
    figures = {name: getattr(own, name, None) for name in ("pcc", "mae", "rmse", "ssim")}
    return ModelDetails(
        model=entry,
        card=release_card(release),
        metrics={name: float(value) for name, value in figures.items() if value is not None},
        calibration=tuple(CoverageEntry(level=each.level, measured=each.measured) for each in release.coverage),
        num_reliable_genes=sum(gene.pcc > RELIABLE_PCC for gene in release.reliability),
        versions=_versions(entry.name, settings),
    )


def _versions(name: str, settings: Settings) -> tuple[VersionEntry, ...]:
    try:
        models = list_models(settings)
    except S2SError as error:
        logger.warning("the versions of %s are not shown: %s", name, error)
        return ()
    versions = next((model.versions for model in models if model.name == name), ())
    kept = set(VersionEntry.model_fields)
    return tuple(VersionEntry.model_validate(version.model_dump(include=kept)) for version in versions)
