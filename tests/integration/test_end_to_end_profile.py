"""`s2s train --profile`: one page and a trace beside the usual results, and no model."""

import gzip
import json
from pathlib import Path


def test_where_the_time_went(door, s2s_home: Path, small_section: tuple[str, ...], job: Path, tmp_path: Path) -> None:
    assert door(*small_section, "--local").code == 0
    said = door("train", job, "--local", "--profile", "--out", tmp_path / "out", "--set", "training.max_steps=20")
    assert said.code == 0, said.err
    assert "not registered" in said.out
    assert f"{tmp_path}/out/profile.md" in said.out
    page = (tmp_path / "out" / "profile.md").read_text()
    assert "objects were fetched" in page
    stages, loop, operations = (page.split(f"## {heading}")[1] for heading in ("Stages", "The training loop", "Operations of 2"))
    assert all(f"| {name}" in stages for name in ("read", "train", "impute", "score"))
    assert all(f"| {name}" in loop for name in ("data", "step", "validation", "checkpoint"))
    assert "convolution" in operations
    events = json.loads(gzip.decompress((tmp_path / "out" / "trace.json.gz").read_bytes()))["traceEvents"]
    assert sum(event.get("name") == "Optimizer.step#Adam.step" and event.get("cat") == "user_annotation" for event in events) >= 2

    # Without the flag it is the run that it always was.
    assert door("train", job, "--local", "--out", tmp_path / "plain", "--set", "training.max_steps=20").code == 0
    assert not (tmp_path / "plain" / "profile.md").exists()
