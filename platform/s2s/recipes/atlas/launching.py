"""An atlas from YAML to map: plan, do what is not done, look, release the best of every tissue, record.

Named here in order is everything that is done. Where runs are done (`RunAll`: on Ray or on this machine) is handed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasStatus
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.estimate import pilot_runs
from s2s.recipes.atlas.plan import make_plan
from s2s.recipes.atlas.records import AtlasRecorder, record_end
from s2s.recipes.atlas.releasing import release_tissues
from s2s.recipes.atlas.status import atlas_files, store_plan, survey_atlas
from s2s.recipes.atlas.work import RunAll
from s2s.recipes.patience import patiently
from s2s.recipes.run import Progress
from s2s.storage.location import join
from s2s.storage.objects import write_bytes

ATTEMPTS, PAUSE_S = 20, 15.0
"""How often the end of a launch asks an S3 server that does not answer, and the pause between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What a launch came to.

    Attributes:
        plan: Of the atlas.
        status: Of the atlas afterwards.
        num_before: Runs that were done already.
        files: `map.png`, `map.html` and `status.json`.
    """

    plan: AtlasPlan
    status: AtlasStatus
    num_before: int
    files: dict[str, bytes]


def launch_atlas(config: AtlasConfig, settings: Settings, on_progress: Progress, run_all: RunAll, *, is_pilot: bool = False) -> Launched:
    """Do what is not done of an atlas; interrupted, the same call goes on.

    Args:
        config: Resolved.
        settings: Where S3 and MLflow are, or `--local`.
        on_progress: Told about sections.
        run_all: Where runs are done.
        is_pilot: Only three runs, of the smallest, the middle and the largest section.

    Raises:
        InputError: no section is left.
        StorageError: S3 cannot be reached.

    Writes:
        Plan, map, status and releases below `atlases/<name>/`; runs; one MLflow run, and one below it per finished run and release;
        versions of the tissues' models.
    """
    plan = make_plan(config, settings, on_progress)
    store_plan(plan, settings)
    before = survey_atlas(plan, settings)
    asked = {run.key for run in (pilot_runs(plan) if is_pilot else plan.runs)}
    open_keys = {state.key for state in before.runs if state.state in ("waiting", "running")} & asked
    pending = [run for run in plan.runs if run.key in open_keys]
    recorder = AtlasRecorder(plan, settings)
    recorder.start()
    try:
        if pending:
            run_all(plan, pending, settings, recorder.add)
    finally:
        recorder.close()
    # After hours of work an outage of a minute must not cost the account of it.
    status = patiently(lambda: survey_atlas(plan, settings), on_progress, attempts=ATTEMPTS, pause_s=PAUSE_S)
    if not is_pilot:
        trained = status  # what is done of the releases is found again
        releases = patiently(lambda: release_tissues(plan, trained, settings, run_all), on_progress, attempts=ATTEMPTS, pause_s=PAUSE_S)
        status = status.model_copy(update={"releases": releases})
    files = atlas_files(status)
    patiently(lambda: _store(config.name, files, settings), on_progress, attempts=ATTEMPTS, pause_s=PAUSE_S)
    record_end(plan, status, files, settings)
    return Launched(plan=plan, status=status, num_before=before.count("done"), files=files)


def _store(name: str, files: Mapping[str, bytes], settings: Settings) -> None:
    for file, data in files.items():
        write_bytes(join(settings.root, "atlases", name, file), data, settings)
