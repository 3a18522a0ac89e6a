"""What an atlas asks of S3, counted by a proxy in front of a real server, against what `s2s atlas plan` foretells."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasRun
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.recipes.atlas.estimate import estimate
from s2s.recipes.atlas.launching import launch_atlas
from s2s.recipes.atlas.plan import make_plan
from s2s.recipes.atlas.status import survey_atlas
from s2s.recipes.atlas.work import Finished, do_run
from s2s.recipes.run import silent

PROXY = Path(__file__).parents[1] / "chaos" / "faulty_s3.py"
Counts = dict[str, int]


@pytest.fixture
def counted(s3_settings: Settings, mlflow_server: str, tmp_path: Path) -> Iterator[tuple[Settings, Callable[[], Counts]]]:
    """Settings that lead through the proxy, and what it counted since the last call."""
    port = free_pair_of_ports()
    program = subprocess.Popen([sys.executable, PROXY, "127.0.0.1", str(port), str(s3_settings.s3_endpoint)], stdout=subprocess.PIPE)
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    url = f"http://127.0.0.1:{port + 1}"

    def counts() -> Counts:
        found: Counts = json.loads(ask(f"{url}/counts").read())
        order = urllib.request.Request(f"{url}/faults", b'{"seed": 0}', {"Content-Type": "application/json"}, method="PUT")  # noqa: S310
        ask(order).close()
        return found

    changes = {"s3_endpoint": f"http://127.0.0.1:{port}", "mlflow_uri": mlflow_server, "home": tmp_path / "home", "cache_bytes": 0}
    try:
        assert program.stdout is not None
        program.stdout.readline()  # it serves
        yield s3_settings.model_copy(update=changes), counts
    finally:
        program.terminate()
        program.communicate()


def free_pair_of_ports() -> int:
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                time.sleep(0.01)
            else:
                return port
    raise AssertionError("no two free ports beside each other")


def in_this_process(plan: AtlasPlan, pending: Sequence[AtlasRun], settings: Settings, finished: Finished) -> None:
    """Do runs here, where these settings hold: a process of its own would read the environment's."""
    for run in pending:
        assert do_run(run, plan.config, settings).state == "done"
        finished(run)


def test_the_estimate_is_near_what_a_real_store_counts(counted: tuple[Settings, Callable[[], Counts]]) -> None:
    settings, counts = counted
    tissue = SyntheticTissue(kind="layers", id="synthetic-counted", tissue="cortex", height=40, width=40, num_genes=24)
    about = {"set": {"training": {"max_steps": 2}}, "resources": {"cpus": 1}, "releases": None}
    config = AtlasConfig(name="counted", sections=(tissue,), seeds=(0, 1), **about)
    plan = make_plan(config, settings, silent)  # ingests section and photographs, which the estimate takes for granted
    guess = estimate(plan, survey_atlas(plan, settings))
    counts()
    launched = launch_atlas(config, settings, silent, in_this_process)
    made = counts()
    assert launched.status.count("done") == 2
    # Plan, map, pages and the lists of the ledger are written and read once per launch, however many runs it has.
    per_launch = {"PUT": 5, "LIST": 8}
    assert 1 / 1.5 < guess.s3_writes / (made["PUT"] + made["LIST"] - sum(per_launch.values())) < 1.5, made
    assert 1 / 1.5 < guess.s3_reads / (made["GET"] + made["HEAD"]) < 1.5, made
    assert 1 / 1.5 < guess.s3_bytes_written / made["bytes_written"] < 1.5, made
    assert 1 / 1.5 < guess.s3_bytes_read / made["bytes_read"] < 1.5, made
