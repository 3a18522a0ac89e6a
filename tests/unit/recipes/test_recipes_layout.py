"""What reading a section takes: predicted from its chunks, and counted while it is really read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.imputation.tiling import UnitSize
from s2s.recipes import layout
from s2s.recipes.layout import examine_layout, predict, rewrite_layout
from s2s.recipes.run import silent
from s2s.storage import arrays
from s2s.storage.arrays import ArrayLayout
from s2s.storage.sections import Masks, NewSection, Section, Window, commit_section, open_section
from s2s.streaming import excerpt, survey
from s2s.streaming.sections import measure_with_truth

SHAPE, NUM_GENES = (80, 60), 10
STORED = ArrayLayout(shape=(10, 80, 60), chunks=(4, 32, 32), itemsize=2, stored_bytes=9000)


@pytest.mark.parametrize(
    ("part", "requests"),
    [
        pytest.param((slice(0, 10), slice(0, 80), slice(0, 60)), 3 * 3 * 2, id="all-of-it"),
        pytest.param((slice(0, 1), slice(0, 80), slice(0, 60)), 1 * 3 * 2, id="one-gene"),
        pytest.param((slice(3, 5), slice(31, 33), slice(0, 32)), 2 * 2 * 1, id="across-borders"),
        pytest.param((slice(4, 8), slice(32, 64), slice(32, 60)), 1, id="a-chunk"),
    ],
)
def test_chunks_that_are_touched(part: tuple[slice, slice, slice], requests: int) -> None:
    assert predict("", STORED, [part]).requests == requests
    assert predict("", STORED, [part, part]).requests == 2 * requests, "nothing is kept between requests"


def test_bytes_are_those_of_the_store() -> None:
    whole = predict("", STORED, [(slice(0, 10), slice(0, 80), slice(0, 60))])
    assert whole.fetched_bytes == whole.needed_bytes == 9000
    gene = predict("", STORED, [(slice(0, 1), slice(0, 80), slice(0, 60))])
    assert (gene.fetched_bytes, gene.needed_bytes) == (3000, 900)
    assert gene.amplification == pytest.approx(10 / 3)


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(1.0, (NUM_GENES, *SHAPE)).astype(np.uint16)


@pytest.fixture
def stored(tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> str:
    """A section in small chunks, on the file system."""
    everywhere = np.ones(SHAPE, np.bool_)
    meta = SectionMeta(
        id="sec", tissue="test", organism="test", technology="synthetic", pitch_um=25, shape=SHAPE, num_genes=NUM_GENES,
        is_synthetic=True, source="test", input_sha256="0" * 64, code_version="0",
    )  # fmt: skip
    new = NewSection(
        meta=meta, genes=[f"G{gene}" for gene in range(NUM_GENES)], blocks=[counts],
        masks=Masks(tissue=everywhere, observed=everywhere, valid=everywhere),
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(arrays, "chunk_shape", lambda shape, itemsize: (4, 32, 32))
        commit_section(str(tmp_path / "sec"), new, Settings(is_local=True))
    return str(tmp_path / "sec")


@pytest.fixture
def count_chunks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Count the chunks of counts that a piece of work really fetches."""
    fetched: list[str] = []
    get = arrays._Whole.get

    async def noted(self: arrays._Whole, key: str, *others: object, **more: object) -> object:
        fetched.append(key)
        return await get(self, key, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(arrays._Whole, "get", noted)

    def count(work: Callable[[], object]) -> int:
        fetched.clear()
        work()
        return sum(key.startswith("counts/c/") for key in fetched)

    return count


def test_what_is_predicted_is_what_is_fetched(stored: str, count_chunks: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "BLOCK_VALUES", 5 * SHAPE[0] * SHAPE[1])
    monkeypatch.setattr(layout, "USUAL_SIZE", UnitSize(core=24, halo=4, genes=16))
    section = open_section(stored, Settings(is_local=True))
    by_survey, by_training, by_tiles, of_gene = examine_layout(section).readings
    assert by_survey.requests == 18, "blocks are whole chunks: none is fetched twice"
    assert by_tiles.requests > by_training.requests == 18

    def survey_it() -> None:
        for genes in survey.survey_blocks(section):
            section.read(genes)

    assert count_chunks(survey_it) == by_survey.requests
    assert count_chunks(section.read) == by_training.requests
    assert count_chunks(lambda: section.read([0])) == of_gene.requests
    assert count_chunks(lambda: section.read(slice(3, 5), Window(y=31, x=0, height=2, width=32))) == 4


def test_of_a_large_section_its_tiles_are_fetched(stored: str, count_chunks: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpt, "LARGE_BINS", 4000)
    monkeypatch.setattr(excerpt, "TILE", 16)
    section = open_section(stored, Settings(is_local=True))
    by_survey, by_training, *_ = examine_layout(section).readings
    both = count_chunks(lambda: measure_with_truth(section, SamplingConfig(), GeneConfig(min_detected=0)))
    assert both == by_survey.requests + by_training.requests
    assert by_training.requests < 4 * by_survey.requests


def test_a_rewrite_changes_chunks_and_nothing_else(stored: str, counts: np.ndarray) -> None:
    settings = Settings(is_local=True)
    before = open_section(stored, settings)
    assert not examine_layout(before).is_good
    after = rewrite_layout(stored, settings, silent)
    assert after.is_good
    assert after.chunks == (NUM_GENES, *SHAPE)
    section: Section = open_section(stored, settings)
    np.testing.assert_array_equal(section.read(), counts)
    assert section.meta.model_dump(exclude={"created_at"}) == before.meta.model_dump(exclude={"created_at"})
