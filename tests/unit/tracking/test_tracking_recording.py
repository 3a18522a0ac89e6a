"""How a run ends when the block that it records does."""

import pytest

from s2s.tracking.recording import closing
from s2s.tracking.tracker import NullTracker, Status


class Closed(NullTracker):
    def __init__(self) -> None:
        self.statuses: list[Status] = []

    def close(self, status: Status) -> None:
        self.statuses.append(status)


def test_a_block_that_ends_is_finished():
    tracker = Closed()
    with closing(tracker):
        assert tracker.statuses == []
    assert tracker.statuses == ["finished"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(ValueError("bad"), "failed", id="error"),
        pytest.param(SystemExit(2), "failed", id="exit"),
        pytest.param(KeyboardInterrupt(), "killed", id="ctrl-c"),
    ],
)
def test_a_block_that_breaks_is_said_how_and_its_error_goes_on(error, status):
    tracker = Closed()
    with pytest.raises(type(error)) as caught, closing(tracker):
        raise error
    assert caught.value is error
    assert tracker.statuses == [status]
