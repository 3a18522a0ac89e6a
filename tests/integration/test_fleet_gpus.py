"""A fleet on a head that counts two graphics processors: shares after a measurement, and every figure that the dashboard asks for."""

import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from urllib.error import URLError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from s2s.contracts.atlas import AtlasPlan, AtlasRun
from s2s.contracts.run import GpuUse
from s2s.contracts.settings import Settings
from s2s.recipes.run import ledger_of
from s2s.stack import ray_head
from s2s.stack.credentials import ray_token
from s2s.stack.ports import choose_ports
from s2s.stack.processes import members, spawn, stop, wait_until_healthy

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "infra" / "grafana" / "s2s-atlas.json").read_text())
ORDINARY = [f"s-{number}" for number in range(4)]
EVERYTHING = [*ORDINARY, "faulty", "greedy"]
HIST = re.compile(r"_(bucket|count|sum)$")


@dataclass(frozen=True, kw_only=True)
class Head:
    """A Ray head with two processors that are not there, and what a driver must know of it."""

    ports: dict[str, int]
    settings: Settings
    env: dict[str, str]

    def launch(self, plan: AtlasPlan, pending: list[str], folder: Path) -> dict[str, object]:
        """Do runs of a plan as a process of its own, and give what it said."""
        (folder / "attempts").mkdir()
        (folder / "plan.json").write_text(plan.model_dump_json(), encoding="utf-8")
        script = Path(__file__).with_name("gpu_fleet.py")
        done = subprocess.run(
            [sys.executable, str(script), str(folder / "plan.json"), ",".join(pending), str(folder / "attempts")],
            env=self.env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def figures(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Name -> labels and value of every series that is exported now."""
        with urllib.request.urlopen(f"http://{ray_head.metrics_address(self.ports)}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found


@contextmanager
def head_with(s3_settings: Settings, **env: str) -> Iterator[Head]:
    """Start a head, with some variables of its own."""
    with tempfile.TemporaryDirectory(prefix="s2s-") as name:
        home = Path(name)
        ports, token = choose_ports(ray_head.PORTS, last={}), home / "token"
        ray_token(token)
        plain = ray_head.launch(home, home / "ray.log", ports, token, ("AWS_", "S2S_"))
        assert s3_settings.aws_access_key_id is not None
        assert s3_settings.aws_secret_access_key is not None
        store = {
            "S2S_S3_ENDPOINT": str(s3_settings.s3_endpoint),
            "S2S_BUCKET": s3_settings.bucket,
            "AWS_ACCESS_KEY_ID": s3_settings.aws_access_key_id.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": s3_settings.aws_secret_access_key.get_secret_value(),
        }
        record = spawn(replaced(plain, command=(*plain.command, "--num-gpus=2", "--num-cpus=4"), env={**plain.env, **store, **env}))
        try:
            wait_until_healthy(record, lambda: ray_head.is_healthy(ports), timeout_s=ray_head.START_TIMEOUT_S)
            assert members(record)
            driver = {"S2S_HOME": name, "S2S_RAY_ADDRESS": ray_head.address(ports), **ray_head.driver_environment(token)}
            yield Head(ports=ports, settings=s3_settings, env={**plain.inherited, **store, **driver})
        finally:
            stop(record)


@pytest.fixture(scope="module")
def head(s3_settings: Settings) -> Iterator[Head]:
    with head_with(s3_settings) as head:
        yield head


def plan_of(name: str) -> AtlasPlan:
    about = {"section": "none", "tissue": "none", "organism": "none", "technology": "none", "data_sha256": "", "is_synthetic": True}
    runs = tuple(
        AtlasRun(key=secrets.token_hex(8), section_id=section, seed=seed, num_bins=100 - seed, num_genes=1, **about)
        for seed, section in enumerate(EVERYTHING)
    )
    config = {
        "name": name,
        "sections": ["none"],
        "resources": {"cpus": 0.1, "gpus": 1, "memory_gb": 0.05},
        "prices": {"cpu_hour_usd": 0, "gpu_hour_usd": 10},
        "fleet": {"max_per_gpu": 8, "lease_s": 4},
        "budget_usd": 1000,
    }
    return AtlasPlan.model_validate({"config": config, "runs": runs, "code_version": "test", "created_at": "now"})


def test_runs_share_a_processor_once_the_first_was_measured_and_prometheus_hears_of_it(head: Head, tmp_path: Path) -> None:
    told = head.launch(plan_of("probed"), EVERYTHING, tmp_path)
    attempts = told["attempts"]
    assert isinstance(attempts, list)
    assert told["done"] == 5
    assert len(attempts) == 7, "one was tried twice"
    assert all(attempt["given"] == attempt["asked"] for attempt in attempts), "Ray gave what the run was told that it has"
    by_section: dict[str, list[float]] = {}
    for attempt in attempts:
        by_section.setdefault(attempt["section"], []).append(attempt["asked"])
    first = {section for section, asked in by_section.items() if asked[0] == 1.0}
    assert first == {"s-0", "s-1"}, "one per processor, the largest sections, before anything was known"
    assert {asked[0] for section, asked in by_section.items() if section not in first} == {0.25}
    assert by_section["greedy"] == [0.25, 0.5], "whoever runs out of memory gets twice as much"

    # 36 s at 10 USD an hour are 0.1 USD of a whole processor; an attempt that failed pays for its share as well.
    cost = 0.1 * sum(attempt["asked"] for attempt in attempts)
    assert cost == pytest.approx(0.1 * (2 * 1 + 4 * 0.25 + 0.5))
    assert told["cost_usd"] == pytest.approx(cost)

    figures = wait_for(head, "ray_s2s_atlas_runs_done_total")
    mine = {name: [(labels, value) for labels, value in series if labels.get("atlas") == "probed"] for name, series in figures.items()}
    assert total(mine, "ray_s2s_atlas_runs_done_total") == 5
    assert total(mine, "ray_s2s_atlas_runs_failed_total", cause="bad-input") == 1
    assert total(mine, "ray_s2s_atlas_runs_retried_total", cause="out-of-memory") == 1
    assert total(mine, "ray_s2s_atlas_cost_usd_total") == pytest.approx(cost)
    assert total(mine, "ray_s2s_atlas_budget_usd") == 1000
    states = {labels["state"]: value for labels, value in mine["ray_s2s_atlas_runs"]}
    assert states == {"done": 5, "failed": 1, "handed_in": 0, "waiting": 0}
    for name, bound in (
        ("ray_s2s_run_seconds", "60.0"),
        ("ray_s2s_run_peak_memory_bytes", str(2.0**30)),
        ("ray_s2s_run_peak_gpu_bytes", str(2.0**34)),
    ):
        assert total(mine, f"{name}_count", stage="train") == 5
        assert total(mine, f"{name}_bucket", stage="train", le=bound) == 5
    assert total(mine, "ray_s2s_run_seconds_bucket", le="30.0") == 0

    assert asked_for() <= mine.keys() & {name for name, series in mine.items() if series}, (
        "the dashboard asks for nothing that is not there"
    )
    ours = {HIST.sub("", name) for name, series in figures.items() if name.startswith("ray_s2s_")}
    assert ours == {HIST.sub("", name) for name in asked_for()}, "and shows everything there is"


def test_a_pilot_that_was_measured_spares_the_next_launch_the_probe(head: Head, tmp_path: Path) -> None:
    plan, ledger = plan_of("piloted"), ledger_of(head.settings)
    lease = ledger.take(plan.runs[0].key, lease_s=60)
    assert lease is not None
    ledger.commit(lease, gpu=GpuUse(share=1.0, peak_bytes=30 * 10**9, total_bytes=80 * 10**9))
    told = head.launch(plan, ["s-1", "s-2"], tmp_path)
    attempts = told["attempts"]
    assert isinstance(attempts, list)
    assert {attempt["asked"] for attempt in attempts} == {0.5}, "0.85 * 80 over 30.6: two"


def test_where_ray_exports_nothing_a_launch_goes_on_as_ever(s3_settings: Settings, tmp_path: Path) -> None:
    with head_with(s3_settings, RAY_enable_metrics_collection="0") as mute:
        assert mute.launch(plan_of("mute"), ["s-0", "faulty"], tmp_path)["done"] == 1
        with pytest.raises(URLError):
            mute.figures()


def wait_for(head: Head, name: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What is exported, as soon as a name is: the launcher's last word goes out when it ends."""
    deadline = time.monotonic() + 60
    while name not in (figures := head.figures()):
        assert time.monotonic() < deadline, f"{name} was not exported within a minute"
        time.sleep(0.5)
    return figures


def total(figures: dict[str, list[tuple[dict[str, str], float]]], name: str, **labels: str) -> float:
    return sum(value for found, value in figures[name] if labels.items() <= found.items())


def asked_for() -> set[str]:
    """Names of figures in the panels and variables of the dashboard."""
    words = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    words += [str(variable["query"]) for variable in DASHBOARD["templating"]["list"]]
    return set(re.findall(r"ray_s2s_\w+", " ".join(words)))
