"""Progress of a task that runs elsewhere: a small actor holds the latest word, the launching process asks for it."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.actor import ActorHandle

Word = tuple[str, int, int, str]
EVERY_S = 0.5


class ProgressBoard:
    """Keeps the latest progress, as a Ray actor; a lost board costs a picture, never a run."""

    def __init__(self) -> None:
        self._latest: Word = ("wait for resources", 0, 0, "")

    def post(self, word: Word) -> None:
        """Replace the latest word."""
        self._latest = word

    def latest(self) -> Word:
        """Give the latest word."""
        return self._latest


class Poster:
    """A progress callback that posts to a board: every change of stage, and twice per second within one."""

    def __init__(self, board: "ActorHandle[Any]") -> None:
        self._board = board
        self._stage, self._posted_at = "", 0.0

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Post, unless the last word of this stage is fresh."""
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._posted_at > EVERY_S:
            self._stage, self._posted_at = stage, now
            self._board.post.remote((stage, done, total, note))
