"""`s2s serve` against `mlflow models serve`: the same release and machine, with 1, 8 and 32 clients; and memory over many requests.

A request is a whole small section, 60 genes on 24 x 24 bins of which a quarter was measured; both answer with its imputed mean. Each
speaks its own language: counts as npz there and back, and planes as JSON, all that `mlflow models serve` takes for such tensors.
"""

import asyncio
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from s2s.contracts.loading import merge, read_preset
from s2s.contracts.run import RunConfig
from s2s.contracts.settings import load_settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.run import silent
from s2s.recipes.serving.tokens import create_token
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source
from s2s.stack import local
from s2s.stack.env_file import read_env_file
from s2s.stack.ports import choose_ports

SIDE, GENES = 24, 60
CLIENTS, SECONDS, ROUNDS = (1, 8, 32), 20.0, 2
SMALL_REQUESTS = 10_000
MODEL = "s2s-synthetic-glands"
RIVALS = {"mlflow": 2, "mlflow on one thread": 1}
"""Threads of torch and BLAS in `mlflow models serve`: as many as there are cores, as usual, and one, which small matrices like better."""


@contextmanager
def a_stack(home: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_HOME", str(home))
        try:
            local.up(home, lambda what: None)
            yield
        finally:
            local.down(home, lambda what: None)


def train() -> None:
    settings = load_settings()
    section = open_source(SyntheticTissue(kind="glands"), settings, silent)
    given = {"name": "bench", "section": section.uri, "training": {"max_steps": 40, "validate_every": 20}, "resources": {"cpus": 1}}
    single_shot(RunConfig.model_validate(merge(read_preset("laptop"), given)), settings)


@contextmanager
def ours(home: Path, port: int) -> Iterator[None]:
    say = (sys.executable, "-m", "s2s", "serve")
    given = ("--set", f"port={port}", "--set", "replicas.min=2", "--set", "limits.requests_per_minute=10000000")
    subprocess.run((*say, "--detach", *given), check=True, timeout=300, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run((*say, "--stop"), check=True, timeout=120, stdout=subprocess.DEVNULL)


@contextmanager
def theirs(home: Path, port: int, threads: int) -> Iterator[None]:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"MLFLOW_TRACKING_URI": str(load_settings().mlflow_uri), "PATH": tools, "OMP_NUM_THREADS": str(threads)}
    environment = {**os.environ, **read_env_file(home / "stack.env"), **own}
    command = ("-m", "mlflow", "models", "serve", "-m", f"models:/{MODEL}@champion", "--env-manager", "local", "--port", str(port))
    server = subprocess.Popen((sys.executable, *command), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/ping")
        yield
    finally:
        for child in psutil.Process(server.pid).children(recursive=True):
            child.terminate()
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise TimeoutError(url)


def section(side: int = SIDE, genes: int = GENES) -> tuple[np.ndarray, np.ndarray]:
    """Counts at every second row and column, and which those are."""
    observed = np.zeros((side, side), bool)
    observed[::2, ::2] = True
    level = 6 + 4 * np.sin(np.arange(side)[:, None] / 4 + np.arange(genes)[:, None, None]) * np.cos(np.arange(side) / 5)
    return np.where(observed, np.random.default_rng(0).poisson(level), 0).astype(np.uint16), observed


def as_npz(counts: np.ndarray, observed: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.savez(body, values=counts, genes=np.array([f"g{index}" for index in range(len(counts))]), observed=observed)
    return body.getvalue()


def as_json(counts: np.ndarray, observed: np.ndarray) -> bytes:
    total = np.maximum(counts.sum(axis=0), 1)
    values = np.where(observed, np.log1p(counts / total * np.median(total[observed])), np.nan).round(5)
    planes = np.stack([values, np.ones_like(values)], axis=1).astype(np.float32)
    return json.dumps({"inputs": {"input": planes.tolist()}}).encode()


async def load(url: str, headers: dict[str, str], body: bytes, clients: int, seconds: float) -> dict[str, float]:
    """Ask with some clients at once, each again as soon as it is answered."""
    times: list[float] = []
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(limits=limits, timeout=300, headers=headers) as client:
        assert (await client.post(url, content=body)).is_success
        started = time.perf_counter()

        async def one() -> None:
            while time.perf_counter() - started < seconds:
                begun = time.perf_counter()
                answer = await client.post(url, content=body)
                assert answer.status_code == 200, answer.text[:300]
                times.append(time.perf_counter() - begun)

        await asyncio.gather(*(one() for _ in range(clients)))
        took = time.perf_counter() - started
    ordered = sorted(times)
    return {"per_s": len(times) / took, "p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]}


@pytest.mark.timeout(3600)
def test_throughput_and_latency(benchmark) -> None:
    found: dict[str, float] = {}

    def measure() -> None:
        with tempfile.TemporaryDirectory(prefix="s2s-") as folder, a_stack(Path(folder)):
            train()
            token, _ = create_token("bench", load_settings(is_local=False), tissues=None, actions=("impute",), days=1)
            port = choose_ports(("http",), last={})["http"]
            counts, observed = section()
            npz = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-npz", "Accept": "application/x-npz"}
            asked = (f"http://127.0.0.1:{port}/v1/impute?tissue=glands&uncertainty=false", npz, as_npz(counts, observed))
            theirs_asked = (f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}, as_json(counts, observed))
            sides = {"s2s": (ours, asked), **{rival: (partial(theirs, threads=threads), theirs_asked) for rival, threads in RIVALS.items()}}
            rounds: dict[str, list[float]] = {}
            for _ in range(ROUNDS):  # one at a time, in turn: there are two cores
                for name, (serve, request) in sides.items():
                    with serve(Path(folder), port):
                        for clients in CLIENTS:
                            for key, value in asyncio.run(load(*request, clients, SECONDS)).items():
                                rounds.setdefault(f"{name}, {clients} clients, {key}", []).append(value)
            found.update({name: statistics.median(values) for name, values in rounds.items()})
            for clients, rival, key in itertools.product(CLIENTS, RIVALS, ("per_s", "p99")):
                own, other = (found[f"{side}, {clients} clients, {key}"] for side in ("s2s", rival))
                found[f"{key}, x {rival}, {clients} clients"] = own / other
            found["body, kB, s2s"], found["body, kB, mlflow"] = (len(request[2]) / 1e3 for request in (asked, theirs_asked))

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 4) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info, indent=1))  # noqa: T201


@pytest.mark.timeout(3600)
def test_memory_over_many_requests(benchmark) -> None:
    found: dict[str, float] = {}

    async def many(url: str, headers: dict[str, str], body: bytes, number: int) -> None:
        left = iter(range(number))
        async with httpx.AsyncClient(timeout=300, headers=headers) as client:

            async def one() -> None:
                for _ in left:
                    assert (await client.post(url, content=body)).status_code == 200

            await asyncio.gather(*(one() for _ in range(8)))

    def memory() -> float:
        """Megabytes of the processes of Serve."""
        found = psutil.process_iter(["name", "cmdline", "memory_info"])
        serve = (each.info for each in found if "Serve" in " ".join(each.info["cmdline"] or ()) + (each.info["name"] or ""))
        return sum(info["memory_info"].rss for info in serve if info["memory_info"]) / 1e6

    def measure() -> None:
        with tempfile.TemporaryDirectory(prefix="s2s-") as folder, a_stack(Path(folder)):
            train()
            token, _ = create_token("bench", load_settings(is_local=False), tissues=None, actions=("impute",), days=1)
            port = choose_ports(("http",), last={})["http"]
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-npz"}
            url = f"http://127.0.0.1:{port}/v1/impute?tissue=glands&uncertainty=false"
            with ours(Path(folder), port):
                for part in range(1, 6):
                    asyncio.run(many(url, headers, as_npz(*section(8, 4)), SMALL_REQUESTS // 5))
                    found[f"after {part * SMALL_REQUESTS // 5} requests, MB"] = memory()

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 1) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info, indent=1))  # noqa: T201
