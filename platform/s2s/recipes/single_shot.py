"""READ THIS FIRST: one sparse section, one network, one release candidate.

From a single section measured at some positions, and ordinary photographs, learn to fill in the positions between; then fill
them in, say how far off each may be, judge the result on positions that nothing above has seen, and register the network as a
candidate for its tissue. Everything that is done is named here in order; how it is done lies one floor below, in the folders
imported.
"""

import time

from s2s import __version__
from s2s.contracts.run import RunConfig, RunReport
from s2s.contracts.settings import Settings
from s2s.imputation.predict import predict_section
from s2s.recipes.attempt import Launch, attempting, commit
from s2s.recipes.fitting import fit
from s2s.recipes.footprint import own_peak_memory_bytes
from s2s.recipes.judging import Judgement, judge
from s2s.recipes.profiling import StageClock
from s2s.recipes.recording import Outcome, publish, record
from s2s.recipes.run import FINISHED_BEFORE, Progress, silent
from s2s.recipes.sources import open_run
from s2s.streaming.sections import measure_with_truth
from s2s.training.gpu import gpu_use


def single_shot(config: RunConfig, settings: Settings, on_progress: Progress = silent, launch: Launch = Launch()) -> RunReport:
    """Train on one section, impute it, score it, log it, register it.

    A run that was interrupted continues from its checkpoint; one that was finished before gives its report at once.

    Args:
        config: Resolved from a YAML.
        settings: Where S3 and MLflow are, or `--local`.
        on_progress: Told what is going on.
        launch: Whether to take the run from others, and where it is recorded.

    Returns:
        What was done, where it lies and how good it is.

    Raises:
        InputError: the section cannot be trained on as configured; says what would do.
        MissingError: section or photographs are not there.
        TrainingError: the loss is not finite; the last good checkpoint stays.
        StorageError: S3 cannot be reached.

    Reads:
        The section and the photographs.

    Writes:
        Checkpoint, figures, tables and report in the run's folder; one MLflow run; one version of the tissue's model.
    """
    started = time.monotonic()

    # What is known: the sampled positions of the section, and nothing else; beside it the truth, where there is one.
    clock = StageClock(on_progress)
    run = open_run(config, settings, clock)
    if (report := run.finished()) is not None:
        on_progress(FINISHED_BEFORE, 1, 1)
        return report
    with attempting(run, launch) as run:
        # Of a section too large to be learnt from whole, tiles spread over it take its place.
        measured, truth = measure_with_truth(run.section, config.sampling, config.genes)

        with launch.open_tracker(run) as tracker:
            # Learn sparser -> sparse on the section, beside photographs; choose the best step on hidden measured positions.
            fitted = fit(run, measured, truth, tracker, launch.crew)

            # Sparse -> dense: every position of the section, measured ones exactly kept, with how far off each may be.
            imputed = predict_section(fitted.imputer, measured, fitted.known, config.imputation, run.on_progress)

            # Judge it on the positions nobody has seen, beside the classical methods.
            judgement = judge(run, measured, truth, imputed.prediction, time.monotonic() - started) if truth else Judgement()

            # Keep what was learnt: figures and tables, then the network as a candidate of its tissue.
            outcome = Outcome(measured=measured, truth=truth, imputed=imputed, fitted=fitted, judgement=judgement, stages=clock.seconds)
            artifacts = record(run, tracker, outcome)
            if config.tracking.register_model:
                publish(run, tracker, outcome)

        report = RunReport(
            run_key=run.key,
            config=config,
            section_uri=run.section.uri,
            data_sha256=run.section.meta.data_sha256,
            code_version=__version__,
            is_leaky=config.sampling.mode == "paper",
            num_tiles=len(measured.pieces),
            steps=fitted.steps,
            best_step=fitted.best_step,
            validation_error=fitted.validation_error,
            trust=fitted.imputer.trust,
            scores=judgement.rows,
            seconds=time.monotonic() - started,
            peak_memory_bytes=own_peak_memory_bytes(),
            gpu=gpu_use(),
            device=fitted.device,
            mlflow_run_id=tracker.receipt.run_id,
            model_name=tracker.receipt.model_name,
            model_version=tracker.receipt.model_version,
            folder=run.folder,
            artifacts=artifacts,
        )
        return commit(run, report)
