"""One judging run of an atlas: a release fills in a section that it never saw, and its held-out bins say how well.

What is delivered to a user is what is judged: prediction and intervals as `s2s impute` makes them. The classical methods are not
run again; the training run of the same section scored them on the same bins. The result is the figures of the commit, no file.
"""

import time

from s2s import __version__
from s2s.contracts.atlas import AtlasConfig, AtlasRun
from s2s.contracts.loading import atlas_run_config
from s2s.contracts.release import Release
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.evaluation.coverage import measured_coverage
from s2s.evaluation.protocol import score, summarise
from s2s.imputation.predict import hide_samples, predict_section
from s2s.recipes.attempt import Launch, attempt_at
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.imputing import check_values
from s2s.recipes.release import open_imputer, release_in_key
from s2s.recipes.release_folder import read_release
from s2s.recipes.run import key_of, silent
from s2s.storage.location import join
from s2s.storage.sections import open_section
from s2s.streaming.sections import measure_with_truth

FIGURES = ("pcc", "mae", "rmse")


def judging_run(release: Release, folder: str, section: AtlasRun, config: AtlasConfig) -> AtlasRun:
    """Name the run that judges a release on a section; releases that would say the same of it share one.

    Args:
        release: To be judged.
        folder: URI of its files.
        section: Training run of the section.
        config: Of the atlas.
    """
    asked = atlas_run_config(config, section.section, section.seed)
    what = {
        "code": __version__,
        "stage": "judge",
        "release": release_in_key(release),
        "data": section.data_sha256,
        **{name: getattr(asked, name).model_dump(mode="json") for name in ("sampling", "genes", "imputation")},
    }
    return section.model_copy(update={"key": key_of(what), "stage": "judge", "release": folder})


def judge(run: AtlasRun, config: AtlasConfig, settings: Settings) -> None:
    """Score a release on a section, in a worker.

    Args:
        run: From `judging_run`.
        config: Of the atlas.
        settings: Of this worker.

    Raises:
        LeaseError: another works on it or has finished it.
        InputError: the section has no truth, or holds other values than the release was trained on.
        S2SError: section or release cannot be read.

    Writes:
        A commit with the figures `pcc`, `mae`, `rmse` and, where intervals are given, `coverage_90`.
    """
    assert run.release is not None, "a judging run names its release"
    launch = Launch(lease_s=config.fleet.lease_s, takes_over=False)
    with attempt_at(join(settings.root, "judgements", run.key), settings, silent, launch) as attempt:
        started = time.monotonic()
        release, weights = read_release(run.release, settings)
        section, asked = open_section(run.section, settings), atlas_run_config(config, run.section, run.seed)
        check_values(release, section, release.name)
        measured, truth = measure_with_truth(section, asked.sampling, asked.genes)
        if truth is None:
            raise InputError(f"expected a fully measured section to judge {release.name} on, {section.uri} is sparse")
        known = hide_samples(measured, release.network, attempt.on_progress)
        imputed = predict_section(open_imputer(release, weights), measured, known, asked.imputation, attempt.on_progress)
        row = summarise(score(release.name, imputed.prediction, measured, truth, time.monotonic() - started))
        held = {round(item.level, 2): item.measured for item in measured_coverage(imputed.prediction, truth)}
        figures = {name: float(getattr(row, name)) for name in FIGURES} | ({"coverage_90": held[0.9]} if 0.9 in held else {})
        attempt.commit(figures, own_peak_memory_bytes())
