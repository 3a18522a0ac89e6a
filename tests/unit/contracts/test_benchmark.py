from pathlib import Path

import pytest
from pydantic import ValidationError

from s2s.contracts.benchmark import BenchmarkCell, BenchmarkConfig, CellResult, NetworkMethod
from s2s.contracts.loading import load_benchmark_config, network_run
from s2s.contracts.run import GeneConfig, Resources, SectionSource
from s2s.contracts.synthetic import SyntheticTissue
from s2s.errors import ConfigError, MissingError

BENCHMARK = """\
kind: benchmark
version: 1
name: tiny
sections:
  - section: {height: 48}
  - section: s3://atlas/sections/breast-1
    genes: {limit: 7}
  - section: {file: a.tsv.gz, reader: st, id: her2st, tissue: breast, organism: human, technology: st, pitch_um: 200}
methods: [zero, {name: ours, preset: laptop, set: {training: {max_steps: 5}}}, {name: plain}]
"""
CELL = BenchmarkCell(
    key="0" * 16, section="s3://a/b", genes=GeneConfig(limit=3), phase=(1, 0), seed=4, method="ours", resources=Resources(cpus=1)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark.yaml"
    path.write_text(BENCHMARK)
    return path


def test_a_section_is_a_name_a_file_or_synthetic(path: Path) -> None:
    config = load_benchmark_config(path)
    made, named, file = (section.section for section in config.sections)
    assert (made, named) == (SyntheticTissue(height=48), "s3://atlas/sections/breast-1")
    assert isinstance(file, SectionSource)
    assert [section.label for section in config.sections] == ["synthetic-glands", "breast-1", "her2st"]


def test_methods_are_names_and_networks_and_the_first_network_is_the_reference(path: Path) -> None:
    config = load_benchmark_config(path)
    assert config.labels == ("zero", "ours", "plain")
    assert config.reference_label == "ours"
    assert load_benchmark_config(path, ["reference=zero"]).reference_label == "zero"
    assert load_benchmark_config(path, ["methods=[zero, mean]"]).reference_label == "zero"


def test_overrides_reach_into_lists(path: Path) -> None:
    config = load_benchmark_config(path, ["sections.1.genes.limit=9", "methods.1.set.training.max_steps=6", "methods.2=mean"])
    assert [section.genes.limit for section in config.sections] == [None, 9, None]
    assert config.methods[1] == NetworkMethod(name="ours", preset="laptop", set={"training": {"max_steps": 6}})
    assert config.methods[2] == "mean"


def test_a_network_is_the_run_that_it_would_be_as_a_run_of_its_own() -> None:
    method = NetworkMethod(name="ours", preset="laptop", set={"training": {"max_steps": 5}, "resources": {"memory_gb": 9}})
    run = network_run(method, CELL)
    # The preset says batch 16, the cell one core, the method five steps and nine gigabytes.
    assert (run.preset, run.training.batch, run.training.max_steps) == ("laptop", 16, 5)
    assert (run.resources.cpus, run.resources.memory_gb) == (1, 9)
    assert (run.section, run.sampling.phase, run.seed, run.genes.limit) == ("s3://a/b", (1, 0), 4, 3)
    assert not run.tracking.register_model


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("sections=[]", "sections: Tuple should have at least 1 item", id="no-section"),
        pytest.param("methods=[]", "methods: Tuple should have at least 1 item", id="no-method"),
        pytest.param("phases=[]", "phases: Tuple should have at least 1 item", id="no-phase"),
        pytest.param("methods=[zero, zero]", "every one of methods once, got zero more than once", id="method-twice"),
        pytest.param("seeds=[1, 2, 1]", "every one of seeds once, got 1 more", id="seed-twice"),
        pytest.param("sections.0.section.id=synthetic-x", "", id="fine"),
        pytest.param("sections.0.section=elsewhere/breast-1", "every one of sections once, got breast-1", id="section-twice"),
        pytest.param("reference=zeroo", r"one of the methods as reference \(zero, ours, plain\), got 'zeroo'", id="reference"),
        pytest.param("sections.0.section.widt=9", "section.widt: no such key, did you mean 'width'", id="synthetic-key"),
        pytest.param("sections.2.section.widt=9", "section.widt: no such key.*; valid keys: columns, donor, file", id="file-key"),
        pytest.param("methods.1.presett=paper", "methods.1.presett: no such key, did you mean 'preset'", id="method-key"),
        pytest.param("methods.1.set.training.max_step=9", "'ours' is not .*\n.*max_step: no such key, did", id="network-key"),
        pytest.param("methods.1.set.seed=9", "method 'ours' of .* got seed, which the benchmark fills in", id="seed-in-set"),
        pytest.param("methods.1.set.sampling.phase=[0, 1]", "got sampling.phase, which the benchmark", id="phase-in-set"),
    ],
)  # fmt: skip
def test_a_faulty_benchmark_is_explained(path: Path, override: str, message: str) -> None:
    if not message:
        assert load_benchmark_config(path, [override]).sections[0].label == "synthetic-x"
        return
    with pytest.raises(ConfigError, match=message) as caught:
        load_benchmark_config(path, [override])
    assert "not 0" not in str(caught.value) or "=[]" in override


def test_the_leak_of_the_paper_may_stand_in_a_benchmark(path: Path) -> None:
    config = load_benchmark_config(path, ["methods.1.preset=paper", "methods.1.set.sampling.mode=paper"])
    assert isinstance(config.methods[1], NetworkMethod)
    assert network_run(config.methods[1], CELL).sampling.mode == "paper"


def test_a_missing_preset_is_found_before_any_work(path: Path) -> None:
    with pytest.raises(MissingError, match="did you mean 'laptop'"):
        load_benchmark_config(path, ["methods.1.preset=labtop"])


def test_a_document_survives_its_own_json(path: Path) -> None:
    config = load_benchmark_config(path)
    assert BenchmarkConfig.model_validate_json(config.model_dump_json()) == config


def test_a_result_is_a_score_or_a_failure() -> None:
    about = {"cell": CELL, "data_sha256": "", "code_version": "0", "seconds": 0, "peak_memory_bytes": 0, "device": "", "versions": {}}
    assert CellResult.model_validate({**about, "created_at": "", "failure": "no"}).score is None
    with pytest.raises(ValidationError, match="either a score or a failure"):
        CellResult.model_validate({**about, "created_at": ""})
