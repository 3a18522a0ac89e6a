"""An Arrow stream of a stranger: spots by row and column, never compressed, never larger than its body."""

import numpy as np
import pyarrow as pa
import pytest

from s2s.errors import InputError
from s2s.exchange.anndata_out import ImputedSection
from s2s.exchange.arrow import read_arrow, write_arrow

TABLE = pa.table({"array_row": [0, 0, 1], "array_col": [0, 1, 1], "A": [1, 0, 3], "B": [0.0, 2.0, 1.0]})


def stream(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


def test_spots_come_with_their_places_and_genes() -> None:
    found = read_arrow(stream(TABLE), max_values=100)
    assert found.rows.tolist() == [0, 0, 1]
    assert found.columns.tolist() == [0, 1, 1]
    assert found.genes == ("A", "B")
    assert found.values.tolist() == [[1, 0], [0, 2], [3, 1]]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_what_is_compressed_could_become_anything_and_is_refused(codec: str) -> None:
    zeros = pa.table({name: np.zeros(100_000) for name in ("array_row", "array_col", "A")})
    with pytest.raises(InputError, match="not compressed"):
        read_arrow(stream(zeros, compression=codec), max_values=10**9)


def _without_end(body: bytes) -> bytes:
    return body[: len(body) // 2]


BAD = {
    "nothing": b"",
    "text": b"hello, this is no stream at all",
    "half": _without_end(stream(TABLE)),
    "no-places": stream(TABLE.drop_columns(["array_row"])),
    "no-genes": stream(TABLE.select(["array_row", "array_col"])),
    "no-rows": stream(TABLE.slice(0, 0)),
    "a-column-twice": stream(TABLE.append_column("A", pa.array([1, 2, 3]))),
    "text-for-a-gene": stream(TABLE.append_column("C", pa.array(["x", "y", "z"]))),
    "a-null": stream(TABLE.append_column("C", pa.array([1, None, 3]))),
    "half-a-row": stream(TABLE.set_column(0, "array_row", pa.array([0.5, 1.0, 2.0]))),
    "nan-for-a-row": stream(TABLE.set_column(0, "array_row", pa.array([float("nan"), 1.0, 2.0]))),
    "a-dictionary": stream(TABLE.append_column("C", pa.array(["x", "y", "x"]).dictionary_encode())),
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BAD.items()])
def test_what_is_no_section_is_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(InputError, match="expected") as caught:
        read_arrow(body, max_values=1000)
    assert "\n" not in str(caught.value)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(InputError, match="expected at most 5 values, got 3 spots x 2 genes"):
        read_arrow(stream(TABLE), max_values=5)


def test_every_byte_may_be_wrong() -> None:
    sound, random = stream(TABLE), np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        body = bytearray(sound)
        for place in random.integers(0, len(body), random.integers(1, 6)):
            body[place] = random.integers(0, 256)
        try:
            read_arrow(bytes(body), max_values=1000)
        except InputError:
            refused += 1
    assert refused > 300


def test_an_answer_has_a_row_per_bin_on_tissue() -> None:
    section = ImputedSection(
        genes=("A",),
        observed=np.array([[[1.5, np.nan], [np.nan, np.nan]]], np.float32),
        imputed=np.array([[[9, 2], [3, 4]]], np.float32),
        tissue=np.array([[True, True], [True, False]]),
        is_measured=np.array([[True, False], [False, False]]),
        pitch_um=25,
        origin_um=(0.0, 0.0),
        lattice="square",
        reliability=np.array([0.5]),
        provenance={"model": "m"},
        std=np.full((1, 2, 2), 0.25, np.float32),
    )
    table = pa.ipc.open_stream(write_arrow(section)).read_all()
    assert table.to_pydict() == {
        "array_row": [0, 0, 1],
        "array_col": [0, 1, 0],
        "is_measured": [True, False, False],
        "A": [1.5, 2.0, 3.0],
        "A:std": [0.0, 0.25, 0.25],
    }
    assert table.schema.metadata[b"s2s"] == b'{"model": "m"}'
