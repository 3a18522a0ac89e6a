"""The service under faults: replicas that die, champions that change or are broken, servers that hang, a service that ends."""

import io
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from integration.service import H5AD, MODEL, NPZ, SECTION, TISSUE, Running, replica_of, s2s, train, until
from s2s.client import Atlas
from s2s.contracts.service import JobRequest
from s2s.errors import InputError, StackError
from s2s.recipes.serving.champions import Champions
from s2s.storage.location import join
from s2s.storage.objects import list_below, read_bytes, write_bytes
from s2s.tracking.server import connect

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("service", "stack")]


class Load:
    """Asks again and again from some threads, and counts what came back; a service that is gone is an error unless it `may_end`."""

    def __init__(self, service: Running, body: bytes, threads: int = 4, *, may_end: bool = False) -> None:
        self._service, self._body, self._may_end, self._stop = service, body, may_end, threading.Event()
        self.statuses: Counter[int] = Counter()
        self.models: Counter[str] = Counter()
        self.answers: set[bytes] = set()
        self.broken: list[float] = []  # when requests began that got no answer
        self._threads = [threading.Thread(target=self._work) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        path = f"/v1/impute?tissue={TISSUE}&uncertainty=false"
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                status, headers, answer = self._service.ask("POST", path, self._body, Content_Type=H5AD, Accept=NPZ)
            except httpx.TransportError:
                if not self._may_end:
                    raise
                self.broken.append(begun)
                return
            self.statuses[status] += 1
            if status == 200:
                self.models[headers["x-s2s-model"]] += 1
                with np.load(io.BytesIO(answer), allow_pickle=False) as arrays:
                    self.answers.add(headers["x-s2s-model"].encode() + arrays["imputed"].tobytes())


def test_a_replica_killed_under_load_costs_nobody_an_answer(service: Running, sparse: Path) -> None:
    with Load(service, sparse.read_bytes()) as load:
        until(lambda: load.statuses[200] >= 5)
        replica_of(service).kill()
        before = load.statuses[200]
        until(lambda: load.statuses[200] >= before + 10, 120)
    assert set(load.statuses) == {200}
    assert len(load.answers) == 1


def test_a_new_champion_answers_without_a_lost_request_and_a_broken_one_never(service: Running, atlas: Atlas, sparse: Path) -> None:
    with Load(service, sparse.read_bytes()) as load:
        until(lambda: load.statuses[200] >= 3)
        s2s("models", "promote", MODEL, 2)
        until(lambda: load.models[f"models:/{MODEL}/2"] >= 3, 30)
        assert set(load.statuses) == {200}
        train(3)
        write_bytes(weights_of(service, 3), b"no weights", service.settings)
        s2s("models", "promote", MODEL, 3)
        until(lambda: entry_of(atlas).problem is not None, 30)
    assert set(load.statuses) == {200}
    assert len(load.answers) == 2
    found = entry_of(atlas)
    assert found.version == 2
    assert "damaged or exchanged" in str(found.problem)
    s2s("models", "promote", MODEL, 1)
    until(lambda: entry_of(atlas).version == 1, 30)


def entry_of(atlas: Atlas):
    return next(entry for entry in atlas.models().models if entry.name == MODEL)


def weights_of(service: Running, version: int) -> str:
    """URI on S3 of the weights of a version."""
    source = str(connect(service.settings).client.get_model_version_download_uri(MODEL, str(version)))
    (logged,) = re.findall(r"m-[0-9a-f]{32}", source)
    root = join(service.settings.root, "mlflow")
    (found,) = [name for name in list_below(root, service.settings) if logged in name and name.endswith("weights.safetensors")]
    return join(root, found)


@contextmanager
def stopped(service: Running, words: str) -> Iterator[None]:
    """A server of the stack that hangs."""
    found = [
        each
        for each in psutil.process_iter(["cmdline"])
        if words in " ".join(each.info["cmdline"] or ())
        and str(service.settings.home) in " ".join(each.info["cmdline"] or ()) + str(env(each))
    ]
    assert found
    for each in found:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in found:
            os.kill(each.pid, signal.SIGCONT)


def env(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_a_service_that_is_changed_under_load_loses_no_request(service: Running, sparse: Path, tmp_path: Path) -> None:
    changed = tmp_path / "serve.yaml"
    changed.write_text(service.config.read_text() + "batching: {pixels: 300000}\n")
    with Load(service, sparse.read_bytes()) as load:
        until(lambda: load.statuses[200] >= 5)
        old = replica_of(service)
        s2s("serve", "--config", changed, "--detach")
        until(lambda: not old.is_running())
        before = load.statuses[200]
        until(lambda: load.statuses[200] >= before + 5)
    assert set(load.statuses) == {200}
    assert len(load.answers) == 1


def test_serving_goes_on_while_the_registry_hangs(service: Running, sparse: Path) -> None:
    with stopped(service, "mlflow.server"), Load(service, sparse.read_bytes(), threads=1) as load:
        until(lambda: load.statuses[200] >= 5)
    assert set(load.statuses) == {200}


def test_a_replica_that_starts_while_the_registry_is_away_holds_what_was_held_last(service: Running) -> None:
    settings = service.settings.model_copy(update={"mlflow_uri": "http://127.0.0.1:1"})
    recalled = Champions(settings, pinned=None)
    recalled.recall()
    held = recalled.champion(MODEL)
    assert held is not None
    assert held.uri == f"models:/{MODEL}/1"
    assert recalled.find(TISSUE) == MODEL
    uri = join(settings.root, "service", "champions.json")
    whole = read_bytes(uri, settings)
    write_bytes(uri, b"{", settings)
    try:
        with pytest.raises(InputError, match=r"expected the champions in .*champions.json, it holds something else"):
            Champions(settings, pinned=None).recall()
    finally:
        write_bytes(uri, whole, settings)


def test_without_s3_jobs_are_refused_for_now_and_come_back(service: Running, atlas: Atlas, sparse: Path) -> None:
    body = json.dumps({"section": SECTION, "out": f"{service.settings.root}/served/x", "tissue": TISSUE}).encode()
    assert service.ask("GET", "/v1/models")[0] == 200
    with stopped(service, "weed"):
        status, headers, answer = service.ask("POST", "/v1/impute", body, Content_Type="application/json")
        assert status in (503, 504)
        assert json.loads(answer)["is_retryable"]
        assert "retry-after" in headers
        assert service.ask("POST", f"/v1/impute?tissue={TISSUE}", sparse.read_bytes(), Content_Type=H5AD)[0] == 200
    until(lambda: service.ask("POST", "/v1/impute", body, Content_Type="application/json")[0] == 202)


def test_a_job_outlives_the_service_that_took_it(service: Running, atlas: Atlas) -> None:
    out = join(service.settings.root, "served", "outlives")
    job = atlas.submit(JobRequest(section=SECTION, out=out, tissue=TISSUE))
    s2s("serve", "--stop")
    with pytest.raises(StackError, match="does not answer"), Atlas(service.url, service.token, timeout_s=2) as other:
        other._connection._sleep = lambda seconds: None
        other.models()
    s2s("serve", "--config", service.config, "--detach")
    assert job.wait(timeout_s=300).result is not None


def test_ctrl_c_lets_running_requests_end_and_stops_the_service(service: Running, sparse: Path, start) -> None:
    process = start("serve", "--config", service.config)
    assert process.stdout.readline().startswith(service.url)
    with Load(service, sparse.read_bytes(), may_end=True) as load:
        until(lambda: load.statuses[200] >= 5)
        stopped_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=120)
        assert process.returncode == 0, words
        assert "running requests end first" in words
        assert "Traceback" not in words
    assert set(load.statuses) <= {200, 503}
    assert all(begun > stopped_at for begun in load.broken)
    with pytest.raises(httpx.ConnectError):
        service.ask("GET", "/healthz")
