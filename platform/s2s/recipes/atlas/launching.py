"""An atlas from YAML to map: plan, do what is not done, look, record.

Named here in order is everything that is done. Where runs are done (`RunAll`: on Ray or in this process) is handed in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun, AtlasStatus
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.estimate import pilot_runs
from s2s.recipes.atlas.plan import make_plan
from s2s.recipes.atlas.records import AtlasRecorder, record_end
from s2s.recipes.atlas.status import atlas_files, store_plan, survey_atlas
from s2s.recipes.run import Progress
from s2s.storage.location import join
from s2s.storage.objects import write_bytes

Finished = Callable[[AtlasRun], None]
RunAll = Callable[[AtlasPlan, Sequence[AtlasRun], Settings, Finished], None]
"""Does runs somewhere; tells of each that has its commit."""


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
        Plan, map and status below `atlases/<name>/`; runs; one MLflow run, and one below it per finished run.
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
    status = survey_atlas(plan, settings)
    files = atlas_files(status)
    for name, data in files.items():
        write_bytes(join(settings.root, "atlases", config.name, name), data, settings)
    record_end(plan, status, files, settings)
    return Launched(plan=plan, status=status, num_before=before.count("done"), files=files)
