"""An atlas that is hurt in every way it can be: each run is done exactly once, with the very result of an undisturbed one."""

import json
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pytest
import yaml

from chaos.cluster import Cluster
from chaos.conftest import Servers
from chaos.doubles import Metadata
from chaos.hosts import Host
from chaos.programs import Program
from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasStatus
from s2s.contracts.loading import atlas_run_config, validate
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.errors import MissingError, StorageError
from s2s.recipes.atlas.status import find_plan
from s2s.recipes.run import ledger_of, silent
from s2s.recipes.single_shot import single_shot
from s2s.recipes.sources import open_source
from s2s.storage.location import join
from s2s.storage.objects import list_names, read_bytes
from s2s.tracking.server import MLFLOW_PARENT_TAG, connect

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

NAMES = ("a", "b", "c", "d")
ATLAS = {
    "kind": "atlas",
    "version": 1,
    "preset": None,
    "sections": [
        {"kind": "layers", "id": f"synthetic-{name}", "tissue": "cortex", "height": 32, "width": 32, "num_genes": 8, "seed": seed}
        for seed, name in enumerate(NAMES)
    ],
    "set": {
        "photographs": None,
        "network": {"features": 8, "blocks": 1, "layers": 2, "growth": 4, "window": 4, "heads": 2, "cascades": 2, "fill": "smooth"},
        "training": {"max_steps": 300, "batch": 4, "window": 16, "validate_every": 50, "precision": "float32", "checkpoint_every_s": 0.5},
        "imputation": {"tile": 32, "overlap": 8},
    },
    "resources": {"cpus": 1, "memory_gb": 0.2},
    "fleet": {"bundle_s": 1, "lease_s": 10},
}


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """One atlas of one test: launched on the head's host, looked at from here."""

    cluster: Cluster
    operator: Settings
    name: str

    @property
    def plan(self) -> AtlasPlan:
        return find_plan(self.name, self.operator)

    def launch(self) -> Program:
        disk = self.cluster.head.disk
        (disk / "atlas.yaml").write_text(yaml.safe_dump(config(self.name).model_dump(mode="json")), encoding="utf-8")
        words = ("atlas", "run", self.cluster.head.disk_inside / "atlas.yaml", "--json", "--out", self.cluster.head.disk_inside / "out")
        return self.cluster.start_driver(f"launcher-{secrets.token_hex(2)}", [sys.executable, "-m", "s2s", *words])

    def wait_until(self, is_reached: Callable[[], bool], launcher: Program, *, timeout_s: float = 180) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert launcher.is_running, launcher.tail()
            with suppress(MissingError, StorageError):
                if is_reached():
                    return
            time.sleep(0.1)
        raise AssertionError(f"not reached in {timeout_s} s\n{launcher.tail()}")

    def has_checkpoint_of(self, host: Host) -> bool:
        """Whether a run at work on a host has saved its state."""
        for run in self.plan.runs:
            ledger = ledger_of(self.operator)
            lease = ledger.last_lease(run.key)
            if lease is not None and lease.holder.startswith(f"{host.name}:") and ledger.find_commit(run.key) is None:
                return "checkpoint" in list_names(join(self.operator.root, "runs", run.key, lease.attempt), self.operator)
        return False

    def finish(self, launcher: Program, *, timeout_s: float = 600) -> AtlasStatus:
        code = launcher.wait(timeout_s)
        assert code == 0, launcher.tail()
        return AtlasStatus.model_validate_json(launcher.output().splitlines()[-1])

    def causes(self) -> set[str]:
        ledger = ledger_of(self.operator)
        survey = ledger.survey()
        return {
            failure.cause for failure in ledger.read_failures([(key, token) for key, some in survey.failures.items() for token in some])
        }


def config(name: str) -> AtlasConfig:
    return validate(AtlasConfig, {**ATLAS, "name": name, "tracking": {"experiment": name}}, where="test")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Section -> hash of the weights of the same run, done here by itself."""
    settings, atlas = Settings(home=tmp_path_factory.mktemp("undisturbed"), is_local=True), config("undisturbed")
    hashes = {}
    for source in atlas.sections:
        assert isinstance(source, SyntheticTissue)
        report = single_shot(atlas_run_config(atlas, open_source(source, settings, silent).uri, 0), settings)
        hashes[source.id] = weights_of(report.folder, settings)
    return hashes


def weights_of(folder: str, settings: Settings) -> str:
    return str(json.loads(read_bytes(join(folder, "release.json"), settings))["weights_sha256"])


@pytest.fixture
def atlas(cluster: Cluster, operator: Settings) -> Atlas:
    return Atlas(cluster=cluster, operator=operator, name=f"chaos-{secrets.token_hex(3)}")


def check(atlas: Atlas, status: AtlasStatus, undisturbed: dict[str, str]) -> None:
    """Every run is committed once, is the undisturbed one, is whole, and is in MLflow once."""
    assert (status.count("done"), len(status.runs)) == (len(NAMES), len(NAMES))
    found = {}
    for run in atlas.plan.runs:
        commit = ledger_of(atlas.operator).find_commit(run.key)
        assert commit is not None
        folder = join(atlas.operator.root, "runs", run.key, commit.attempt)
        assert {"report.json", "release.json", "weights.safetensors", "records.jsonl"} <= set(list_names(folder, atlas.operator))
        found[run.section_id] = weights_of(folder, atlas.operator)
    assert found == undisturbed
    assert sections_in_mlflow(atlas) == sorted(undisturbed)


def sections_in_mlflow(atlas: Atlas) -> list[str]:
    client = connect(atlas.operator).client
    runs = client.search_runs([client.get_experiment_by_name(atlas.name).experiment_id])
    return sorted(
        run.data.tags["section"] for run in runs if run.data.tags.get("kind") == "atlas run" and MLFLOW_PARENT_TAG in run.data.tags
    )


def test_a_killed_worker_process(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, host = atlas.launch(), atlas.cluster.workers[0]
    atlas.wait_until(lambda: atlas.has_checkpoint_of(host), launcher)
    for process in host.processes("ray::"):
        if "s2s atlas" in " ".join(process.cmdline()):
            process.kill()
    check(atlas, atlas.finish(launcher), undisturbed)
    assert atlas.causes() == {"lost"}


def test_a_killed_raylet(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, host = atlas.launch(), atlas.cluster.workers[0]
    atlas.wait_until(lambda: atlas.has_checkpoint_of(host), launcher)
    (raylet,) = host.processes("raylet/raylet")
    raylet.kill()
    check(atlas, atlas.finish(launcher), undisturbed)
    assert atlas.causes() == {"lost"}


def test_a_killed_host(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, host = atlas.launch(), atlas.cluster.workers[0]
    atlas.wait_until(lambda: atlas.has_checkpoint_of(host), launcher)
    host.kill()
    check(atlas, atlas.finish(launcher), undisturbed)
    assert atlas.causes() == {"lost"}


def test_a_host_that_was_cut_off_comes_back_and_overwrites_nothing(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, host = atlas.launch(), atlas.cluster.workers[0]
    atlas.wait_until(lambda: atlas.has_checkpoint_of(host), launcher)
    started = time.monotonic()
    host.cut()
    status = atlas.finish(launcher)
    commits = {run.key: ledger_of(atlas.operator).find_commit(run.key) for run in atlas.plan.runs}
    time.sleep(max(0.0, 60 - (time.monotonic() - started)))
    host.give_back()
    time.sleep(20)
    assert {run.key: ledger_of(atlas.operator).find_commit(run.key) for run in atlas.plan.runs} == commits
    check(atlas, status, undisturbed)


def test_a_killed_head_and_with_it_the_launcher(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, cluster = atlas.launch(), atlas.cluster
    atlas.wait_until(lambda: atlas.has_checkpoint_of(cluster.workers[0]), launcher)
    cluster.head.kill()
    for worker in cluster.workers:
        cluster.kill_member(worker)
    cluster.start()
    check(atlas, atlas.finish(atlas.launch()), undisturbed)


def test_a_killed_ray_head_ends_the_launcher_with_a_word(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, cluster = atlas.launch(), atlas.cluster
    atlas.wait_until(lambda: atlas.has_checkpoint_of(cluster.workers[0]), launcher)
    for member in (cluster.head, *cluster.workers):
        cluster.kill_member(member)
    assert launcher.wait(180) == 2, launcher.tail()
    assert f"expected the Ray head at {cluster.address} to answer" in launcher.tail()
    assert "Traceback" not in launcher.output()
    cluster.start()
    check(atlas, atlas.finish(atlas.launch()), undisturbed)


def test_s3_hangs_for_half_a_minute(atlas: Atlas, servers: Servers, undisturbed: dict[str, str]) -> None:
    launcher = atlas.launch()
    atlas.wait_until(lambda: atlas.has_checkpoint_of(atlas.cluster.workers[0]), launcher)
    servers.s3.stop()
    time.sleep(30)
    servers.s3.go_on()
    check(atlas, atlas.finish(launcher), undisturbed)


def test_one_s3_call_of_twenty_fails(faulty_cluster: Cluster, servers: Servers, operator: Settings, undisturbed: dict[str, str]) -> None:
    atlas = Atlas(cluster=faulty_cluster, operator=operator, name=f"chaos-{secrets.token_hex(3)}")
    servers.faulty_s3.order(refuse=0.02, break_request=0.015, break_response=0.015)
    status = atlas.finish(atlas.launch())
    counts = servers.faulty_s3.counts()
    assert min(counts["refuse"], counts["break_request"] + counts["break_response"]) >= 1
    check(atlas, status, undisturbed)


def test_mlflow_hangs_for_two_minutes(atlas: Atlas, servers: Servers, undisturbed: dict[str, str]) -> None:
    launcher = atlas.launch()
    atlas.wait_until(lambda: atlas.has_checkpoint_of(atlas.cluster.workers[0]), launcher)
    started = time.monotonic()
    servers.mlflow.stop()
    atlas.wait_until(lambda: len(ledger_of(atlas.operator).survey().commits) == len(NAMES), launcher)
    assert time.monotonic() - started < 120, "a server that hangs stops no training"
    time.sleep(max(0.0, 120 - (time.monotonic() - started)))
    servers.mlflow.go_on()
    atlas.finish(launcher)
    check(atlas, atlas.finish(atlas.launch()), undisturbed)


def test_a_full_disk(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, host = atlas.launch(), atlas.cluster.workers[0]
    atlas.wait_until(lambda: atlas.has_checkpoint_of(host), launcher)
    host.fill_disk()
    check(atlas, atlas.finish(launcher), undisturbed)


def test_a_machine_that_is_taken_back_with_notice(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher, host = atlas.launch(), atlas.cluster.workers[0]
    cloud = Metadata(host)
    watch = host.start("watch", [sys.executable, "-m", "s2s", "node", "watch", "--every-s", "0.5"], atlas.cluster.env)
    atlas.wait_until(lambda: atlas.has_checkpoint_of(host), launcher)
    cloud.give_notice(seconds=120)
    check(atlas, atlas.finish(launcher), undisturbed)
    assert watch.wait(60) == 0, watch.tail()
    assert atlas.causes() == {"preempted"}


def test_two_launchers_at_once(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    both = [atlas.launch() for _ in range(2)]
    for status in [atlas.finish(launcher) for launcher in both]:
        check(atlas, status, undisturbed)


def test_ctrl_c_and_again(atlas: Atlas, undisturbed: dict[str, str]) -> None:
    launcher = atlas.launch()
    atlas.wait_until(lambda: atlas.has_checkpoint_of(atlas.cluster.workers[0]), launcher)
    launcher.send(signal.SIGINT)
    assert launcher.wait(60) == 130, launcher.tail()
    assert not [process for host in atlas.cluster.workers for process in host.processes("s2s atlas") if _is_busy(process)]
    check(atlas, atlas.finish(atlas.launch()), undisturbed)
    assert atlas.causes() <= {"stopped"}


def _is_busy(process: psutil.Process) -> bool:
    try:
        return process.cpu_percent(1.0) > 50
    except psutil.NoSuchProcess:
        return False
