import gzip

import numpy as np
import pytest

from s2s.errors import InputError
from s2s.ingest import original_st
from s2s.ingest.readers import read_section

# Three spots of a 2 x 2 lattice that starts at row 10, column 13; (11, 13) is missing.
TABLE = "\tERBB2\tESR1\n10x13\t1\t0\n10x14\t2\t5\n11x14\t0\t6\n"


@pytest.fixture
def write_table(tmp_path):
    def write(text=TABLE, name="a1.tsv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.mark.parametrize("chunk_rows", [pytest.param(64, id="one chunk"), pytest.param(2, id="two rows per chunk")])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(TABLE, "a1.tsv", id="plain"),
        pytest.param(TABLE, "a1.tsv.gz", id="gzip"),
        pytest.param(TABLE.replace("\n", "\r\n"), "a1.tsv", id="Windows line ends"),
        pytest.param(TABLE[1:], "a1.tsv", id="header of R, without a name above the spots"),
        pytest.param(TABLE.replace("10x13", "9.98x13.02"), "a1.tsv", id="aligned positions"),
    ],
)
def test_spots_lie_where_their_names_say(write_table, make_source, monkeypatch, text, name, chunk_rows):
    monkeypatch.setattr(original_st, "CHUNK_ROWS", chunk_rows)
    section = read_section(make_source(write_table(text, name), "st", 200.0))
    assert section.genes == ("ERBB2", "ESR1")
    np.testing.assert_array_equal(next(section.blocks(2)), [[[1, 2], [0, 0]], [[0, 5], [0, 6]]])
    np.testing.assert_array_equal(section.tissue, [[True, True], [False, True]])
    # Column 13 and row 10 lie at 2600 and 2000 um; their bins start half a pitch before.
    assert section.meta.origin_um == (2500.0, 1900.0)


def test_stride_two_leaves_room_between_the_spots(write_table, make_source):
    section = read_section(make_source(write_table(), "st", 200.0, stride=2))
    assert section.meta.pitch_um == 100.0
    np.testing.assert_array_equal(np.argwhere(section.observed), [[0, 0], [0, 2], [2, 2]])
    np.testing.assert_array_equal(section.tissue, np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], bool))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(TABLE + "10x14\t1\t1\n", "10x14, 10x14 share row 0, column 1", id="duplicated spot"),
        pytest.param(TABLE.replace("ESR1", "ERBB2"), "every gene once.*ERBB2", id="duplicated gene"),
        pytest.param(TABLE.replace("11x14", "spot3"), "row x column, such as 10x13.*'spot3'", id="bad spot name"),
        pytest.param(TABLE.replace("5", "-5"), "from 0 up.*-5", id="negative"),
        pytest.param(TABLE.replace("5", "5.5"), "whole counts.*5.5", id="not whole"),
        pytest.param(TABLE.replace("5", "many"), "numbers.*10x14.*many", id="text"),
        pytest.param(TABLE + "11x13\t1\n", "2 values in every row.*got 1 at spot 11x13", id="short row"),
        pytest.param("\tERBB2\tESR1\n", "a row per spot", id="empty table"),
        pytest.param(TABLE.replace("\t", ","), "separated by tabs", id="commas"),
        pytest.param("\tERBB2\n3x4\t1\n", "lie at one point", id="one spot"),
    ],
)
def test_bad_tables_are_refused(write_table, make_source, text, words):
    with pytest.raises(InputError, match=words):
        read_section(make_source(write_table(text), "st", 200.0))


def test_array_indices_have_no_unit(write_table, make_source):
    with pytest.raises(InputError, match="no --um-per-unit"):
        read_section(make_source(write_table(), "st", 200.0, um_per_unit=0.5))


def test_a_truncated_gzip_is_refused(write_table, make_source):
    rows = "".join(f"{i}x{i % 7}\t{i * 37 % 101}\t{i * 53 % 97}\n" for i in range(3000))
    path = write_table("\tA\tB\n" + rows, "a1.tsv.gz")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="ends in the middle"):
        read_section(make_source(path, "st", 200.0))
