"""Chunks read from a real S3 server once are read from the node the next time, by whichever process asks."""

from pathlib import Path

import numpy as np
import pytest

from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.errors import InputError
from s2s.recipes.run import silent
from s2s.recipes.sources import open_source
from s2s.storage.node_cache import FOLDER
from s2s.storage.objects import list_below, read_bytes, write_bytes
from s2s.storage.sections import open_section


@pytest.fixture
def settings(s3_settings: Settings, tmp_path: Path) -> Settings:
    return s3_settings.model_copy(update={"home": tmp_path})


def test_the_second_reader_asks_for_metadata_only(settings: Settings) -> None:
    uri = open_source(SyntheticTissue(height=40, width=40, num_genes=12), settings, silent).uri
    first, second = open_section(uri, settings), open_section(uri, settings)
    values = first.read()
    assert first.traffic.figures()["cache_hits"] == 0
    np.testing.assert_array_equal(second.read(), values)
    found = second.traffic.figures()
    assert found["cache_hits"] == 1
    assert found["requests"] == first.traffic.figures()["requests"] - 1
    (kept,) = (settings.home / FOLDER).iterdir()
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(open_section(uri, settings).read(), values)


def test_without_a_cache_nothing_is_kept(settings: Settings) -> None:
    settings = settings.model_copy(update={"cache_bytes": 0})
    uri = open_source(SyntheticTissue(height=40, width=40, num_genes=12, seed=1, id="synthetic-uncached"), settings, silent).uri
    open_section(uri, settings).read()
    assert not (settings.home / FOLDER).exists()


def test_a_chunk_damaged_on_s3_is_read_again_once_it_was_restored(settings: Settings) -> None:
    uri = open_source(SyntheticTissue(height=40, width=40, num_genes=12, seed=2, id="synthetic-damaged"), settings, silent).uri
    (chunk,) = (f"{uri}/{found}" for found in list_below(uri, settings) if "/counts/c/" in found)
    whole = read_bytes(chunk, settings)
    write_bytes(chunk, whole[: len(whole) // 2], settings)
    with pytest.raises(InputError, match="restore the object"):
        open_section(uri, settings).read()
    write_bytes(chunk, whole, settings)
    assert open_section(uri, settings).read().any()
