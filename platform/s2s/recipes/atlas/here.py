"""The runs of an atlas on this machine, one after another, each in a fresh process: for `--local`, and for whoever has no cluster.

As on a cluster, a defect or a shortage of memory ends the worker and not the launch: it is written down, and the next run goes on.
"""

import logging
import time
from collections.abc import Sequence

from s2s.contracts.atlas import AtlasBundle, AtlasConfig, AtlasPlan, AtlasRun, RunOutcome
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.settling import Loss, settle
from s2s.recipes.atlas.status import cost_usd, survey_atlas
from s2s.recipes.atlas.work import Finished, RunAll
from s2s.recipes.fresh_process import Ended, run_fresh
from s2s.recipes.run import Progress, ledger_of

logger = logging.getLogger(__name__)
PYTHON_ERROR = 1
"""Exit status of Python when nobody caught an error."""


def here(on_progress: Progress) -> RunAll:
    """Do runs one after another, each tried once per launch.

    Args:
        on_progress: Told which is at work.
    """

    def run_all(plan: AtlasPlan, pending: Sequence[AtlasRun], settings: Settings, finished: Finished) -> None:
        budget = plan.config.budget_usd
        spent = 0.0 if budget is None else survey_atlas(plan, settings).cost_usd
        for done, run in enumerate(pending):
            if budget is not None and spent >= budget:
                return
            on_progress("runs", done, len(pending), run.section_id)
            outcome = _do(run, plan.config, settings)
            spent += cost_usd(plan, outcome.seconds)
            if outcome.state == "done":
                finished(run)
            else:
                logger.warning("run of %s: %s (%s)", run.section_id, outcome.message, outcome.cause or outcome.state)
        on_progress("runs", len(pending), len(pending))

    return run_all


def _do(run: AtlasRun, config: AtlasConfig, settings: Settings) -> RunOutcome:
    since = time.time()
    bundle = AtlasBundle(config=config, runs=(run,))
    ended = run_fresh("s2s.recipes.atlas.work", bundle.model_dump_json(), {"S2S_HOME": str(settings.home)})
    if ended.code == 0:
        return RunOutcome.model_validate_json(ended.out.splitlines()[-1])
    logger.info("the process of run %s ended with code %d; its last words: ...%s", run.key, ended.code, ended.words)
    (outcome,) = settle([run.key], _loss(ended, since), ledger_of(settings, holder="launcher"))
    return outcome


def _loss(ended: Ended, since: float) -> Loss:
    if ended.code == PYTHON_ERROR:
        return Loss(cause="defect", message=ended.words.rpartition("\n")[2], since=since)
    return Loss(cause="lost", message=f"its process ended with code {ended.code}; was memory short?", since=since)
