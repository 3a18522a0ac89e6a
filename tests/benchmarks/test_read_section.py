"""Reading a stored section from a real S3 server: obstore against s3fs, in the same run.

Ratios count, not seconds: the machine is shared. `make bench` prints both clients of a group side by side.
"""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.storage.location import join
from s2s.storage.sections import Masks, NewSection, Section, Window, commit_section, open_section

SHAPE, NUM_GENES, BLOCK = (512, 512), 128, 16
SIDE = 64


@pytest.fixture(scope="module", params=[pytest.param("obstore", id="obstore"), pytest.param("s3fs", id="s3fs")])
def section(request: pytest.FixtureRequest, s3_settings: Settings) -> Section:
    """A section of 128 genes x 512 x 512 uint16, 67 MB, stored once and opened with each client."""
    settings = s3_settings.model_copy(update={"zarr_client": request.param})
    uri = join(settings.root, "sections", f"bench-{request.param}")
    rng, everywhere = np.random.default_rng(0), np.ones(SHAPE, np.bool_)
    meta = SectionMeta(
        id=f"bench-{request.param}", tissue="test", organism="test", technology="synthetic", pitch_um=10, shape=SHAPE, num_genes=NUM_GENES,
        is_synthetic=True, source="benchmark", input_sha256="0" * 64, code_version="0",
    )  # fmt: skip
    blocks = (rng.poisson(0.5, (BLOCK, *SHAPE)).astype(np.uint16) for _ in range(NUM_GENES // BLOCK))
    masks = Masks(tissue=everywhere, observed=everywhere, valid=everywhere)
    new = NewSection(meta=meta, genes=[f"G{number}" for number in range(NUM_GENES)], blocks=blocks, masks=masks)
    commit_section(uri, new, settings, replace=True)
    return open_section(uri, settings)


@pytest.mark.benchmark(group="all genes, whole section")
def test_read_all(benchmark: BenchmarkFixture, section: Section) -> None:
    values = benchmark(section.read)
    assert values.shape == (NUM_GENES, *SHAPE)


@pytest.mark.benchmark(group="16 genes in a window of 64 x 64")
def test_read_window(benchmark: BenchmarkFixture, section: Section) -> None:
    rng = np.random.default_rng(1)

    def read() -> np.ndarray:
        y, x = (int(place) for place in rng.integers(0, SHAPE[0] - SIDE, 2))
        first = int(rng.integers(0, NUM_GENES - BLOCK))
        return section.read(slice(first, first + BLOCK), Window(y=y, x=x, height=SIDE, width=SIDE))

    assert benchmark(read).shape == (BLOCK, SIDE, SIDE)
