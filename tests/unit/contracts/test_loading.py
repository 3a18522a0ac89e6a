from pathlib import Path

import pytest

from s2s.contracts.loading import MAX_YAML_BYTES, load_run_config, merge, parse_overrides, read_preset, read_yaml
from s2s.contracts.run import SectionSource
from s2s.errors import ConfigError, MissingError

SMALLEST = "kind: run\nversion: 1\nname: tiny\nsection: breast\n"
FILE_SECTION = """\
kind: run
version: 1
name: tiny
section: {file: cells.h5ad, reader: cells, id: breast, tissue: breast, organism: human, technology: xenium, pitch_um: 25}
"""


@pytest.fixture
def yaml_path(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(SMALLEST)
    return path


def test_the_smallest_run_gets_the_defaults_of_the_contract(yaml_path: Path) -> None:
    config = load_run_config(yaml_path)
    assert (config.name, config.section, config.preset, config.training.max_steps) == ("tiny", "breast", None, 2000)


def test_a_section_may_be_a_file_with_how_to_read_it(yaml_path: Path) -> None:
    yaml_path.write_text(FILE_SECTION)
    section = load_run_config(yaml_path, ["section.pitch_um=50"]).section
    assert isinstance(section, SectionSource)
    assert (section.file, section.pitch_um) == ("cells.h5ad", 50.0)


def test_preset_then_file_then_override(yaml_path: Path) -> None:
    yaml_path.write_text(SMALLEST + "preset: laptop\ntraining: {batch: 5, max_steps: 7}\n")
    config = load_run_config(yaml_path, ["training.max_steps=9"])
    # laptop says batch 32, max_steps 2000, schedule cosine
    assert (config.training.batch, config.training.max_steps, config.training.schedule) == (5, 9, "cosine")


def test_an_override_can_choose_the_preset_and_the_file_still_wins_over_it(yaml_path: Path) -> None:
    yaml_path.write_text(SMALLEST + "preset: laptop\ntraining: {batch: 5}\n")
    config = load_run_config(yaml_path, ["preset=paper"])
    assert (config.preset, config.training.batch, config.training.max_steps) == ("paper", 5, 100_000)


def test_the_last_override_wins_and_its_value_is_yaml(yaml_path: Path) -> None:
    overrides = ["seed=1", "seed=2", "genes.names=[ESR1, PGR]", "photographs=null", "tracking.register_model=false"]
    config = load_run_config(yaml_path, overrides)
    assert (config.seed, config.genes.names, config.photographs, config.tracking.register_model) == (2, ("ESR1", "PGR"), None, False)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        pytest.param("laptop", {"network", "training"}, id="laptop"),
        pytest.param("paper", {"network", "training", "imputation"}, id="paper"),
    ],
)
def test_every_preset_is_a_valid_start(yaml_path: Path, name: str, parts: set[str]) -> None:
    assert load_run_config(yaml_path, [f"preset={name}"]).preset == name
    assert set(read_preset(name)) == parts


@pytest.mark.parametrize(
    ("extra", "overrides", "messages"),
    [
        pytest.param("sed: 1\n", [], ["sed: no such key, did you mean 'seed'?"], id="unknown-key"),
        pytest.param(
            "training: {learning_rte: 1}\n",
            [],
            ["training.learning_rte: no such key, did you mean 'learning_rate'?"],
            id="unknown-key-below",
        ),
        pytest.param("", ["network.head=2"], ["network.head: no such key, did you mean 'heads'?"], id="unknown-override"),
        pytest.param("zzzzzz: 1\n", [], ["zzzzzz: no such key; valid keys: expression_scale, genes,"], id="unlike-any-key"),
        pytest.param("seed: -1\n", [], ["seed: Input should be greater than or equal to 0, got -1"], id="out-of-range"),
        pytest.param("seed: -1\nsed: 1\n", [], ["seed: Input", "sed: no such key"], id="every-fault-at-once"),
        pytest.param(
            "network: {features: 30}\n", [], ["network: ", "features divisible by heads, got features 30, heads 4"], id="features-and-heads"
        ),
        pytest.param("training: [1]\n", [], ["training: ", "got [1]"], id="list-for-mapping"),
    ],
)
def test_a_faulty_yaml_is_explained(yaml_path: Path, extra: str, overrides: list[str], messages: list[str]) -> None:
    yaml_path.write_text(SMALLEST + extra)
    with pytest.raises(ConfigError) as caught:
        load_run_config(yaml_path, overrides)
    assert str(yaml_path) in str(caught.value)
    for message in messages:
        assert message in str(caught.value)


def test_a_fault_in_a_file_section_names_the_key_without_the_type(yaml_path: Path) -> None:
    yaml_path.write_text(FILE_SECTION)
    with pytest.raises(ConfigError) as caught:
        load_run_config(yaml_path, ["section.pich_um=1"])
    assert "section.pich_um: no such key, did you mean 'pitch_um'?" in str(caught.value)


def test_a_missing_key_is_named(yaml_path: Path) -> None:
    yaml_path.write_text("kind: run\nversion: 1\nname: tiny\n")
    with pytest.raises(ConfigError, match="section: expected, but missing"):
        load_run_config(yaml_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"a: [1\nb: 2\n", "expected YAML in .*, line 2", id="not-yaml"),
        pytest.param(b"- 1\n- 2\n", "mapping of keys to values in .*, got list", id="list"),
        pytest.param(b"", "mapping of keys to values in .*, got NoneType", id="empty"),
        pytest.param(b"1: 2\n", "mapping of keys to values", id="number-as-key"),
        pytest.param(b"a: !!python/object/apply:os.getcwd []\n", "expected YAML in", id="code-is-not-run"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "UTF-8 in .*, got byte 0x89 at 0", id="an-h5ad"),
        pytest.param(b"#" * (MAX_YAML_BYTES + 1), "at most 1000000 bytes", id="huge"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"absent\.yaml; see jobs/"):
        read_yaml(tmp_path / "absent.yaml")


def test_an_absent_preset_names_the_nearest(yaml_path: Path) -> None:
    with pytest.raises(MissingError, match="laptop, large, paper, got 'labtop', did you mean 'laptop'"):
        load_run_config(yaml_path, ["preset=labtop"])


def test_overrides_nest() -> None:
    assert parse_overrides(["a.b=1", "a.c=x", "d=[1, 2]", "e= "]) == {"a": {"b": 1, "c": "x"}, "d": [1, 2], "e": None}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        pytest.param("seed", "expected --set a.b=value, got --set seed", id="no-value"),
        pytest.param("=1", "expected --set a.b=value", id="no-key"),
        pytest.param("a..b=1", "expected --set a.b=value", id="empty-step"),
        pytest.param("a=[1", "YAML value in --set a=", id="broken-value"),
    ],
)
def test_a_broken_override_is_quoted_back(item: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_overrides([item])


def test_merging_goes_key_by_key_and_leaves_its_inputs_alone() -> None:
    under = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": {"z": 1}}
    over = {"a": {"y": 3}, "b": [9], "c": None}
    assert merge(under, over) == {"a": {"x": 1, "y": 3}, "b": [9], "c": None}
    assert under["a"] == {"x": 1, "y": 2}


def test_a_run_that_would_learn_nothing_is_refused(yaml_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a weight above 0"):
        load_run_config(yaml_path, ["training.weights={sparser_to_sparse: 0, sparse_to_dense: 0}"])
