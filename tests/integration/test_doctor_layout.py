"""`s2s doctor layout`: what reading a section takes, for people and for machines."""

from pathlib import Path

import pytest

from s2s.contracts.layout import LayoutReport
from s2s.storage import arrays


def test_a_section_is_examined_and_written_anew(
    door, s2s_home: Path, small_section: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(arrays, "chunk_shape", lambda shape, itemsize: (1, 16, 16))
        assert door(*small_section, "--local").code == 0
    said = door("doctor", "layout", "synthetic-glands", "--local")
    assert said.code == 0, said.err
    assert "12 x 48 x 48 (genes, rows, columns)" in said.out
    assert "108 chunks of 1 x 16 x 16" in said.out
    assert "`s2s ingest` would choose chunks of 12 x 48 x 48 today; --rewrite" in said.out
    before = LayoutReport.model_validate_json(door("doctor", "layout", "synthetic-glands", "--local", "--json").out)
    after = LayoutReport.model_validate_json(door("doctor", "layout", "synthetic-glands", "--local", "--json", "--rewrite").out)
    assert (before.num_chunks, after.num_chunks) == (108, 1)
    assert "These are the chunks" in door("doctor", "layout", "synthetic-glands", "--local", "--rewrite").out


@pytest.mark.parametrize("name", [pytest.param("nowhere", id="id"), pytest.param("memory://nowhere/x", id="uri")])
def test_a_section_that_is_not_there_is_one_message(door, s2s_home: Path, name: str) -> None:
    said = door("doctor", "layout", name, "--local")
    assert said.code == 2
    assert "expected a committed section" in said.err
    assert "Traceback" not in said.err


def test_doctor_alone_still_checks_the_machine(door, s2s_home: Path) -> None:
    assert "packages" in door("doctor", "--local").out
