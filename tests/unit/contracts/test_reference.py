from pathlib import Path

from s2s.contracts.reference import atlas_rows, benchmark_rows, reference_text, run_rows, settings_rows, write_reference


def test_keys_are_dotted_and_say_what_they_accept() -> None:
    rows = {row.key: row for row in run_rows()}
    assert rows["training.hide_fraction"].accepts == "number ≥ 0 and < 1"
    assert rows["training.patience"].accepts == "whole number ≥ 1 or null"
    assert rows["training.loss"].accepts == "`l1`, `l2`"
    assert rows["genes.names"].accepts == "list of text or null"
    assert rows["section"].accepts == "text or the keys below"
    assert rows["section.lattice.phase"].accepts == "[whole number, whole number]"


def test_a_list_and_what_may_stand_in_it_are_named() -> None:
    rows = {row.key: row for row in benchmark_rows()}
    assert rows["methods"].accepts == "list of text or the keys below"
    assert rows["sections.N.section"].accepts == "text or the keys of a run's `section` or the keys below"
    assert rows["sections.N.section.height"].default == "`64`"
    assert rows["phases"].accepts == "list of [whole number ≥ 0 and ≤ 1, whole number ≥ 0 and ≤ 1]"
    assert "sections.N.section.file" not in rows


def test_defaults_are_as_a_yaml_would_say_them() -> None:
    rows = {row.key: row for row in run_rows()}
    assert (rows["name"].default, rows["preset"].default, rows["tracking.register_model"].default) == ("required", "`null`", "`true`")


def test_the_home_folder_is_not_the_one_of_this_machine() -> None:
    assert {row.key: row.default for row in settings_rows()}["S2S_HOME"] == "`~/.s2s`"
    assert str(Path.home()) not in reference_text()


def test_every_table_line_has_four_columns(tmp_path: Path) -> None:
    write_reference(tmp_path / "README.md")
    lines = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert len(lines) == len(run_rows()) + len(benchmark_rows()) + len(atlas_rows()) + len(settings_rows())
    assert {line.count("|") for line in lines} == {5}
