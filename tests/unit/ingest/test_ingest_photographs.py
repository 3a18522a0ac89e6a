import logging

import h5py
import numpy as np
import pytest
from PIL import Image

from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError
from s2s.ingest import photographs
from s2s.ingest.photographs import PhotographSource, store_photographs, to_gray
from s2s.storage.photographs import open_photographs

SETTINGS = Settings(is_local=True)
RAMP = np.arange(64 * 100, dtype=np.uint32).reshape(64, 100) % 256


def store(tmp_path, location, **fields):
    uri = str(tmp_path / "atlas" / "photographs" / "set")
    source = PhotographSource(location=str(location), id="set", **{"side": 32, **fields})
    meta = store_photographs(source, uri, SETTINGS)
    return meta, open_photographs(uri, SETTINGS).read(range(meta.num_photographs))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    return path


def test_an_image_is_cut_into_tiles_side_by_side(tmp_path, folder):
    # 64 x 100 pixels hold 2 x 3 tiles of 32; the last four columns fill none.
    Image.fromarray(RAMP.astype(np.uint8)).save(folder / "ramp.png")
    meta, tiles = store(tmp_path, folder, licence="CC0")
    assert (meta.num_photographs, meta.side, meta.licence) == (6, 32, "CC0")
    expected = [RAMP[y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32, 64)]
    np.testing.assert_allclose(tiles, np.array(expected) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "image", "gray"),
    [
        pytest.param("a.png", Image.new("RGB", (32, 32), (255, 0, 0)), 0.299, id="red"),
        pytest.param("a.png", Image.new("RGBA", (32, 32), (0, 255, 0, 10)), 0.587, id="green, opacity ignored"),
        pytest.param("a.png", Image.new("L", (32, 32), 51), 0.2, id="gray"),
        pytest.param("a.jpeg", Image.new("CMYK", (32, 32), (0, 0, 0, 0)), 1.0, id="CMYK white"),
        pytest.param("a.png", Image.new("P", (32, 32), 0), 0.0, id="palette"),
        pytest.param("A.TIF", Image.fromarray(np.full((32, 32), 13107, np.uint16)), 0.2, id="16 bit"),
        pytest.param("a.tiff", Image.fromarray(np.full((32, 32), 0.4, np.float32)), 0.4, id="float"),
    ],
)
def test_every_kind_of_image_becomes_gray(tmp_path, folder, name, image, gray):
    image.save(folder / name)
    _, tiles = store(tmp_path, folder)
    np.testing.assert_allclose(tiles, np.full((1, 32, 32), gray), atol=0.003)


def test_what_is_no_image_or_too_small_is_skipped_by_name(tmp_path, folder, caplog):
    (folder / "notes.txt").write_text("no image")
    (folder / "fake.png").write_text("no image either")
    Image.new("L", (31, 200), 9).save(folder / "thin.png")
    Image.new("L", (32, 32), 51).save(folder / "good.png")
    with caplog.at_level(logging.WARNING):
        meta, _ = store(tmp_path, folder)
    assert meta.num_photographs == 1
    assert "fake.png, notes.txt" in caplog.text
    assert "thin.png" in caplog.text


def test_packed_images_are_read(tmp_path):
    with h5py.File(tmp_path / "div2k.h5", "w") as file:
        file["hr/0"] = np.full((32, 64, 3), 51, np.uint8)
        file["hr/1"] = np.full((40, 33), 0.5, np.float32)
    meta, tiles = store(tmp_path, tmp_path / "div2k.h5")
    assert meta.num_photographs == 3
    np.testing.assert_allclose(tiles[:, 0, 0], [0.2, 0.2, 0.5], atol=0.003)


def test_the_bundled_set_needs_no_network_and_has_a_licence(tmp_path):
    meta, tiles = store(tmp_path, "bundled", side=128)
    assert meta.num_photographs == len(tiles) > 300
    assert "CC BY" in meta.licence
    assert tiles.min() == 0.0
    assert tiles.max() == 1.0
    assert np.all(np.isfinite(tiles))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda folder: None, r"expected images \(.png.*found none among 0 files", id="empty folder"),
        pytest.param(lambda folder: (folder / "a.txt").touch(), "found none among 1 files", id="no image in the folder"),
        pytest.param(
            lambda folder: Image.new("L", (20, 90)).save(folder / "a.png"),
            "largest square in them is 20; use --side 20",
            id="all too small",
        ),
    ],
)
def test_folders_without_usable_images_are_refused(tmp_path, folder, make, words):
    make(folder)
    with pytest.raises(InputError, match=words):
        store(tmp_path, folder)


def test_a_damaged_image_stops_the_set_and_leaves_nothing(tmp_path, folder):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(folder / name)
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"complete image.*b.png"):
        store(tmp_path, folder)
    assert [path for path in (tmp_path / "atlas").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("limit", [pytest.param(900, id="above ours"), pytest.param(10**10, id="above what Pillow opens")])
def test_a_decompression_bomb_is_refused_before_it_unfolds(tmp_path, folder, monkeypatch, limit):
    Image.new("L", (32, 32)).save(folder / "bomb.png")
    if limit < 10**9:
        monkeypatch.setattr(photographs, "MAX_PIXELS", limit)
    else:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"pixels per image.*bomb.png"):
        store(tmp_path, folder)


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(MissingError, match="absent"):
        store(tmp_path, tmp_path / "absent")


def test_a_taken_id_is_refused(tmp_path, folder):
    Image.new("L", (32, 32)).save(folder / "a.png")
    store(tmp_path, folder)
    with pytest.raises(ExistsError):
        store(tmp_path, folder)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        pytest.param(np.full((4, 4), 300.0), "gray values from 0 to 1, got 300", id="floats up to 255"),
        pytest.param(np.full((4, 4), np.nan), "gray values", id="NaN"),
        pytest.param(np.zeros((4, 4), np.int32), "8 or 16 bits.*int32", id="32 bit"),
        pytest.param(np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)", id="two channels"),
    ],
)
def test_pixels_that_are_no_gray_are_refused(pixels, words):
    with pytest.raises(InputError, match=words):
        to_gray(pixels, where="test")
