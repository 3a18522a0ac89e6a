"""1,229 section runs with their curves go to MLflow on Postgres while the fleet works; the server is away for two minutes.

Measured: how much the fleet is held up, how long shipping takes and what each run costs server and database, how long a search
by tissue takes, and that every run is there once, with every point. Rival: the same fleet with nobody recording.
"""

import json
import math
import re
import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from benchmarks import mlflow_postgres as servers
from benchmarks import noop
from s2s.contracts.atlas import AtlasPlan, AtlasTracking
from s2s.contracts.run import RunReport
from s2s.contracts.settings import Settings, load_settings
from s2s.orchestration.fleet import run_fleet
from s2s.recipes.atlas.records import AtlasRecorder
from s2s.recipes.atlas.work import JOURNAL
from s2s.recipes.run import ledger_of
from s2s.stack import local
from s2s.storage.location import join
from s2s.storage.objects import write_bytes
from s2s.tracking.journal import Journal
from s2s.tracking.server import connect

NUM_SECTIONS, NUM_NOOPS, AWAY_S = 1_229, 4_000, 120.0
TISSUES = tuple(f"tissue {number}" for number in range(20))
CURVES = ("train/loss", "train/sparse_to_dense", "train/photo_sparse_to_dense", "train/gradient_norm", "validation/error")
SCORES = ("pcc", "mae", "rmse", "ssim", "moran_truth", "moran_imputed")
FINAL = ("network/trust", "coverage/of_50", "coverage/of_80", "coverage/of_90", *(f"test/{name}" for name in SCORES))
STEPS, NUM_PARAMS, NUM_JOURNALS = 3_000, 60, 20
"""Steps of preset `atlas`; at 80 points per curve."""
REPORT = Path(__file__).parents[2] / "schemas" / "examples" / "valid" / "run_report.v1--scored.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    settings: Settings
    database: str
    postgres: servers.Server
    mlflow: servers.Server


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="s2s-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres is another user
        with servers.postgres(folder / "postgres") as (postgres, database), servers.mlflow_on(database, folder) as (mlflow, uri):
            mlflow.start()
            patch.setenv("S2S_HOME", str(folder / "home"))
            patch.setenv("S2S_MLFLOW_URI", uri)
            try:
                local.up(folder / "home", lambda what: None)
                yield Place(settings=load_settings(), database=database, postgres=postgres, mlflow=mlflow)
            finally:
                import ray  # noqa: PLC0415 - it reads its environment when imported

                ray.shutdown()
                local.down(folder / "home", lambda what: None)


def journal_of(number: int) -> bytes:
    """What a real run of some length tells: five curves, and its final figures."""
    journal = Journal()
    journal.params({f"group.key_{key}": str(key + number) for key in range(NUM_PARAMS)})
    for step in range(1, STEPS + 1):
        journal.metrics({name: math.exp(-step / 100) + number * 1e-4 for name in CURVES}, step)
    journal.metrics(dict.fromkeys(FINAL, 0.5 + number * 1e-05), 0)
    journal.close("finished")
    return journal.data()


def finished_sections(settings: Settings, num: int) -> AtlasPlan:
    """An atlas whose runs have all their commit, report and journal, and none of which MLflow knows."""
    plan = noop.plan_of(num)
    runs = tuple(run.model_copy(update={"tissue": TISSUES[number % len(TISSUES)]}) for number, run in enumerate(plan.runs))
    ledger, report, journals = ledger_of(settings), REPORT.read_bytes(), [journal_of(number) for number in range(NUM_JOURNALS)]
    RunReport.model_validate_json(report)
    for number, run in enumerate(runs):
        lease = ledger.take(run.key, lease_s=60)
        assert lease is not None
        folder = join(settings.root, "runs", run.key, lease.attempt)
        write_bytes(join(folder, "report.json"), report, settings)
        write_bytes(join(folder, JOURNAL), journals[number % NUM_JOURNALS], settings)
        ledger.commit(lease)
    name = f"sections-{secrets.token_hex(3)}"
    config = plan.config.model_copy(update={"name": name, "tracking": AtlasTracking(experiment=name)})
    return plan.model_copy(update={"config": config, "runs": runs})


def fleet_s(settings: Settings) -> float:
    plan = noop.plan_of(NUM_NOOPS)
    started = time.monotonic()
    assert run_fleet(plan, plan.runs, settings, noop.SILENT, noop.do_nothing).done
    return time.monotonic() - started


def num_recorded(place: Place, plan: AtlasPlan) -> int:
    return len(ask(place, f"select value from {runs_of(plan)} and r.status = 'FINISHED'"))  # noqa: S608 - names are ours


def runs_of(plan: AtlasPlan) -> str:
    """The section runs of an atlas and their keys, to select from."""
    experiment = plan.config.tracking.experiment
    return (
        f"tags t join runs r using (run_uuid) join experiments e using (experiment_id) where e.name = '{experiment}' and t.key = 'run_key'"
    )


def ask(place: Place, query: str) -> list[tuple[int, ...]]:
    connection = psycopg2.connect(place.database.replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


def outage(place: Place, plan: AtlasPlan, said: dict[str, float]) -> None:
    """Kill the server once a third of the runs is there; bring it back two minutes later."""
    while num_recorded(place, plan) < len(plan.runs) // 3:
        time.sleep(0.2)
    place.mlflow.kill()
    said["recorded before the outage"] = num_recorded(place, plan)
    time.sleep(AWAY_S)
    place.mlflow.start()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("is_away", [pytest.param(False, id="server up"), pytest.param(True, id="server away for two minutes")])
def test_a_thousand_journals(benchmark, place: Place, is_away: bool) -> None:
    settings = place.settings
    noop.make_ready(settings)
    before_s = fleet_s(settings)
    plan = finished_sections(settings, NUM_SECTIONS)
    log_size, cpu_s = place.mlflow.log.stat().st_size, (place.mlflow.cpu_s(), place.postgres.cpu_s(), time.process_time())
    said: dict[str, float] = {}
    killer = threading.Thread(target=outage, args=(place, plan, said))
    meanwhile: list[float] = []

    def ship() -> None:
        recorder = AtlasRecorder(plan, settings)
        recorder.start()
        if is_away:
            killer.start()
        meanwhile.append(fleet_s(settings))
        if is_away:
            killer.join()
        recorder.close()

    benchmark.pedantic(ship, rounds=1, iterations=1)
    check_all_is_there(place, plan)
    num, info = len(plan.runs), benchmark.extra_info
    requests = Counter(re.findall(r'"(?:GET|POST) /api/2.0/mlflow/(\S+?)(?:\?\S*)? HTTP', place.mlflow.log.read_text()[log_size:]))
    info |= {"fleet s alone": before_s, "fleet s while shipping": meanwhile[0], "runs per second": num / benchmark.stats.stats.mean, **said}
    info |= {f"requests per run {name}": round(times / num, 2) for name, times in requests.items()}
    if not is_away:
        after = (place.mlflow.cpu_s(), place.postgres.cpu_s(), time.process_time())
        info |= {
            f"cpu ms per run, {who}": 1000 * (b - a) / num
            for who, a, b in zip(("mlflow", "postgres", "launcher and fleet"), cpu_s, after, strict=True)
        }
    info |= searches(settings, plan)
    info |= {
        f"bytes of {table}": ask(place, f"select pg_total_relation_size('{table}')")[0][0]
        for table in ("runs", "metrics", "latest_metrics", "params", "tags")
    }
    info["rows of metrics"] = ask(place, "select count(*) from metrics")[0][0]


def check_all_is_there(place: Place, plan: AtlasPlan) -> None:
    keys = [key for (key,) in ask(place, f"select value from {runs_of(plan)}")]  # noqa: S608
    assert sorted(keys) == sorted(run.key for run in plan.runs)
    chosen = f"run_uuid in (select run_uuid from {runs_of(plan)})"  # noqa: S608
    query = f"select key, count(*), count(distinct run_uuid) from metrics where {chosen} group by 1"  # noqa: S608
    points = {name: (rows, runs) for name, rows, runs in ask(place, query)}
    num = len(plan.runs)
    records = [json.loads(line) for line in journal_of(0).splitlines()]
    told = Counter(name for record in records if record["kind"] == "metrics" for name in record["values"])
    assert {name: points[name] for name in (*CURVES, *FINAL)} == {name: (told[name] * num, num) for name in (*CURVES, *FINAL)}


def searches(settings: Settings, plan: AtlasPlan) -> dict[str, float]:
    """Seconds of a search by tissue, as the package and as a user of MLflow makes it; the slowest of five."""
    server, experiment = connect(settings), plan.config.tracking.experiment
    (found,) = server.client.search_experiments(filter_string=f"name = '{experiment}'")
    wanted = [run.key for run in plan.runs if run.tissue == TISSUES[0]]
    assert server.tag_values(experiment, "tissue", TISSUES[0], "run_key") == set(wanted)

    def slowest(search: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            started = time.monotonic()
            search()
            times.append(time.monotonic() - started)
        return max(times)

    words = f"tags.tissue = '{TISSUES[0]}'"
    return {
        "runs found": len(wanted),
        "search s, package": slowest(lambda: server.tag_values(experiment, "tissue", TISSUES[0], "run_key")),
        "search s, user": slowest(lambda: server.client.search_runs([found.experiment_id], words, max_results=1000)),
        "search s, user, best ten": slowest(
            lambda: server.client.search_runs([found.experiment_id], words, max_results=10, order_by=["metrics.`test/pcc` desc"])
        ),
    }
