import numpy as np
import pytest

from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.errors import ExistsError, StorageError
from s2s.ingest import store
from s2s.ingest.store import refuse_existing_section, store_section
from s2s.ingest.synthetic import make_synthetic
from s2s.storage.sections import open_section

SETTINGS = Settings(is_local=True)


@pytest.fixture
def binned():
    return make_synthetic(SyntheticTissue(height=12, width=10, num_genes=7))[0]


@pytest.mark.parametrize("block_values", [pytest.param(16_000_000, id="one block"), pytest.param(250, id="two genes per block")])
def test_what_is_stored_is_what_was_read(binned, monkeypatch, tmp_path, block_values):
    monkeypatch.setattr(store, "BLOCK_VALUES", block_values)
    said = []
    meta = store_section(binned, str(tmp_path / "s"), SETTINGS, on_progress=lambda *word: said.append(word))
    section = open_section(str(tmp_path / "s"), SETTINGS)
    assert section.meta == meta
    assert meta.data_sha256
    assert meta.model_copy(update={"data_sha256": "", "created_at": ""}) == binned.meta
    assert section.genes == binned.genes
    np.testing.assert_array_equal(section.read(), next(binned.blocks(7)))
    np.testing.assert_array_equal(section.masks().tissue, binned.tissue)
    np.testing.assert_array_equal(section.masks().observed, binned.observed)
    assert said[-1] == ("write", 7, 7)


def test_an_id_is_refused_before_and_at_the_write_but_replaced_on_demand(binned, tmp_path):
    uri = str(tmp_path / "s")
    refuse_existing_section(uri, SETTINGS)
    store_section(binned, uri, SETTINGS)
    with pytest.raises(ExistsError, match=r"synthetic-glands.*--replace"):
        refuse_existing_section(uri, SETTINGS)
    with pytest.raises(ExistsError):
        store_section(binned, uri, SETTINGS)
    other = make_synthetic(SyntheticTissue(height=12, width=10, num_genes=7, seed=1))[0]
    replaced = store_section(other, uri, SETTINGS, replace=True)
    assert open_section(uri, SETTINGS).meta == replaced
    np.testing.assert_array_equal(open_section(uri, SETTINGS).read(), next(other.blocks(7)))


def test_a_store_that_breaks_off_leaves_no_section(binned, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_VALUES", 1)

    def break_off(stage, done, total):
        if done == 3:
            raise StorageError("the cable was pulled")

    with pytest.raises(StorageError, match="cable"):
        store_section(binned, str(tmp_path / "s"), SETTINGS, on_progress=break_off)
    refuse_existing_section(str(tmp_path / "s"), SETTINGS)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
