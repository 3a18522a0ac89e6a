"""One imputation of an atlas: what it is asked for, its key, and how a worker does it.

Its release is read from a folder, its section imputed tile by tile, the result committed like that of any other run; see `imputing.py`.
"""

from dataclasses import asdict

from s2s import __version__
from s2s.contracts.atlas import AtlasConfig, AtlasRun
from s2s.contracts.loading import atlas_run_config
from s2s.contracts.release import Release
from s2s.contracts.run import RunConfig
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.imputation.tiling import USUAL_SIZE
from s2s.recipes.attempt import Launch, attempt_at
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.imputing import ImputationRequest
from s2s.recipes.release_folder import read_release
from s2s.recipes.run import key_of, silent
from s2s.recipes.tiled.section import Destination, TiledRequest, impute_tiled
from s2s.storage.location import join
from s2s.storage.sections import open_section

IMPUTED = "imputed"
"""Folder below the root in which imputed sections lie, by key."""

RELEASE_IN_KEY = {"weights_sha256", "network", "expression_scale", "trust", "normalisation"}
"""What of a release determines the values that it imputes."""

CONFIG_IN_KEY = {"sampling", "genes", "imputation"}
"""What of a run's configuration does."""


def imputation_key(run: AtlasRun, config: RunConfig, release: Release) -> str:
    """Name an imputation: 16 hexadecimal digits, the same for the same code, data, release and settings.

    Args:
        run: Training run of the section.
        config: Its configuration.
        release: What fills it in.
    """
    what: dict[str, object] = {
        "stage": "impute",
        "code": __version__,
        "section": [run.section_id, run.data_sha256],
        "release": release.model_dump(mode="json", include=RELEASE_IN_KEY),
        "config": config.model_dump(mode="json", include=CONFIG_IN_KEY),
        "unit": asdict(USUAL_SIZE),
    }
    return key_of(what)


def impute(run: AtlasRun, config: AtlasConfig, settings: Settings) -> None:
    """Do an imputation of an atlas.

    Args:
        run: Which; it names its release.
        config: Of the atlas.
        settings: Of this worker.

    Raises:
        LeaseError: another works on it or has finished it.
        S2SError: as `impute_tiled`.

    Writes:
        `imputed/<key>/attempt-.../section.zarr`, then the commit.
    """
    assert run.release is not None, "an imputation names its release"
    launch = Launch(lease_s=config.fleet.lease_s, takes_over=False)
    with attempt_at(join(settings.root, IMPUTED, run.key), settings, silent, launch) as attempt:
        release, weights = read_release(run.release, settings)
        section = open_section(run.section, settings)
        if section.meta.data_sha256 != run.data_sha256:
            raise InputError(f"expected {run.section} as it was when the atlas was planned, it was replaced; run `s2s atlas run` again")
        of_run = atlas_run_config(config, run.section, run.seed)
        request = ImputationRequest(
            model=run.model or run.release, section=run.section, sampling=of_run.sampling, genes=of_run.genes, imputation=of_run.imputation
        )
        figures = impute_tiled(
            TiledRequest(request=request, section=section, release=release, weights=weights),
            Destination(
                folder=attempt.folder,
                predecessors=tuple(join(attempt.place_uri, name) for name in attempt.lease.predecessors),
                settings=settings,
                on_progress=attempt.on_progress,
            ),
        )
        attempt.commit(figures, own_peak_memory_bytes())
