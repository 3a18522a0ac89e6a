"""`s2s plan-memory`: a table for people, a document for machines."""

import sys
from pathlib import Path

import pytest

from s2s import cli
from s2s.contracts.sharding import MemoryPlan

JOB = "kind: run\nname: x\nsection: y\nnetwork: {features: 8, blocks: 1, layers: 1, growth: 4}\nresources: {memory_gb: 4}\n"


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*words: str) -> str:
        job = tmp_path / "job.yaml"
        job.write_text(JOB, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["s2s", "plan-memory", str(job), *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        assert end.value.code == 0, told.err
        return told.out

    return run


def test_the_choice_is_marked_and_explained(say) -> None:
    lines = say("--set", "sharding.workers=2").splitlines()
    (chosen,) = [line for line in lines if line.startswith("> ")]
    assert chosen.split()[1:4] == ["2", "data_parallel", "no"]
    assert lines[-1].startswith("data_parallel, 2 workers: ")
    assert "parameters" in lines[0]
    assert {line.split()[1] for line in lines if "zero" in line} == {"zero1", "zero2", "zero3"}


def test_machines_get_every_option(say) -> None:
    plan = MemoryPlan.model_validate_json(say("--json"))
    assert plan.chosen.strategy == "single"
    assert {option.workers for option in plan.options} == {1, 2, 4, 8, 16}
