"""A training is a function of its seed: twice the same bits, and an interruption changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2s.errors import InputError, TrainingError
from s2s.recipes.fitting import Fitted, fit
from s2s.recipes.run import Run
from s2s.storage.parts import find_checkpoints
from s2s.streaming.sections import measure
from s2s.tracking.tracker import NullTracker

MakeRun = Callable[..., Run]
PAPER_NETWORK = {"features": 4, "blocks": 1, "layers": 1, "growth": 4, "heads": 2, "cascades": 2}


class KilledError(Exception):
    """Stands for a killed process."""


def fitted(run: Run) -> Fitted:
    return fit(run, measure(run.section, run.config.sampling, run.config.genes), None, NullTracker())


def assert_same_weights(left: Fitted, right: Fitted) -> None:
    for (name, one), other in zip(left.imputer.network.state_dict().items(), right.imputer.network.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=name)


def training(**changes: object) -> dict[str, object]:
    small = {"max_steps": 6, "batch": 2, "window": 16, "validate_every": 2, "precision": "float32", "hide_fraction": 0.5}
    return {"training": {**small, **changes}}


OFTEN = training(checkpoint_every_s=1e-9, schedule="cosine", clip_norm=1.0)


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(make_run: MakeRun, expression: np.ndarray) -> None:
    first, second = fitted(make_run(expression, "first")), fitted(make_run(expression, "second"))
    assert_same_weights(first, second)
    other = fitted(make_run(expression, "other", {"seed": 1}))
    pairs = zip(first.imputer.network.state_dict().values(), other.imputer.network.state_dict().values(), strict=True)
    assert any(not np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)


def killed(run: Run, stop_at: int) -> Run:
    """The run after it was killed in the step that follows."""

    def kill(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "train" and done == stop_at + 1:
            raise KilledError

    with pytest.raises(KilledError):
        fitted(replace(run, on_progress=kill))
    return run


@pytest.mark.parametrize(
    "stop_at", [pytest.param(1, id="before-a-validation"), pytest.param(4, id="after-a-validation"), pytest.param(5, id="late")]
)
def test_a_killed_training_continues_bit_for_bit(make_run: MakeRun, expression: np.ndarray, stop_at: int) -> None:
    whole = fitted(make_run(expression, f"whole{stop_at}", OFTEN))
    broken = killed(make_run(expression, f"broken{stop_at}", OFTEN), stop_at)
    saved = find_checkpoints(broken.checkpoints[0], broken.settings)
    assert [checkpoint.step for checkpoint in saved] == list(range(stop_at, max(0, stop_at - 2), -1))
    resumed = fitted(broken)
    assert_same_weights(whole, resumed)
    assert (whole.best_step, whole.validation_error) == (resumed.best_step, resumed.validation_error)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    make_run: MakeRun, expression: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    whole = fitted(make_run(expression, "undamaged", OFTEN))
    broken = killed(make_run(expression, "damaged", OFTEN), 4)
    newest = Path(find_checkpoints(broken.checkpoints[0], broken.settings)[0].uri(0))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert_same_weights(whole, fitted(broken))
    assert f"at {newest}" in caplog.text
    assert "goes on from the checkpoint before it, of step 3" in caplog.text


def test_a_run_whose_checkpoints_are_all_damaged_says_which(make_run: MakeRun, expression: np.ndarray) -> None:
    broken = killed(make_run(expression, "ruined", OFTEN), 4)
    for checkpoint in find_checkpoints(broken.checkpoints[0], broken.settings):
        Path(checkpoint.uri(0)).write_bytes(b"")
    with pytest.raises(InputError, match=r"expected a checkpoint .*000000003-0-of-1\.safetensors, got 0 bytes.*delete it"):
        fitted(broken)


def test_training_lowers_the_error_on_hidden_bins(make_run: MakeRun, expression: np.ndarray) -> None:
    short = fitted(make_run(expression, "short", training(max_steps=1, validate_every=1)))
    long = fitted(make_run(expression, "long", training(max_steps=60, validate_every=10, learning_rate=5e-3)))
    assert long.validation_error is not None
    assert short.validation_error is not None
    assert long.validation_error < short.validation_error


def test_the_best_step_is_kept_not_the_last(make_run: MakeRun, expression: np.ndarray) -> None:
    result = fitted(make_run(expression, "best", training(max_steps=30, validate_every=1, learning_rate=0.05)))
    errors = dict(result.errors)
    assert result.best_step == min(errors, key=lambda step: (errors[step], step))
    assert result.validation_error == pytest.approx(errors[result.best_step], rel=1e-6)


def test_patience_stops_a_training_that_does_not_improve(make_run: MakeRun, expression: np.ndarray) -> None:
    result = fitted(make_run(expression, "patience", training(max_steps=500, validate_every=1, learning_rate=0.2, patience=3)))
    assert result.steps < 500
    assert result.steps - result.best_step >= 3


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoint(make_run: MakeRun, expression: np.ndarray) -> None:
    run = make_run(expression, "exploding", training(max_steps=200, learning_rate=1e30, checkpoint_every_s=1e-9))
    with pytest.raises(TrainingError, match=r"finite loss .* at step \d+; last good checkpoint: .*000000001-0-of-1\.safetensors"):
        fitted(run)
    (saved,) = find_checkpoints(run.checkpoints[0], run.settings)
    assert all(np.isfinite(array).all() for tensors, _ in saved.parts(run.settings) for array in tensors.values())


def test_paper_preset_trains_with_all_four_terms_absent_photographs_leave_two(make_run: MakeRun, expression: np.ndarray) -> None:
    losses: list[set[str]] = []

    class Listening(NullTracker):
        def metrics(self, values: object, step: int) -> None:
            losses.append(set(values))  # type: ignore[call-overload]

    run = make_run(expression, "terms", {"network": PAPER_NETWORK, **training(hide_fraction=0.0)})
    fit(run, measure(run.section, run.config.sampling, run.config.genes), None, Listening())
    assert {"train/sparser_to_sparse", "train/sparse_to_dense", "train/loss", "train/gradient_norm"} == losses[0]
