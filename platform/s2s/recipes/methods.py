"""From a row of a benchmark to an answer: a baseline by its name, or a network that is trained on the spot.

Decision: a network of a benchmark is trained without MLflow and without a registered model, in a folder of its own, so
that neither its seconds nor its checkpoint mix with those of a run of `s2s train`. What trains networks is imported when
one is asked for: the memory of a baseline must not count torch.
"""

import time
from dataclasses import dataclass

import numpy as np

from s2s.evaluation.baselines import Baseline, baseline_named
from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.prediction import Prediction
from s2s.recipes.run import Run
from s2s.tracking.tracker import NullTracker

TRAINED_BASELINES = frozenset({"coordinate_network", "dist_cnn", "deep_image_prior"})
"""Baselines whose result depends on a seed; the others run once per phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a method says about one section, on what it was computed, and in what wall time, imports left out."""

    prediction: Prediction
    device: str
    seconds: float


def is_trained(name: str) -> bool:
    """Whether a baseline depends on a seed."""
    return name in TRAINED_BASELINES


def baseline_answer(name: str, seed: int, measured: Measured) -> Answer:
    """Ask a baseline.

    Args:
        name: Of the baseline.
        seed: For one that is trained.
        measured: All that it sees.

    Returns:
        Its full prediction where it knows more than a mean; measured values in place.

    Raises:
        ConfigError: no such baseline; the nearest is named.
        S2SError: whatever it raises on this section.
    """
    baseline = baseline_named(name, seed)
    started = time.perf_counter()
    prediction = _predict(baseline, measured)
    return Answer(prediction=prediction, device="cpu", seconds=time.perf_counter() - started)


def network_answer(run: Run, measured: Measured, truth: HeldOut) -> Answer:
    """Train a network and let it impute its section.

    Args:
        run: Resolved; its folder takes the checkpoints.
        measured: All that it sees.
        truth: Only for `sampling.mode: paper`, which leaks it.

    Raises:
        InputError: the section cannot be trained on as configured.
        TrainingError: the loss is not finite.
    """
    from s2s.imputation.predict import predict_section  # noqa: PLC0415 - see above
    from s2s.recipes.fitting import fit  # noqa: PLC0415

    started = time.perf_counter()
    fitted = fit(run, measured, truth, NullTracker())
    imputed = predict_section(fitted.imputer, measured, fitted.known, run.config.imputation, run.on_progress)
    return Answer(prediction=imputed.prediction, device=fitted.device, seconds=time.perf_counter() - started)


def _predict(baseline: Baseline, measured: Measured) -> Prediction:
    predict = getattr(baseline, "predict", None)
    if predict is not None:
        prediction: Prediction = predict(measured)
        return prediction
    imputed = baseline.impute(measured)
    return Prediction(mean=np.where(measured.observed, measured.expression, imputed))
