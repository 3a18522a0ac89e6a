"""Where an imputed section may go, and that nothing is overwritten unasked."""

import secrets

import anndata
import numpy as np
import pytest

from s2s.errors import ExistsError, InputError, MissingError
from s2s.exchange.anndata_out import ImputedSection
from s2s.recipes import delivering
from s2s.recipes.delivering import check_destination, deliver
from s2s.storage.location import open_store
from s2s.storage.objects import list_names, read_bytes, write_bytes


@pytest.fixture
def imputed() -> ImputedSection:
    tissue = np.ones((2, 3), np.bool_)
    is_measured = np.array([[True, False, True], [False] * 3])
    values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    return ImputedSection(
        genes=("A",), observed=np.where(is_measured, values, np.float32(np.nan)), imputed=values, tissue=tissue, is_measured=is_measured,
        pitch_um=25, origin_um=(0, 0), lattice="square", reliability=np.array([0.5]), provenance={"model": "test"},
    )  # fmt: skip


@pytest.fixture
def uri() -> str:
    return f"memory://delivering/{secrets.token_hex(6)}.zarr"


@pytest.mark.parametrize("name", [pytest.param("out.h5ad", id="file"), pytest.param("out.zarr", id="folder")])
def test_a_new_file_or_folder_is_fine(tmp_path, settings, name):
    check_destination(str(tmp_path / name), settings, replace=False)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        pytest.param("out.csv", r"ends in \.h5ad or \.zarr, got", id="other-format"),
        pytest.param("s3://bucket/out.h5ad", r"a URI that ends in \.zarr, got s3://bucket/out\.h5ad; on S3 only Zarr", id="file-on-s3"),
        pytest.param("s3://bucket/out", r"a URI that ends in \.zarr", id="no-suffix-on-s3"),
    ],
)
def test_other_formats_are_refused(settings, out, words):
    with pytest.raises(InputError, match=words):
        check_destination(out, settings, replace=True)


def test_a_folder_that_is_not_there_is_said(tmp_path, settings):
    with pytest.raises(MissingError, match=r"out\.h5ad"):
        check_destination(str(tmp_path / "nowhere" / "out.h5ad"), settings, replace=False)


def test_what_is_there_is_kept_unless_replaced(tmp_path, settings):
    path = tmp_path / "out.h5ad"
    path.write_bytes(b"precious")
    with pytest.raises(ExistsError, match="--replace"):
        check_destination(str(path), settings, replace=False)
    check_destination(str(path), settings, replace=True)
    assert path.read_bytes() == b"precious"


def test_a_store_reads_back_and_is_kept_unless_replaced(settings, imputed, uri):
    check_destination(uri, settings, replace=False)
    deliver(imputed, uri, settings, replace=False)
    table = anndata.read_zarr(open_store(uri, settings, read_only=True))
    assert list(table.var_names) == ["A"]
    np.testing.assert_array_equal(table.layers["imputed"][:, 0], np.arange(6))
    with pytest.raises(ExistsError, match=rf"expected nothing at {uri}, found X, layers, obs; choose another name or add --replace"):
        deliver(imputed, uri, settings, replace=False)
    deliver(imputed, uri, settings, replace=True)


def test_what_is_no_store_of_ours_is_kept_too(settings, imputed, uri):
    write_bytes(f"{uri}/.zgroup", b"an older Zarr", settings)
    with pytest.raises(ExistsError, match=r"found \.zgroup"):
        deliver(imputed, uri, settings, replace=False)
    assert read_bytes(f"{uri}/.zgroup", settings) == b"an older Zarr"


def test_replacing_leaves_nothing_of_the_old(settings, imputed, uri):
    write_bytes(f"{uri}/leftover", b"old", settings)
    write_bytes(f"{uri}2/neighbour", b"other", settings)
    deliver(imputed, uri, settings, replace=True)
    assert "leftover" not in list_names(uri, settings)
    assert read_bytes(f"{uri}2/neighbour", settings) == b"other"


def test_a_write_that_breaks_off_leaves_nothing(settings, imputed, uri, monkeypatch):
    def break_off(store, section) -> None:
        write_bytes(f"{uri}/half", b"half", settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(delivering, "write_imputed_store", break_off)
    with pytest.raises(KeyboardInterrupt):
        deliver(imputed, uri, settings, replace=False)
    assert list_names(uri, settings) == []


def test_a_file_is_written(tmp_path, settings, imputed):
    path = tmp_path / "out.h5ad"
    deliver(imputed, str(path), settings, replace=False)
    assert anndata.read_h5ad(path).shape == (6, 1)
