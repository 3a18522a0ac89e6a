"""The runs of an atlas in this process, one after another: for `--local`, and for whoever has no cluster."""

import logging
from collections.abc import Sequence

from s2s.contracts.atlas import AtlasPlan, AtlasRun
from s2s.contracts.settings import Settings
from s2s.recipes.atlas.work import Finished, RunAll, do_run
from s2s.recipes.run import Progress

logger = logging.getLogger(__name__)


def here(on_progress: Progress) -> RunAll:
    """Do runs one after another, each tried once per launch.

    Args:
        on_progress: Told which is at work.
    """

    def run_all(plan: AtlasPlan, pending: Sequence[AtlasRun], settings: Settings, finished: Finished) -> None:
        for done, run in enumerate(pending):
            on_progress("runs", done, len(pending), run.section_id)
            outcome = do_run(run, plan.config, settings)
            if outcome.state == "done":
                finished(run)
            else:
                logger.warning("run of %s: %s (%s)", run.section_id, outcome.message, outcome.cause or outcome.state)
        on_progress("runs", len(pending), len(pending))

    return run_all
