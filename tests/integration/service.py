"""A service for tests: two versions of a model that trains in seconds, `s2s serve` on the shared stack, and whoever asks it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anndata
import httpx
import numpy as np
import psutil

from s2s.contracts.run import RunConfig
from s2s.contracts.settings import Settings, load_settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.run import silent
from s2s.recipes.serving.tokens import create_token
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source
from s2s.stack.ports import choose_ports
from s2s.tracking.releases import resolve_alias

TISSUE, MODEL, SECTION = "spleen", "s2s-synthetic-spleen", "synthetic-spleen"
SERVE = """\
kind: service
version: 1
port: {port}
follow_s: 1
replicas: {{min: 1, max: 1, cpus: 0.25}}
limits: {{body_bytes: 1000000, bins: 20000, side: 500, genes: 500, values: 500000, jobs_per_token: 2, requests_per_minute: 100000}}
jobs: {{cpus: 0.25, lease_s: 4, poll_s: 0.5}}
"""
NETWORK = {"features": 8, "blocks": 1, "layers": 2, "growth": 4, "window": 4, "heads": 2, "cascades": 1, "fill": "smooth"}
TRAINING = {"max_steps": 20, "batch": 4, "window": 16, "validate_every": 10, "precision": "float32"}
H5AD, NPZ = "application/x-hdf5", "application/x-npz"
ACTIONS = ("impute", "jobs", "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that answers, and a token that opens it."""

    url: str
    token: str
    settings: Settings
    config: Path | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One request, as a stranger would send it; `Content_Type="..."` is a header."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = httpx.request(
            method, self.url + path, content=body, headers={"Authorization": f"Bearer {self.token}", **given}, timeout=150
        )
        return answer.status_code, dict(answer.headers), answer.content


def s2s(*words: object) -> str:
    """Say `s2s WORDS` in a process of its own; what it printed."""
    done = subprocess.run([sys.executable, "-m", "s2s", *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.2)


def train(seed: int) -> None:
    """Train one more version of the model, in this process."""
    settings = load_settings()
    section = open_source(SyntheticTissue(id=SECTION, tissue=TISSUE, height=32, width=32, num_genes=8), settings, silent)
    given = {"name": f"spleen-{seed}", "section": section.uri, "seed": seed, "network": NETWORK, "training": TRAINING}
    single_shot(RunConfig.model_validate({**given, "resources": {"cpus": 1, "memory_gb": 1}}), settings)


def sparse_section(path: Path, side: int = 12) -> anndata.AnnData:
    """Write spots 50 um apart, Poisson counts of eight genes."""
    rows, columns = np.mgrid[0:side, 0:side].reshape(2, -1)
    level = 38 + 20 * np.sin(columns[:, None] / 3 + np.arange(8))
    adata = anndata.AnnData(np.random.default_rng(0).poisson(level).astype(np.float32))
    adata.var_names = [f"SYN{index + 1:04d}" for index in range(8)]
    adata.obsm["spatial"] = np.column_stack([columns, rows]) * 50.0
    adata.write_h5ad(path)
    return adata


@contextmanager
def serving(folder: Path) -> Iterator[Running]:
    """Train two versions, the first of them champion, and serve."""
    for seed in (1, 2):
        train(seed)
    settings = load_settings(is_local=False)
    if resolve_alias(f"models:/{MODEL}@champion", settings) != f"models:/{MODEL}/1":
        s2s("models", "promote", MODEL, 1)
    port = choose_ports(("http",), last={})["http"]
    config = folder / "serve.yaml"
    config.write_text(SERVE.format(port=port))
    token, _ = create_token("tests", settings, tissues=None, actions=ACTIONS, days=1)
    try:
        s2s("serve", "--config", config, "--detach")
        yield Running(url=f"http://127.0.0.1:{port}", token=token, settings=settings, config=config)
    finally:
        s2s("serve", "--stop")


def replica_of(service: Running) -> psutil.Process:
    """The process that imputes."""
    found = [each for each in psutil.process_iter(["name", "cmdline"]) if _is_replica(each, service)]
    (replica,) = found
    return replica


def _is_replica(process: psutil.Process, service: Running) -> bool:
    words = " ".join(process.info["cmdline"] or ()) + (process.info["name"] or "")
    return "ServeReplica:s2s:imputers" in words and process.environ().get("S2S_HOME") == str(service.settings.home)
