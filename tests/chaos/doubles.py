"""Handles on the two servers that are ours: the S3 that fails now and then, and the metadata service of a spot instance."""

import json
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chaos.hosts import Host
from chaos.services import S3, Recipe, Service
from s2s.stack.probe import answers

HERE = Path(__file__).parent
PORT = 8400
METADATA_ADDRESS = "169.254.169.254"
TIMEOUT_S = 10.0


class FaultyS3(Service):
    """A way to an S3 server on which calls fail; keys and buckets are those of the server behind it."""

    def __init__(self, host: Host, s3: S3) -> None:
        self.endpoint = f"http://{host.address}:{PORT}"
        self._orders = f"http://{host.address}:{PORT + 1}"
        command = (sys.executable, HERE / "faulty_s3.py", host.address, str(PORT), s3.endpoint)
        super().__init__(host, Recipe(name="faulty-s3", command=command, env={}, is_healthy=lambda: answers(f"{self._orders}/counts")))

    def order(self, *, seed: int = 0, refuse: float = 0, break_request: float = 0, break_response: float = 0) -> None:
        """Say which share of the calls fails from now on; counting starts anew.

        Args:
            seed: The same seed and the same calls give the same faults, in whatever order the calls come.
            refuse: Answered 503 SlowDown.
            break_request: Broken off in the middle of what the caller sends; nothing is done.
            break_response: Done, then broken off in the middle of the answer: the caller cannot know whether it was done.
        """
        faults = {"seed": seed, "refuse": refuse, "break_request": break_request, "break_response": break_response}
        self._ask("/faults", json.dumps(faults).encode())

    def counts(self) -> dict[str, int]:
        """`calls` and the faults by kind since the last order."""
        return {"calls": 0, "refuse": 0, "break_request": 0, "break_response": 0} | json.loads(self._ask("/counts"))

    def _ask(self, path: str, data: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._orders + path, data=data, method="PUT" if data else "GET", headers=headers)  # noqa: S310
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())


class Metadata:
    """The metadata service of a host at its usual address; only that host reaches it."""

    def __init__(self, host: Host) -> None:
        self._folder = host.disk / "metadata"
        self._folder.mkdir(exist_ok=True)
        host.ip(f"addr add {METADATA_ADDRESS}/32 dev lo")
        self.program = host.start("metadata", [sys.executable, HERE / "metadata.py", METADATA_ADDRESS, "80", host.disk_inside / "metadata"])
        self.program.wait_for_word("ready", timeout_s=TIMEOUT_S)

    def give_notice(self, *, seconds: float = 120, action: str = "terminate") -> None:
        """Announce the end of the instance, as AWS does two minutes before; until now the answer was 404."""
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        notice = {"action": action, "time": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        (self._folder / "draft").write_text(json.dumps(notice), encoding="utf-8")
        (self._folder / "draft").replace(self._folder / "spot_instance-action")

    def take_back(self) -> None:
        """Withdraw the notice."""
        (self._folder / "spot_instance-action").unlink(missing_ok=True)
