import gzip

import numpy as np
import pandas as pd
import pytest

from s2s.errors import InputError
from s2s.ingest import transcripts
from s2s.ingest.readers import read_section

# Six transcripts on 2 x 2 bins of 10 um that start at (1, 2); the bin (1, 0) stays empty.
TABLE = "cell,x,y,gene\n7,1,2,B\n7,10.9,2,A\n8,11,11.9,A\n8,20,2,NA\n9,20,12,A\n9,20,12,A\n"
GENES = ("A", "B", "NA")
COUNTS = [[[1, 1], [0, 2]], [[1, 0], [0, 0]], [[0, 1], [0, 0]]]


@pytest.fixture
def write_table(tmp_path):
    def write(name, text=TABLE):
        path = tmp_path / name
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        elif name.endswith(".parquet"):
            lines = [line.split(",") for line in text.splitlines()]
            frame = pd.DataFrame(lines[1:], columns=lines[0]).astype({"x": float, "y": float})
            frame.to_parquet(path)
        else:
            path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("chunk_rows", [pytest.param(500_000, id="one chunk"), pytest.param(2, id="two rows per chunk")])
@pytest.mark.parametrize(
    "name", [pytest.param("t.csv", id="csv"), pytest.param("t.csv.gz", id="gzip"), pytest.param("t.parquet", id="parquet")]
)
def test_transcripts_are_counted(write_table, make_source, monkeypatch, name, chunk_rows):
    monkeypatch.setattr(transcripts, "CHUNK_ROWS", chunk_rows)
    section = read_section(make_source(write_table(name), "transcripts", 10.0))
    assert section.genes == GENES
    assert section.meta.origin_um == (1.0, 2.0)
    np.testing.assert_array_equal(np.concatenate(list(section.blocks(2))), COUNTS)
    np.testing.assert_array_equal(section.tissue, [[True, True], [False, True]])
    np.testing.assert_array_equal(section.observed, section.tissue)


def test_pixels_become_micrometres(write_table, make_source):
    section = read_section(make_source(write_table("t.csv"), "transcripts", 5.0, um_per_unit=0.5))
    assert section.meta.origin_um == (0.5, 1.0)
    np.testing.assert_array_equal(np.concatenate(list(section.blocks(3))), COUNTS)


def test_columns_have_the_names_the_user_gives(write_table, make_source):
    path = write_table("t.csv", TABLE.replace("x,y,gene", "x_location,y_location,feature_name"))
    source = make_source(path, "transcripts", 10.0, columns=("x_location", "y_location", "feature_name"))
    assert read_section(source).genes == GENES


def test_gene_names_may_be_bytes(make_source, tmp_path):
    path = tmp_path / "bytes.parquet"
    pd.DataFrame({"x": [0.0, 9.0], "y": [0.0, 9.0], "gene": [b"ESR1", b"ERBB2"]}).to_parquet(path)
    assert read_section(make_source(path, "transcripts", 5.0)).genes == ("ERBB2", "ESR1")


def test_progress_reaches_its_end(write_table, make_source):
    path = write_table("t.csv.gz")
    said = []
    read_section(make_source(path, "transcripts", 10.0), lambda *word: said.append(word))
    size = path.stat().st_size
    assert said == [("hash", size, size), ("read", size, size), ("bin", size, size)]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("t.csv", TABLE.replace("gene", "target"), "gene missing; found: cell, x, y, target; .*--columns", id="unknown column"),
        pytest.param("t.parquet", TABLE.replace("gene", "target"), "gene missing; found: cell, x, y, target", id="unknown Parquet column"),
        pytest.param("t.csv", "x,y,gene\n", "at least one transcript", id="empty table"),
        pytest.param("t.csv", "\n\n", "table with a header", id="blank lines"),
        pytest.param("t.csv", TABLE + "9,left,3,A\n", "numbers in column x.*'left'", id="text coordinate"),
        pytest.param("t.csv", TABLE + "9,,3,A\n", "finite coordinates, 1 of 7", id="missing coordinate"),
        pytest.param("t.csv", TABLE + "9,3,3,\n", "a gene in every row.*1 have none: row 6", id="missing gene"),
        pytest.param("t.csv", TABLE + '9,3,3,"A\n', "broken row", id="unclosed quote"),
        pytest.param("t.csv", "x,y,gene\n1,1,A\n1,1,B\n", "lie at one point", id="one point"),
        pytest.param("t.csv", "x,y,gene\n0,0,A\n1e7,1e7,B\n", "1e[+]12 bins.*--pitch-um 100000", id="above 1e8 bins"),
    ],
)
def test_bad_tables_are_refused(write_table, make_source, name, text, words):
    with pytest.raises(InputError, match=words):
        read_section(make_source(write_table(name, text), "transcripts", 10.0))


def test_a_truncated_gzip_is_refused(write_table, make_source):
    rows = "".join(f"{i},{i * 7 % 1000},{i * 13 % 997},G{i % 50}\n" for i in range(5000))
    path = write_table("t.csv.gz", "cell,x,y,gene\n" + rows)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"complete gzip file.*ends in the middle"):
        read_section(make_source(path, "transcripts", 10.0))


def test_a_damaged_gzip_is_refused(write_table, make_source):
    path = write_table("t.csv.gz")
    path.write_bytes(path.read_bytes()[:10] + b"\xff" * 50)
    with pytest.raises(InputError, match="sound gzip file"):
        read_section(make_source(path, "transcripts", 10.0))


def test_a_truncated_parquet_is_refused(write_table, make_source):
    path = write_table("t.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="sound Parquet file"):
        read_section(make_source(path, "transcripts", 10.0))


def test_a_binary_file_is_refused(make_source, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,y,gene\n1,2,\xff\xfe\n")
    with pytest.raises(InputError, match=r"UTF-8.*0xff"):
        read_section(make_source(path, "transcripts", 10.0))


def test_transcripts_are_counts(write_table, make_source):
    with pytest.raises(InputError, match="--values counts"):
        read_section(make_source(write_table("t.csv"), "transcripts", 10.0, values="log1p"))
