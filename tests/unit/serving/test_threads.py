"""Calls that block: their answer, their error, and an end to patience."""

import asyncio
import threading

import pytest

from s2s.errors import MissingError, StorageError
from s2s.serving.threads import Threads


def test_answers_and_errors_come_through() -> None:
    def fail() -> None:
        raise MissingError("none")

    threads = Threads("test", 1, 5)
    assert asyncio.run(threads.run(divmod, 7, 2)) == (3, 1)
    with pytest.raises(MissingError, match="none"):
        asyncio.run(threads.run(fail))


def test_patience_ends_and_other_kinds_of_calls_go_on() -> None:
    let_go = threading.Event()

    async def ask() -> int:
        slow, quick = Threads("slow", 1, 0.05), Threads("quick", 1, 5)
        with pytest.raises(StorageError, match=r"within 0\.05 s"):
            await slow.run(let_go.wait)
        found = await quick.run(int, "7")
        let_go.set()
        return found

    assert asyncio.run(ask()) == 7
