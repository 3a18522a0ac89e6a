"""The loop: its rate, its validations, its checkpoints and its reasons to stop, by hand and by a clock of our own."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch

from s2s.contracts.run import TrainingConfig
from s2s.errors import TrainingError
from s2s.network import Batch
from s2s.training import single
from s2s.training.single import Callbacks, new_state, train
from s2s.training.state import TrainState


@dataclass
class FakeTime:
    """A clock that stands still until told."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class Listener:
    """Keeps what a training says; `errors` are what its validations find, `step_s` how long a step takes."""

    clock: FakeTime
    errors: list[float] = field(default_factory=list)
    step_s: float = 0.0
    saved: list[int] = field(default_factory=list)
    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    reported: list[tuple[int, int]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    state: TrainState | None = None

    def callbacks(self) -> Callbacks:
        waiting = iter(self.errors)
        return Callbacks(
            validate=(lambda network: next(waiting)) if self.errors else None, save=self._save, log=self._log, progress=self._progress
        )

    def _save(self, state: TrainState) -> str:
        self.saved.append(state.step)
        return f"checkpoint of step {state.step}"

    def _log(self, metrics: dict[str, float], step: int) -> None:
        self.logged.append((step, metrics))
        if "train/loss" in metrics:
            self.clock.now += self.step_s
            self.rates.append(self.state.optimizer.param_groups[0]["lr"])

    def _progress(self, done: int, total: int, loss: float) -> None:
        self.reported.append((done, total))

    def validations(self) -> list[tuple[int, float]]:
        return [(step, metrics["validation/error"]) for step, metrics in self.logged if "validation/error" in metrics]


@pytest.fixture
def clock(monkeypatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(single, "time", fake)
    return fake


@pytest.fixture
def batches(make_batch):
    """Batches of step `start` and on; from step `bad` the loss is not finite."""

    def make(start: int = 0, bad: int | None = None) -> Iterator[Batch]:
        step = start
        while True:
            yield make_batch(step, target=math.nan if bad is not None and step >= bad else None)
            step += 1

    return make


@pytest.fixture
def go(make_network, cpu, batches):
    """Train a tiny network and give its state."""

    def run(training: TrainingConfig, listener: Listener, *, state: TrainState | None = None, bad: int | None = None) -> TrainState:
        listener.state = state or new_state(make_network(0), training, cpu)
        return train(listener.state, batches(listener.state.step, bad), training, cpu, listener.callbacks())

    return run


def test_the_rate_warms_up_and_falls_to_one_percent(go, clock):
    listener = Listener(clock)
    go(TrainingConfig(max_steps=40, learning_rate=0.01, schedule="cosine"), listener)
    rates = [rate / 0.01 for rate in listener.rates]
    # Two steps of warm-up (5 % of 40), then 38 of the cosine: half way, at step 21, 0.01 + 0.99 / 2.
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates[21] == pytest.approx(0.505)
    assert rates[39] == pytest.approx(0.01 + 0.99 * 0.5 * (1 - math.cos(math.pi / 38)))
    assert 0.01 < rates[39] < 0.012
    assert all(later < earlier for earlier, later in pairwise(rates[2:]))


def test_the_rate_depends_on_the_step_alone(go, clock, make_network, cpu):
    training = TrainingConfig(max_steps=40, learning_rate=0.01, schedule="cosine")
    whole, rest = Listener(clock), Listener(clock)
    go(training, whole)
    state = new_state(make_network(0), training, cpu)
    state.step = 30
    go(training, rest, state=state)
    assert rest.rates == whole.rates[30:]


def test_a_constant_rate_stays(go, clock):
    listener = Listener(clock)
    go(TrainingConfig(max_steps=5, learning_rate=0.01), listener)
    assert listener.rates == [0.01] * 5


def test_every_step_is_logged_and_reported(go, clock):
    listener = Listener(clock)
    state = go(TrainingConfig(max_steps=3), listener)
    assert [step for step, _ in listener.logged] == [1, 2, 3]
    assert set(listener.logged[0][1]) == {"train/sparser_to_sparse", "train/loss", "train/gradient_norm"}
    assert listener.reported == [(1, 3), (2, 3), (3, 3)]
    assert state.step == 3


def test_without_validation_the_last_step_stays(go, clock):
    state = go(TrainingConfig(max_steps=3), Listener(clock))
    assert (state.best_step, state.best_weights, state.stale) == (0, {}, 0)


def test_validations_come_when_due_and_after_the_last_step(go, clock):
    listener = Listener(clock, errors=[3.0, 1.0, 2.0])
    state = go(TrainingConfig(max_steps=7, validate_every=3), listener)
    assert listener.validations() == [(3, 3.0), (6, 1.0), (7, 2.0)]
    assert (state.step, state.best_step, state.best_error) == (7, 6, 1.0)


def test_the_network_holds_the_best_weights_at_the_end(go, clock, make_network, cpu):
    best = go(TrainingConfig(max_steps=2), Listener(clock))
    state = go(TrainingConfig(max_steps=4, validate_every=1), Listener(clock, errors=[3.0, 1.0, 2.0, 4.0]))
    assert state.best_step == 2
    for name, tensor in state.network.state_dict().items():
        assert torch.equal(tensor, best.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("patience", "steps"), [pytest.param(1, 3, id="one"), pytest.param(2, 6, id="two"), pytest.param(None, 8, id="endless")]
)
def test_patience_counts_validations_without_improvement(go, clock, patience, steps):
    listener = Listener(clock, errors=[3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 0.9, 0.8])
    state = go(TrainingConfig(max_steps=8, validate_every=1, patience=patience), listener)
    assert state.step == steps
    assert listener.saved == [steps]


def test_max_minutes_ends_it(go, clock):
    listener = Listener(clock, step_s=25)
    state = go(TrainingConfig(max_steps=50, max_minutes=1, checkpoint_every_s=1000), listener)
    assert state.step == 3  # 75 s is the first time above 60
    assert state.seconds == 75
    assert listener.saved == [3]


def test_time_of_earlier_attempts_counts(go, clock, make_network, cpu):
    training = TrainingConfig(max_steps=50, max_minutes=1, checkpoint_every_s=1000)
    state = new_state(make_network(0), training, cpu)
    state.seconds = 40.0
    assert go(training, Listener(clock, step_s=25), state=state).step == 1
    assert state.seconds == 65


def test_a_finished_training_does_nothing_more(go, clock, make_network, cpu):
    training = TrainingConfig(max_steps=5)
    state = new_state(make_network(0), training, cpu)
    state.step = 5
    listener = Listener(clock)
    go(training, listener, state=state)
    assert (state.step, listener.logged) == (5, [])


def test_checkpoints_come_by_the_clock_and_at_the_end(go, clock):
    listener = Listener(clock, step_s=25)
    go(TrainingConfig(max_steps=7, checkpoint_every_s=40), listener)
    assert listener.saved == [2, 4, 6, 7]  # at 50, 100 and 150 s, and at the end


@pytest.mark.parametrize(
    ("step_s", "checkpoint"), [pytest.param(0, "none", id="before-one"), pytest.param(50, "checkpoint of step 2", id="after-one")]
)
def test_a_loss_that_is_not_finite_names_step_and_checkpoint(go, clock, step_s, checkpoint):
    listener = Listener(clock, step_s=step_s)
    with pytest.raises(TrainingError, match=rf"got nan and nan at step 3; last good checkpoint: {checkpoint}\."):
        go(TrainingConfig(max_steps=7, checkpoint_every_s=40), listener, bad=2)
    assert listener.saved == ([1, 2] if step_s else [])
    assert listener.state.step == 2


def test_a_resumed_training_that_fails_still_knows_where_it_came_from(go, clock, make_network, cpu):
    training = TrainingConfig(max_steps=7)
    state = new_state(make_network(0), training, cpu)
    state.step = 4
    with pytest.raises(TrainingError, match=r"at step 6; last good checkpoint: the one it continued from, of step 4\. .* starts anew"):
        go(training, Listener(clock), state=state, bad=5)
