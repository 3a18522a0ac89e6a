"""What was fetched is counted: of real reads, and in figures."""

import numpy as np
import pytest

from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.storage.sections import Masks, NewSection, commit_section, open_section
from s2s.storage.traffic import Traffic


def test_figures_of_known_requests():
    traffic = Traffic()
    assert traffic.figures() == {}
    for seconds in (*[0.01] * 98, 0.5, 0.5):
        traffic.request(1000, seconds)
    traffic.found(3000)
    traffic.reading_s = 2.0
    assert traffic.figures() == pytest.approx(
        {
            "requests": 100, "bytes": 100_000, "bytes_per_s": 51_500, "request_p50_s": 0.01, "request_p99_s": 0.5,
            "cache_hits": 1, "cache_bytes": 3000,
        }
    )  # fmt: skip


def test_reading_a_section_counts_its_objects():
    settings, uri = Settings(), "memory://traffic/section"
    meta = SectionMeta(
        id="tiny", tissue="test", organism="test", technology="synthetic", pitch_um=25, shape=(4, 6), num_genes=2,
        source="test", input_sha256="0" * 64, code_version="0",
    )  # fmt: skip
    everywhere = np.ones((4, 6), np.bool_)
    masks = Masks(tissue=everywhere, observed=everywhere, valid=everywhere)
    commit_section(uri, NewSection(meta=meta, genes=("A", "B"), blocks=[np.ones((2, 4, 6), np.uint16)], masks=masks), settings)
    section = open_section(uri, settings)
    assert section.traffic.figures() == {}
    section.read()
    first = section.traffic.figures()
    section.read()
    second = section.traffic.figures()
    assert second["requests"] - first["requests"] == 1, "the counts are one chunk, and the metadata are read once"
    assert second["bytes"] > first["bytes"] > 0
    assert second["bytes_per_s"] > 0
