from pathlib import Path

import pytest

from s2s.contracts.loading import load_run_config
from s2s.contracts.run import SectionSource

JOBS = Path(__file__).parents[3] / "jobs"


@pytest.mark.parametrize(
    ("name", "reader", "pitch_um"),
    [
        pytest.param("breast_xenium", "cells", 25.0, id="breast xenium"),
        pytest.param("breast_her2st", "st", 200.0, id="breast her2st"),
        pytest.param("hippocampus_iss", "transcripts", 25.0, id="hippocampus iss"),
    ],
)
def test_a_job_is_valid_and_takes_a_file_from_the_command_line(name, reader, pitch_um):
    config = load_run_config(JOBS / f"{name}.yaml", ["section.file=/somewhere/else"])
    assert isinstance(config.section, SectionSource)
    assert (config.section.reader, config.section.pitch_um, config.section.file) == (reader, pitch_um, "/somewhere/else")
    assert config.preset == "laptop"
    assert config.sampling.mode == "strict"


def test_every_job_explains_itself():
    jobs = sorted(JOBS.glob("*.yaml"))
    assert jobs
    for path in jobs:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# ")
        assert any(f"s2s train jobs/{path.name}" in line for line in lines), f"{path.name} does not say how to run it"
