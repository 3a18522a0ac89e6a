"""A visit to a server asks for experiments and parents once; without one every question is asked anew. The client is a fake that counts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from s2s.tracking.records import SpoolHeader
from s2s.tracking.server import MLFLOW_PARENT_TAG, PARENT_TAG, Server


class CountingClient:
    """Has every experiment, and from the first look that `parent_from` names on the parent `p`."""

    def __init__(self, parent_from: int = 1) -> None:
        self.parent_from, self.asked = parent_from, Counter[str]()
        self.tags: list[dict[str, str]] = []

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        self.asked["experiment"] += 1
        return SimpleNamespace(experiment_id=f"id of {name}", lifecycle_stage="active")

    def search_runs(self, experiments: Sequence[str], words: str, max_results: int) -> list[SimpleNamespace]:
        self.asked["parent"] += 1
        found = SimpleNamespace(info=SimpleNamespace(run_id="p"))
        return [found] if self.asked["parent"] >= self.parent_from else []

    def create_run(self, experiment_id: str, start_time: int, tags: dict[str, str], run_name: str) -> SimpleNamespace:
        self.tags.append(tags)
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))


def send(server: Server, times: int) -> None:
    for _ in range(times):
        header = SpoolHeader(experiment="e", run_name="r", tags={PARENT_TAG: "a" * 32}, is_local=False)
        server.create_run(server.ensure_experiment("e"), header)


@pytest.mark.parametrize(
    ("is_visit", "parent_from", "asked"),
    [
        pytest.param(True, 1, {"experiment": 1, "parent": 1}, id="a visit asks once"),
        pytest.param(True, 3, {"experiment": 1, "parent": 3}, id="what is not there is looked for again"),
        pytest.param(False, 1, {"experiment": 4, "parent": 4}, id="else always"),
    ],
)
def test_look_ups(tmp_path: Path, is_visit: bool, parent_from: int, asked: dict[str, int]) -> None:
    client = CountingClient(parent_from)
    server = Server(uri="fake://", home=tmp_path, artifact_location=None, client=client)  # type: ignore[arg-type]
    send(server.for_a_visit() if is_visit else server, 4)
    assert client.asked == asked
    assert [tags.get(MLFLOW_PARENT_TAG) for tags in client.tags] == [None] * (parent_from - 1) + ["p"] * (5 - parent_from)
