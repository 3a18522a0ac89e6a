"""An npz of a stranger: what it may hold, and every way in which it may be too large or not what it says."""

import io
import json
import zipfile

import numpy as np
import pytest

from s2s.errors import InputError
from s2s.exchange.anndata_out import ImputedSection
from s2s.exchange.npz import read_npz, write_npz

VALUES = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
GENES = np.array(["A", "B"])


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def with_member(name: str, data: bytes) -> bytes:
    """A sound npz whose member `name` holds other bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(npz(values=VALUES, genes=GENES))) as sound, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as other:
        for info in sound.infolist():
            other.writestr(info.filename, data if info.filename == name else sound.read(info))
    return file.getvalue()


def with_name(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


def header(shape: str, descr: str = "'<u2'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_what_is_left_out_is_tissue_and_measured() -> None:
    found = read_npz(npz(values=VALUES, genes=GENES), max_values=100)
    assert np.array_equal(found.values, VALUES)
    assert found.genes == ("A", "B")
    assert found.tissue.all()
    assert found.observed.all()


def test_nan_is_not_measured() -> None:
    values = np.array([[[1.0, np.nan], [3.0, 4.0]]])
    found = read_npz(npz(values=values, genes=np.array(["A"])), max_values=100)
    assert found.observed.tolist() == [[True, False], [True, True]]


def test_masks_and_fortran_order() -> None:
    tissue = np.array([[1, 1, 0], [1, 0, 0]], np.uint8)
    observed = np.array([[True, False, False], [True, False, False]])
    found = read_npz(npz(values=np.asfortranarray(VALUES), genes=GENES.astype("S"), tissue=tissue, observed=observed), max_values=100)
    assert np.array_equal(found.values, VALUES)
    assert found.genes == ("A", "B")
    assert np.array_equal(found.tissue, tissue > 0)
    assert np.array_equal(found.observed, observed)


BAD = {
    "nothing": b"",
    "text": b"hello",
    "half": npz(values=VALUES, genes=GENES)[:200],
    "another-array": npz(values=VALUES, genes=GENES, secret=VALUES),
    "no-genes": npz(values=VALUES),
    "too-few-genes": npz(values=VALUES, genes=GENES[:1]),
    "two-dimensions": npz(values=VALUES[0], genes=GENES),
    "empty": npz(values=VALUES[:, :0], genes=GENES),
    "a-mask-of-another-shape": npz(values=VALUES, genes=GENES, tissue=np.ones((3, 2), bool)),
    "complex": npz(values=VALUES.astype(complex), genes=GENES),
    "a-billion-bins": with_member("values.npy", header("(1, 100000, 100000)")),
    "negative-sides": with_member("values.npy", header("(-1, -1, 4)")),
    "fewer-bytes-than-declared": with_member("values.npy", header("(2, 2, 3)") + b"\0\0"),
    "more-bytes-than-declared": with_member("values.npy", header("(2, 2, 3)") + bytes(25)),
    "no-header": with_member("values.npy", b"\x93NUMPY\x01\x00"),
    "a-header-of-code": with_member("values.npy", header("__import__('os').getcwd()")),
    "long-gene-names": with_member("genes.npy", header("(2,)", "'<U100000'")),
    "a-path": with_name("../../etc/passwd"),
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BAD.items()])
def test_what_is_no_section_is_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(InputError, match="expected") as caught:
        read_npz(body, max_values=1000)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_opened(tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    body = npz(values=np.array([[[Trap()]]], dtype=object), genes=GENES[:1])
    with pytest.raises(InputError, match="objects are never read"):
        read_npz(body, max_values=100)
    assert not (tmp_path / "sprung").exists()


def test_a_zip_bomb_is_not_unpacked() -> None:
    body = with_member("values.npy", header("(2, 2, 3)") + bytes(200_000_000))
    assert len(body) < 500_000
    with pytest.raises(InputError, match="got 25 or more"):
        read_npz(body, max_values=100)


def test_an_answer_holds_every_layer_and_where_it_comes_from() -> None:
    observed = np.array([[[1.5, np.nan], [np.nan, np.nan]]], np.float32)
    section = ImputedSection(
        genes=("A",),
        observed=observed,
        imputed=np.array([[[9, 2], [3, 4]]], np.float32),
        tissue=np.array([[True, True], [True, False]]),
        is_measured=np.array([[True, False], [False, False]]),
        pitch_um=25,
        origin_um=(0.0, 0.0),
        lattice="square",
        reliability=np.array([0.5]),
        provenance={"model": "models:/s2s-human-breast/3"},
        std=np.full((1, 2, 2), 0.25, np.float32),
    )
    with np.load(io.BytesIO(write_npz(section)), allow_pickle=False) as found:
        assert found["imputed"].tolist() == [[[1.5, 2], [3, 0]]]
        assert found["std"].tolist() == [[[0, 0.25], [0.25, 0]]]
        assert found["genes"].tolist() == ["A"]
        assert json.loads(str(found["s2s"])) == {"model": "models:/s2s-human-breast/3"}
