"""A page made from imputed sections on a real S3 server."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from pydantic import SecretStr

from page_examples import make_imputed
from s2s.contracts.settings import Settings
from s2s.errors import MissingError, StorageError
from s2s.page.building import PageRequest, build_page
from s2s.recipes.delivering import deliver
from s2s.storage.location import join


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


def test_a_section_and_a_prefix_of_sections(s3_settings: Settings, tmp_path: Path) -> None:
    local = Settings(is_local=True, home=tmp_path / "home")
    example = make_imputed(tmp_path / "glands.h5ad", local, height=20, width=24)
    root = f"s3://{s3_settings.bucket}/page"
    for name in ("a", "b"):
        deliver(example.imputed, join(root, f"{name}.zarr"), s3_settings, replace=True)
    index = build_page(PageRequest(uri=root, out=tmp_path / "all", has_anndata=True), s3_settings, silent).index
    assert [(row.key, row.state) for row in index.sections] == [("a", "done"), ("b", "done")]
    assert (tmp_path / "all/sections/b/b.h5ad").is_file()
    surer = replace(example.imputed, std=example.imputed.std / np.float32(2))
    deliver(surer, join(root, "b.zarr"), s3_settings, replace=True)
    again = build_page(PageRequest(uri=root, out=tmp_path / "all", has_anndata=True, replace=True), s3_settings, silent)
    assert again.num_kept == 1, "one is the same, the other is not"
    index = build_page(PageRequest(uri=join(root, "a.zarr"), out=tmp_path / "one"), s3_settings, silent).index
    group = zarr.open_group(tmp_path / "one/sections/a", mode="r")
    assert group.attrs["source_uri"] == join(root, "a.zarr")
    tissue = example.imputed.tissue
    stored, expected = group["std"][...].astype(np.float32), example.imputed.std
    is_imputed = tissue & ~example.imputed.is_measured
    np.testing.assert_allclose(stored[:, is_imputed], expected[:, is_imputed], rtol=2**-11)
    with pytest.raises(MissingError, match="found nothing"):
        build_page(PageRequest(uri=join(root, "nothing"), out=tmp_path / "none"), s3_settings, silent)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"s3_endpoint": "http://127.0.0.1:9"}, "does not answer", id="no-server"),
        pytest.param({"aws_secret_access_key": SecretStr("wrong")}, "refused the keys", id="wrong-keys"),
    ],
)
def test_a_server_that_refuses_leaves_nothing(
    s3_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], words: str
) -> None:
    monkeypatch.setattr("s2s.storage.clients.PATIENCE_S", 1)
    settings = s3_settings.model_copy(update={"home": tmp_path, **changes})
    with pytest.raises(StorageError, match=words):
        build_page(PageRequest(uri=f"s3://{settings.bucket}/page/a.zarr", out=tmp_path / "page"), settings, silent)
    assert list(tmp_path.iterdir()) == []
