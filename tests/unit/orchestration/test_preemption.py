"""The two-minute notice, from a metadata service that speaks as the cloud's does."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from s2s.contracts.settings import Settings
from s2s.errors import StackError
from s2s.orchestration.preemption import Notice, ask_cloud, watch
from s2s.recipes.attempt import DRAINING


class Cloud:
    """A metadata service: a token first, then 404 until something is planned."""

    def __init__(self) -> None:
        self.plan: bytes | None = None
        self.num_asked = 0
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._answer(200, b"token-7")

            def do_GET(self) -> None:
                cloud.num_asked += 1
                if self.headers["X-aws-ec2-metadata-token"] != "token-7":
                    self._answer(401, b"")
                elif cloud.plan is None:
                    self._answer(404, b"")
                else:
                    self._answer(200, cloud.plan)

            def _answer(self, code: int, data: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Keep the terminal quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    cloud = Cloud()
    thread = threading.Thread(target=cloud.server.serve_forever)
    thread.start()
    yield cloud
    cloud.server.shutdown()
    thread.join()
    cloud.server.server_close()


def planned_in(seconds: float) -> bytes:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return json.dumps({"action": "terminate", "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()


def test_nothing_is_planned_most_of_the_time(cloud: Cloud):
    assert ask_cloud(cloud.url) is None


def test_a_notice_says_how_long_there_is_left(cloud: Cloud):
    cloud.plan = planned_in(100)
    notice = ask_cloud(cloud.url)
    assert notice is not None
    assert "terminate" in notice.reason
    assert 95 < notice.seconds_left <= 100


def test_a_notice_in_other_words_is_one_all_the_same(cloud: Cloud):
    cloud.plan = b"soon"
    assert ask_cloud(cloud.url) == Notice(reason="the cloud says b'soon'", seconds_left=120)


def test_a_machine_without_such_a_service_is_told(cloud: Cloud):
    with pytest.raises(StackError, match="is this machine on AWS"):
        ask_cloud("http://127.0.0.1:9")
    with pytest.raises(StackError, match="as http://HOST"):
        ask_cloud("file:///etc")


def test_the_notice_flags_the_runs_and_drains_the_node(cloud: Cloud, tmp_path: Path):
    (tmp_path / DRAINING).touch()  # left by a machine that had this disk before
    drained: list[tuple[Notice, bool]] = []
    timer = threading.Timer(0.2, lambda: setattr(cloud, "plan", planned_in(60)))
    timer.start()
    notice = watch(
        Settings(home=tmp_path), cloud.url, every_s=0.05, drain=lambda heard: drained.append((heard, (tmp_path / DRAINING).exists()))
    )
    timer.join()
    assert drained == [(notice, True)]
    assert cloud.num_asked >= 2


def test_sigterm_is_a_notice_too(cloud: Cloud, tmp_path: Path):
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    notice = watch(Settings(home=tmp_path), cloud.url, every_s=0.05, drain=lambda heard: None)
    timer.join()
    assert notice.reason == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before
