"""What a section refuses to hold; that it keeps what it accepts is the conformance suite's matter."""

import hashlib
import secrets
from dataclasses import replace

import numpy as np
import pytest

from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import InputError, S2SError, ShapeError
from s2s.storage.objects import list_names
from s2s.storage.sections import Masks, NewSection, Window, commit_section, open_section

SETTINGS = Settings()
META = SectionMeta(
    id="sec", tissue="breast", organism="human", technology="synthetic", pitch_um=25.0, shape=(2, 3), num_genes=2,
    source="test", input_sha256="0" * 64, code_version="0",
)  # fmt: skip
COUNTS = np.array([[[0, 1, 2], [3, 4, 5]], [[0, 0, 0], [0, 9, 0]]], np.uint16)
TISSUE = np.array([[True, True, False], [True, True, True]])
OBSERVED = np.array([[True, False, False], [False, False, True]])
MASKS = Masks(tissue=TISSUE, observed=OBSERVED, valid=np.ones((2, 3), np.bool_))
NEW = NewSection(meta=META, genes=("A", "B"), blocks=[COUNTS], masks=MASKS)
OUTGROWN = [COUNTS[:1].astype(np.uint8), COUNTS[1:] + 300]
SWAPPED = replace(MASKS, tissue=OBSERVED, observed=TISSUE)
LOG1P = META.model_copy(update={"values": "log1p"})


@pytest.fixture
def uri() -> str:
    return f"memory://sections/{secrets.token_hex(6)}"


@pytest.mark.parametrize(
    ("new", "error", "words"),
    [
        pytest.param(replace(NEW, genes=("A",)), ShapeError, "2 gene names", id="name-missing"),
        pytest.param(replace(NEW, genes=("A", "A")), InputError, "'A' more than once", id="name-twice"),
        pytest.param(replace(NEW, blocks=[]), ShapeError, "got none", id="no-blocks"),
        pytest.param(replace(NEW, blocks=[COUNTS[:1]]), ShapeError, "2 genes for section sec, got 1", id="gene-missing"),
        pytest.param(replace(NEW, blocks=[COUNTS, COUNTS]), ShapeError, "genes 2 to 3", id="gene-too-many"),
        pytest.param(replace(NEW, blocks=[COUNTS[:, :, :2]]), ShapeError, r"\(2, 2, 2\)", id="other-grid"),
        pytest.param(replace(NEW, blocks=[COUNTS[0]]), ShapeError, r"shape \(2, 3\)", id="one-plane-without-its-axis"),
        pytest.param(replace(NEW, blocks=[COUNTS.astype(np.int32) - 1]), InputError, "got -1 to 8", id="negative"),
        pytest.param(replace(NEW, blocks=[COUNTS.astype(np.float32)]), InputError, "log1p", id="not-integers"),
        pytest.param(replace(NEW, blocks=OUTGROWN), InputError, "from 0 to 255", id="outgrows-its-dtype"),
        pytest.param(replace(NEW, meta=LOG1P, blocks=[np.full((2, 2, 3), np.nan)]), InputError, "finite", id="nan"),
        pytest.param(replace(NEW, masks=SWAPPED), InputError, "got 3 outside", id="observed-off-tissue"),
        pytest.param(replace(NEW, masks=replace(MASKS, valid=np.ones((3, 2), np.bool_))), ShapeError, "mask 'valid'", id="mask-shape"),
        pytest.param(replace(NEW, masks=replace(MASKS, valid=np.ones((2, 3), np.uint8))), ShapeError, "got uint8", id="mask-dtype"),
    ],
)
def test_what_it_cannot_hold_is_said_and_leaves_nothing(uri: str, new: NewSection, error: type[S2SError], words: str) -> None:
    with pytest.raises(error, match=words):
        commit_section(uri, new, SETTINGS)
    assert list_names(uri, SETTINGS) == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        pytest.param(np.uint8, np.uint8, id="uint8"),
        pytest.param(np.uint16, np.uint16, id="uint16"),
        pytest.param(np.uint32, np.uint32, id="uint32"),
        pytest.param(np.int64, np.uint32, id="int64"),
        pytest.param(np.uint64, np.uint32, id="uint64"),
    ],
)
def test_dtype_of_counts(uri: str, given: type[np.generic], stored: type[np.generic]) -> None:
    commit_section(uri, replace(NEW, blocks=[COUNTS.astype(given)]), SETTINGS)
    read = open_section(uri, SETTINGS).read()
    assert read.dtype == stored
    np.testing.assert_array_equal(read, COUNTS)


def test_the_hash_is_what_its_definition_says(uri: str) -> None:
    expected = hashlib.sha256(b'["counts", [2, 3], ["A", "B"]]')
    expected.update(bytes([1, 1, 0, 1, 1, 1]) + bytes([1, 0, 0, 0, 0, 1]) + bytes([1, 1, 1, 1, 1, 1]))
    expected.update(COUNTS.astype("<u4").tobytes())
    assert commit_section(uri, NEW, SETTINGS).data_sha256 == expected.hexdigest()


def test_read_by_hand(uri: str) -> None:
    commit_section(uri, NEW, SETTINGS)
    section = open_section(uri, SETTINGS)
    np.testing.assert_array_equal(section.read([1, 0], Window(y=1, x=1, height=1, width=2)), [[[9, 0]], [[4, 5]]])
    masks = section.masks(Window(y=0, x=1, height=2, width=2))
    np.testing.assert_array_equal(masks.tissue, [[True, False], [True, True]])
    np.testing.assert_array_equal(masks.observed, [[False, False], [False, True]])


@pytest.mark.parametrize(
    "window",
    [
        pytest.param(Window(y=-1, x=0, height=1, width=1), id="above"),
        pytest.param(Window(y=0, x=2, height=1, width=2), id="right"),
        pytest.param(Window(y=2, x=0, height=1, width=1), id="below"),
        pytest.param(Window(y=0, x=0, height=0, width=1), id="empty"),
    ],
)
def test_a_window_outside_is_said(uri: str, window: Window) -> None:
    commit_section(uri, NEW, SETTINGS)
    section = open_section(uri, SETTINGS)
    with pytest.raises(ShapeError, match="expected a window within 2 x 3 bins"):
        section.read(window=window)
    with pytest.raises(ShapeError, match="expected a window within 2 x 3 bins"):
        section.masks(window)


@pytest.mark.parametrize("genes", [pytest.param([2], id="beyond"), pytest.param([0, -1], id="negative")])
def test_a_gene_outside_is_said(uri: str, genes: list[int]) -> None:
    commit_section(uri, NEW, SETTINGS)
    with pytest.raises(ShapeError, match="expected gene indices from 0 to 1"):
        open_section(uri, SETTINGS).read(genes)
