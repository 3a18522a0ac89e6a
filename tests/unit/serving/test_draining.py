"""A service that ends: what is being answered ends first, and not for ever."""

import asyncio

import pytest

from s2s.serving import draining
from s2s.serving.draining import Drain


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "SETTLE_S", 0)


def test_it_waits_for_every_request_that_is_being_answered() -> None:
    async def serve() -> list[str]:
        drain, said = Drain(), list[str]()

        async def answer(name: str, seconds: float) -> None:
            with drain.request():
                await asyncio.sleep(seconds)
                said.append(name)

        answering = [asyncio.create_task(answer(name, seconds)) for name, seconds in (("slow", 0.1), ("quick", 0.01))]
        await asyncio.sleep(0)
        ending = asyncio.create_task(drain.finish(60))
        await asyncio.sleep(0)
        assert drain.is_on
        await ending
        await asyncio.gather(*answering)
        return said

    assert asyncio.run(serve()) == ["quick", "slow"]


def test_it_does_not_wait_for_ever() -> None:
    async def serve() -> None:
        drain = Drain()
        with drain.request():
            await drain.finish(0.01)

    asyncio.run(asyncio.wait_for(serve(), 10))


def test_a_service_nobody_asks_ends_at_once() -> None:
    asyncio.run(asyncio.wait_for(Drain().finish(60), 10))
