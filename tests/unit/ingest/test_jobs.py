from pathlib import Path

import pytest

from s2s.contracts.loading import load_benchmark_config, load_run_config
from s2s.contracts.run import SectionSource
from s2s.contracts.synthetic import SyntheticTissue

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


def test_the_benchmark_names_every_real_section_and_can_be_cut_down():
    config = load_benchmark_config(JOBS / "benchmark.yaml", ["methods=[nearest]", "reference=null", "sections.1.section.file=/elsewhere"])
    sources = [section.section for section in config.sections]
    assert all(isinstance(source, SectionSource) for source in sources)
    assert (sources[1].id, sources[1].pitch_um, sources[1].file) == ("breast-xenium-50um", 50.0, "/elsewhere")
    assert (len(sources), sources[-1].lattice.shape, config.reference_label) == (9, "hexagonal", "nearest")


def test_the_small_benchmark_compares_with_its_network():
    config = load_benchmark_config(JOBS / "benchmark_small.yaml")
    assert isinstance(config.sections[0].section, SyntheticTissue)
    assert config.reference_label == "laptop"


def test_every_job_explains_itself():
    jobs = sorted(JOBS.glob("*.yaml"))
    assert jobs
    for path in jobs:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# ")
        verb = {"benchmark": "benchmark", "atlas": "atlas run"}.get(path.stem.split("_")[0], "train")
        assert any(f"s2s {verb} jobs/{path.name}" in line for line in lines), f"{path.name} does not say how to run it"
