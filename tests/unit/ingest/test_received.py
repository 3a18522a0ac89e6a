"""What comes with a request becomes what `s2s ingest section` makes of it, or one sentence that names no file of ours."""

import io
from pathlib import Path

import anndata
import numpy as np
import pyarrow as pa
import pytest

from s2s.contracts.run import SectionSource
from s2s.contracts.section import Lattice
from s2s.contracts.service import Limits
from s2s.errors import InputError
from s2s.ingest.received import in_the_words_of_a_request, read_received

LIMITS = Limits(bins=10_000, side=200, genes=50, values=100_000)
COUNTS = np.array([[1, 0], [2, 3], [0, 4], [5, 6]], np.float32)
PLACES = np.array([[0, 0], [50, 0], [0, 50], [50, 50]], float)


def source(**changes: object) -> SectionSource:
    usual = {
        "file": "body",
        "reader": "spots",
        "id": "request",
        "tissue": "breast",
        "organism": "human",
        "technology": "xenium",
        "pitch_um": 50,
        "lattice": Lattice(stride=2),
    }
    return SectionSource.model_validate({**usual, **changes})


def h5ad(tmp_path: Path, counts: np.ndarray = COUNTS, places: np.ndarray = PLACES) -> bytes:
    data = anndata.AnnData(counts)
    data.obsm["spatial"] = places
    data.write_h5ad(tmp_path / "made.h5ad")
    return (tmp_path / "made.h5ad").read_bytes()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrow(**columns: list[int] | list[float]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_the_same_spots_in_three_formats_are_the_same_section(tmp_path: Path) -> None:
    spots = read_received(h5ad(tmp_path), "h5ad", source(), LIMITS, tmp_path)
    table = arrow(array_row=[0, 0, 1, 1], array_col=[0, 1, 0, 1], a=[1, 2, 0, 5], b=[0, 3, 4, 6])
    rows = read_received(table, "arrow", source(), LIMITS, tmp_path)
    planes = np.zeros((2, 4, 4), np.uint16)
    planes[:, ::2, ::2] = COUNTS.T.reshape(2, 2, 2)
    observed = np.zeros((4, 4), bool)
    observed[::2, ::2] = True
    arrays = read_received(npz(values=planes, genes=np.array(["a", "b"]), observed=observed), "npz", source(pitch_um=25), LIMITS, tmp_path)
    for found in (spots, rows, arrays):
        assert found.counts.toarray().reshape(2, 4, 4).tolist() == planes.tolist()
        assert np.array_equal(found.observed, observed)
        assert found.tissue.all()
        assert (found.meta.pitch_um, found.meta.shape, found.meta.lattice.stride) == (25, (4, 4), 2)
        assert found.meta.source == "the body"


def test_the_phase_of_planes_is_found(tmp_path: Path) -> None:
    observed = np.zeros((4, 4), bool)
    observed[1::2, ::2] = True
    found = read_received(
        npz(values=observed[None].astype(np.uint8), genes=np.array(["a"]), observed=observed), "npz", source(), LIMITS, tmp_path
    )
    assert found.meta.lattice.phase == (1, 0)


def test_a_dense_section_has_no_tissue_that_was_not_measured(tmp_path: Path) -> None:
    values = np.array([[[1.0, np.nan], [3.0, 4.0]]])
    found = read_received(npz(values=values, genes=np.array(["a"])), "npz", source(lattice=Lattice()), LIMITS, tmp_path)
    assert found.tissue.tolist() == [[True, False], [True, True]]


def bad(values: np.ndarray = COUNTS, **changes: object) -> dict[str, object]:
    return {"counts": values, **changes}


@pytest.mark.parametrize(
    ("made", "changes", "words"),
    [
        pytest.param(bad(COUNTS + 0.5), {}, "expected whole counts", id="not-whole"),
        pytest.param(bad(-COUNTS), {}, "expected values from 0 up", id="negative"),
        pytest.param(bad(np.full_like(COUNTS, np.nan)), {}, "expected finite values", id="nan"),
        pytest.param(bad(np.full_like(COUNTS, np.inf)), {}, "expected finite values", id="infinite"),
        pytest.param(bad(places=np.full_like(PLACES, np.inf)), {}, "expected finite coordinates", id="places-infinite"),
        pytest.param(bad(places=PLACES * 1e6), {}, "expected positions over at most 200 bins", id="places-far"),
        pytest.param(bad(places=PLACES * 0), {}, "lie at one point|share", id="places-one"),
        pytest.param(bad(), {"pitch_um": 1e-3}, "expected positions over at most 200 bins", id="tiny-pitch"),
        pytest.param(bad(), {"layer": "no"}, "expected layer 'no'", id="no-such-layer"),
    ],
)
def test_what_cannot_be_a_section_is_refused(tmp_path: Path, made: dict[str, np.ndarray], changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_received(h5ad(tmp_path, **made), "h5ad", source(**changes), LIMITS, tmp_path)
    assert str(tmp_path) not in str(caught.value)


def test_planes_off_the_lattice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every second row and column alone, 16 of 16 bins are"):
        read_received(npz(values=np.ones((1, 4, 4), np.uint8), genes=np.array(["a"])), "npz", source(), LIMITS, tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(arrow(array_row=[0, 300], array_col=[0, 0], a=[1, 1]), id="long"),
        pytest.param(arrow(array_row=[0, 2**30], array_col=[0, 2**30], a=[1, 1]), id="huge"),
    ],
)
def test_a_grid_beyond_the_limits_is_refused_before_it_is_made(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InputError, match="expected a section of at most 10000 bins, 200 along a side"):
        read_received(body, "arrow", source(), LIMITS, tmp_path)


def test_negative_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="from 0 up, got -1"):
        read_received(arrow(array_row=[0, -1], array_col=[0, 0], a=[1, 1]), "arrow", source(), LIMITS, tmp_path)


def test_an_h5ad_whose_bytes_are_wrong_is_refused_in_one_sentence(tmp_path: Path) -> None:
    sound, random = h5ad(tmp_path), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        body = bytearray(sound)
        for place in random.integers(0, len(body), 40):
            body[place] = random.integers(0, 256)
        try:
            read_received(bytes(body), "h5ad", source(), LIMITS, tmp_path)
        except InputError as error:
            refused += 1
            assert str(tmp_path) not in str(error)
    assert refused > 5


def test_options_of_the_command_line_become_parameters() -> None:
    words = in_the_words_of_a_request("check --pitch-um 50 of /tmp/x/body.h5ad, or --um-per-unit", Path("/tmp/x/body.h5ad"))  # noqa: S108
    assert words == "check pitch_um 50 of the body, or um_per_unit"
