"""What a benchmark says to a YAML that cannot be run: one message, before any work is done, and exit code 2."""

from pathlib import Path

import pytest

HEAD = "kind: benchmark\nversion: 1\nname: b\n"
SECTIONS = "sections: [{section: {height: 16, width: 16, num_genes: 4, median_total: 40}}]\n"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        pytest.param(SECTIONS + "methods: [gausian_cv]", ["got 'gausian_cv', did you mean 'gaussian_cv'?"], id="unknown-method"),
        pytest.param(SECTIONS + "methods: [zero, zero]", ["every one of methods once, got zero more than once"], id="method-twice"),
        pytest.param("sections: []\nmethods: []", ["sections: ", "methods: ", "at least 1 item"], id="nothing-at-all"),
        pytest.param("methods: [zero]", ["sections: expected, but missing"], id="no-sections"),
        pytest.param("sections: [{section: nowhere}]\nmethods: [zero]", ["a committed section at", "nowhere"], id="section-not-there"),
        pytest.param(
            "sections: [{section: {height: 8, width: 8, num_genes: 4}, genes: {min_detected: 1, names: [NOPE]}}]\nmethods: [zero]",
            ["not found: NOPE"],
            id="gene-not-there",
        ),
    ],
)
def test_a_benchmark_that_cannot_be_run_says_why(door, tmp_path: Path, s2s_home: Path, text: str, messages: list[str]) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(HEAD + text + "\n", encoding="utf-8")
    said = door("benchmark", job, "--local", "--out", tmp_path / "out")
    assert (said.code, said.out) == (2, "")
    for message in messages:
        assert message in said.err
    assert "Traceback" not in said.err
    assert not (s2s_home / "local" / "benchmarks").exists()
