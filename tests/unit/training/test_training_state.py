"""A training taken apart into tensors and numbers, and put together again."""

import math

import pytest
import torch

from s2s.contracts.run import TrainingConfig
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.storage.checkpoints import read_checkpoint, write_checkpoint
from s2s.training.single import new_state
from s2s.training.state import MOMENTS, TrainState
from s2s.training.step import train_step

TRAINING = TrainingConfig(learning_rate=0.01)


@pytest.fixture
def make_state(make_network, make_batch, cpu):
    """A state after some steps."""

    def make(seed: int, steps: int) -> TrainState:
        state = new_state(make_network(seed), TRAINING, cpu)
        for number in range(steps):
            advance(state, make_batch(number), cpu)
        return state

    return make


def advance(state: TrainState, batch, cpu) -> None:
    train_step(state.network, state.optimizer, batch, TRAINING, cpu)
    state.step += 1


def same_weights(left: TrainState, right: TrainState) -> bool:
    pairs = zip(left.network.state_dict().values(), right.network.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_round_trip_through_a_checkpoint_continues_bit_for_bit(make_state, make_batch, cpu):
    state = make_state(0, 3)
    state.keep_best(0.25)
    state.seconds = 1.5
    write_checkpoint("memory://training/checkpoint", state.tensors(), state.scalars(), Settings())
    arrays, scalars = read_checkpoint("memory://training/checkpoint", Settings())
    resumed = make_state(1, 0)
    resumed.restore([({name: torch.from_numpy(array) for name, array in arrays.items()}, scalars)])
    assert resumed.scalars() == state.scalars()
    restored = resumed.tensors()
    assert set(restored) == set(state.tensors())
    for name, tensor in state.tensors().items():
        assert torch.equal(restored[name], tensor), name
    for number in (3, 4):
        advance(state, make_batch(number), cpu)
        advance(resumed, make_batch(number), cpu)
    assert same_weights(state, resumed)


@pytest.mark.parametrize("moment", [pytest.param("exp_avg", id="exp_avg"), pytest.param("exp_avg_sq", id="exp_avg_sq")])
def test_the_moments_matter_so_the_test_above_can_fail(make_state, make_batch, cpu, moment):
    state = make_state(0, 3)
    damaged = {name: torch.zeros_like(tensor) if name.startswith(f"{moment}/") else tensor for name, tensor in state.tensors().items()}
    resumed = make_state(1, 0)
    resumed.restore([(damaged, state.scalars())])
    advance(state, make_batch(3), cpu)
    advance(resumed, make_batch(3), cpu)
    assert not same_weights(state, resumed)


def test_names_of_a_state(make_state):
    fresh = make_state(0, 0)
    weights = {f"weights/{name}" for name in fresh.network.state_dict()}
    assert set(fresh.tensors()) == weights
    assert fresh.scalars() == {"step": 0, "best_step": 0, "best_error": None, "stale": 0, "seconds": 0.0}
    state = make_state(0, 1)
    state.keep_best(0.5)
    under = {name.split("/", 1)[0] for name in state.tensors()}
    assert under == {"weights", "best", "exp_avg", "exp_avg_sq"}
    assert len(state.tensors()) == 4 * len(weights)
    assert state.scalars() == {"step": 1, "best_step": 1, "best_error": 0.5, "stale": 0, "seconds": 0.0}


def test_what_was_saved_does_not_move_on(make_state, make_batch, cpu):
    state = make_state(0, 1)
    state.keep_best(0.5)
    saved = state.tensors()
    kept = {name: tensor.clone() for name, tensor in saved.items()}
    advance(state, make_batch(1), cpu)
    assert all(torch.equal(saved[name], kept[name]) for name in kept)
    assert torch.equal(state.best_weights["stages.0.first.weight"], kept["weights/stages.0.first.weight"])
    assert not torch.equal(state.network.state_dict()["stages.0.first.weight"], kept["weights/stages.0.first.weight"])


def test_before_the_first_validation_nothing_is_best(make_state):
    state, resumed = make_state(0, 2), make_state(1, 0)
    resumed.restore([(state.tensors(), state.scalars())])
    assert resumed.best_error == math.inf
    assert resumed.best_weights == {}
    assert same_weights(state, resumed)


def test_a_large_state_is_taken_apart_and_put_together(make_state, monkeypatch):
    state, resumed = make_state(0, 2), make_state(1, 0)
    whole = state.tensors()
    assert len(state.parts()) == 1
    monkeypatch.setattr("s2s.training.state.PART_BYTES", 1000)
    parts = [state.tensors(part) for part in range(len(state.parts()))]
    assert len(parts) > 3
    assert all(sum(tensor.nbytes for tensor in part.values()) <= 1000 or len(part) == len(MOMENTS) + 1 for part in parts)
    resumed.restore([(part, state.scalars()) for part in reversed(parts)])
    restored = {name: tensor for part in range(len(parts)) for name, tensor in resumed.tensors(part).items()}
    assert restored.keys() == whole.keys()
    assert all(torch.equal(restored[name], tensor) for name, tensor in whole.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"weights/stages.0.last.weight": torch.zeros(1)}, "last.weight of shape .*, got", id="another-shape"),
        pytest.param({"weights/stages.7.last.weight": torch.zeros(1)}, "stages.7.last.weight of shape none, got", id="one-too-many"),
        pytest.param({"weights/stages.0.last.weight": None}, "last.weight of shape .*, got none", id="one-missing"),
    ],
)
def test_the_state_of_another_network_is_refused(make_state, change, words):
    state = make_state(0, 1)
    tensors = {name: tensor for name, tensor in (state.tensors() | change).items() if tensor is not None}
    with pytest.raises(InputError, match=f"{words}.*another architecture; --again"):
        make_state(1, 0).restore([(tensors, state.scalars())])


def test_only_a_smaller_error_is_better(make_state):
    state = make_state(0, 0)
    history = []
    for step, error in enumerate((3.0, 2.0, 2.0, math.nan, 1.0), start=1):
        state.step = step
        state.keep_best(error)
        history.append((state.best_step, state.best_error, state.stale))
    assert history == [(1, 3.0, 0), (2, 2.0, 0), (2, 2.0, 1), (2, 2.0, 2), (5, 1.0, 0)]
