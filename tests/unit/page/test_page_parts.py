"""The small parts: means of squares, thumbnails, provenance that lacks things, links, the server of files."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from s2s.contracts.page import PageIndex, PageSection
from s2s.contracts.settings import Settings
from s2s.errors import MissingError, StorageError
from s2s.page.building import index_document
from s2s.page.provenance import at, is_so, number_at, pair_at, text_at
from s2s.page.serving import address_of, open_server
from s2s.page.thumbnails import NUM_COLOURS, means, palette
from s2s.tracking.links import release_links

NAN = np.nan


def test_means_leave_nan_out_and_edges_are_smaller_squares() -> None:
    plane = np.array([[[1, 3, 5], [NAN, 2, NAN], [NAN, NAN, 7]]], np.float32)
    np.testing.assert_array_equal(means(plane, 2), np.array([[[2, 5], [NAN, 7]]], np.float32))


def test_the_palette_runs_from_end_to_end_of_viridis() -> None:
    colours = palette("viridis")
    assert len(colours) == 3 * NUM_COLOURS
    assert (colours[:3], colours[-3:]) == ([0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25])


def test_what_provenance_does_not_say() -> None:
    told = {"a": {"b": "c", "n": 2, "flag": True, "pair": [0, 1]}, "text": "t"}
    assert (text_at(told, "a", "b"), text_at(told, "a", "x"), text_at(told, "text", "deeper")) == ("c", "", "")
    assert (number_at(told, "a", "n", default=1), number_at(told, "x", default=1)) == (2, 1)
    assert (is_so(told, "a", "flag"), is_so(told, "a", "n")) == (True, False)
    assert (pair_at(told, "a", "pair"), pair_at(told, "a", "b")) == ((0, 1), (0, 0))
    assert at(told) == told


def test_a_thousand_sections_are_a_small_index() -> None:
    row = {"tissue": "breast", "organism": "human", "technology": "visium", "num_genes": 20_000, "num_reliable": 9000, "num_bins": 3000}
    rows = tuple(PageSection(key=f"hest-tenx{n:05d}", gene="EPCAM", model="3b4c3b4c3b4c", **row) for n in range(1229))
    index = PageIndex(title="hest", sections=rows, code_version="0", created_at="2026-11-29T00:00:00+00:00")
    document = index_document(index)
    assert len(document) < 300_000
    assert PageIndex.model_validate_json(document) == index


def test_without_a_registry_there_are_no_links(s2s_home: Path) -> None:
    assert release_links(["0" * 64], Settings(is_local=True, home=s2s_home)) == {}
    assert not s2s_home.exists()  # nothing was made by asking


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    (tmp_path / "page.json").write_text("{}")
    (tmp_path / "app.js").write_text("1;")
    (tmp_path / "sections").mkdir()
    with open_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        pytest.param("/page.json", 200, "application/json", id="index"),
        pytest.param("/app.js", 200, "text/javascript", id="script"),
        pytest.param("/sections/", 404, None, id="folders-are-not-listed"),
        pytest.param("/nothing", 404, None, id="nothing-there"),
        pytest.param("/../../etc/passwd", 404, None, id="outside"),
    ],
)
def test_the_server_gives_files_and_nothing_else(address: tuple[str, int], path: str, status: int, kind: str | None) -> None:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if kind:
        assert answer.headers["Content-Type"] == kind
    connection.close()


def test_a_folder_without_a_page_and_a_port_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="s2s page build"):
        open_server(tmp_path)
    (tmp_path / "page.json").write_text("{}")
    with open_server(tmp_path) as server, pytest.raises(StorageError, match="--port"):
        open_server(tmp_path, server.server_port)
    assert address_of(server).startswith("http://127.0.0.1:")
