"""One suite for every place and client: what a store promises does not depend on which one it is."""

import json
import os
import pickle
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import obstore
import pytest
import zarr
from pydantic import SecretStr

from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError, S2SError, ShapeError, StorageError
from s2s.stack import seaweedfs
from s2s.stack.ports import choose_ports
from s2s.stack.processes import spawn, stop, wait_until_healthy
from s2s.storage import arrays, clients
from s2s.storage.arrays import ArrayReader
from s2s.storage.bucket import ensure_bucket
from s2s.storage.checkpoints import read_checkpoint, write_checkpoint
from s2s.storage.commits import find_commit
from s2s.storage.ledger import Ledger
from s2s.storage.location import bytes_store, join, open_store, parse
from s2s.storage.objects import copy_object, delete_prefix, digest_of, exists, list_below, list_names, read_bytes, write_bytes
from s2s.storage.photographs import open_photographs, write_photographs
from s2s.storage.sections import Masks, NewSection, Window, commit_section, list_sections, open_section

SHA = "0" * 64
HEIGHT, WIDTH, NUM_GENES = 40, 50, 7
GENES = ("ACTA2", "CD3E", "EPCAM", "KRT8", "μ-gene", "PTPRC", "VIM")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a test may write, and with whose keys."""

    root: str
    settings: Settings

    def uri(self, *parts: str) -> str:
        return join(self.root, *parts)


@pytest.fixture(
    params=[
        pytest.param(("memory", "obstore"), id="memory"),
        pytest.param(("file", "obstore"), id="file"),
        pytest.param(("s3", "obstore"), id="s3-obstore"),
        pytest.param(("s3", "s3fs"), id="s3-s3fs"),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    scheme, client = request.param
    name = secrets.token_hex(6)
    if scheme == "memory":
        return Place(root=f"memory://{name}/atlas", settings=Settings(home=tmp_path))
    if scheme == "file":
        return Place(root=str(tmp_path / "my atlas #1 [x] 100%"), settings=Settings(home=tmp_path))
    settings: Settings = request.getfixturevalue("s3_settings")
    return Place(root=f"s3://{settings.bucket}/{name}", settings=settings.model_copy(update={"zarr_client": client}))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks on every axis, and a request per row of chunks, on a grid that a person can look at."""
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 2048)
    monkeypatch.setattr(arrays, "WINDOW", 16)
    monkeypatch.setattr(arrays, "BUFFER_BYTES", 1)


def objects_below(uri: str, settings: Settings) -> list[str]:
    """Names of everything below a prefix, at any depth."""
    place = parse(uri)
    if place.scheme == "file" and not Path(place.root).exists():
        return []
    pages = obstore.list(bytes_store(place, settings), place.key)
    return sorted(item["path"].removeprefix(f"{place.key}/") for page in pages for item in page)


def meta_of(section_id: str = "sec", *, values: str = "counts") -> SectionMeta:
    return SectionMeta.model_validate(
        {
            "id": section_id, "tissue": "breast", "organism": "human", "technology": "synthetic", "pitch_um": 25.0,
            "shape": (HEIGHT, WIDTH), "num_genes": NUM_GENES, "values": values, "source": "test", "input_sha256": SHA, "code_version": "0",
        }
    )  # fmt: skip


def counts_of(seed: int = 0) -> np.ndarray:
    counts = np.random.default_rng(seed).poisson(0.5, (NUM_GENES, HEIGHT, WIDTH)).astype(np.uint16)
    counts[2] = 0
    counts[3, 0, 0] = 65_535
    return counts


def masks_of() -> Masks:
    rows, columns = np.indices((HEIGHT, WIDTH))
    tissue = rows > 3
    return Masks(tissue=tissue, observed=tissue & (rows % 2 == 0) & (columns % 2 == 0), valid=columns != 7)


def new_section(section_id: str = "sec", *, seed: int = 0) -> NewSection:
    return NewSection(meta=meta_of(section_id), genes=GENES, blocks=[counts_of(seed)], masks=masks_of())


class TestObjects:
    def test_bytes_come_back(self, place: Place) -> None:
        write_bytes(place.uri("a", "b.bin"), b"\x00\xff", place.settings)
        assert read_bytes(place.uri("a", "b.bin"), place.settings) == b"\x00\xff"

    def test_a_write_overwrites(self, place: Place) -> None:
        write_bytes(place.uri("a"), b"old", place.settings)
        write_bytes(place.uri("a"), b"new", place.settings)
        assert read_bytes(place.uri("a"), place.settings) == b"new"

    def test_if_absent_keeps_the_first(self, place: Place) -> None:
        write_bytes(place.uri("a"), b"first", place.settings, if_absent=True)
        with pytest.raises(ExistsError, match="found an object"):
            write_bytes(place.uri("a"), b"second", place.settings, if_absent=True)
        assert read_bytes(place.uri("a"), place.settings) == b"first"

    def test_of_many_at_once_one_wins(self, place: Place) -> None:
        barrier = threading.Barrier(8)
        winners: list[int] = []

        def write(number: int) -> None:
            barrier.wait()
            try:
                write_bytes(place.uri("lease"), bytes([number]), place.settings, if_absent=True)
            except ExistsError:
                return
            winners.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
        assert read_bytes(place.uri("lease"), place.settings) == bytes(winners)

    def test_a_copy_is_an_object_of_its_own(self, place: Place) -> None:
        uri, to = place.uri("a"), place.uri("deep", "b")
        write_bytes(uri, b"one", place.settings)
        copy_object(uri, to, place.settings)
        write_bytes(uri, b"two", place.settings)
        assert read_bytes(to, place.settings) == b"one"
        with pytest.raises(MissingError):
            copy_object(place.uri("none"), to, place.settings)

    def test_a_digest_changes_with_whatever_is_written(self, place: Place) -> None:
        tree, one = place.uri("tree"), place.uri("tree", "deep", "a")
        write_bytes(one, b"one", place.settings)
        write_bytes(place.uri("tree-beside"), b"x", place.settings)
        first, of_one = digest_of(tree, place.settings), digest_of(one, place.settings)
        write_bytes(place.uri("tree-beside"), b"y", place.settings)
        assert (digest_of(tree, place.settings), digest_of(one, place.settings)) == (first, of_one)
        write_bytes(one, b"two", place.settings)
        second = digest_of(tree, place.settings)
        assert second != first
        assert digest_of(one, place.settings) != of_one
        write_bytes(place.uri("tree", "b"), b"", place.settings)
        assert digest_of(tree, place.settings) not in (first, second)
        with pytest.raises(MissingError):
            digest_of(place.uri("none"), place.settings)

    def test_a_larger_object_than_wanted_is_not_fetched(self, place: Place) -> None:
        write_bytes(place.uri("a"), b"three", place.settings)
        assert read_bytes(place.uri("a"), place.settings, max_bytes=5) == b"three"
        with pytest.raises(InputError, match=r"expected at most 4 bytes at .*, there are 5"):
            read_bytes(place.uri("a"), place.settings, max_bytes=4)

    def test_missing_is_said(self, place: Place) -> None:
        with pytest.raises(MissingError, match="found nothing"):
            read_bytes(place.uri("no", "where"), place.settings)
        assert not exists(place.uri("no", "where"), place.settings)

    def test_a_prefix_is_no_object(self, place: Place) -> None:
        write_bytes(place.uri("folder", "a"), b"", place.settings)
        assert exists(place.uri("folder", "a"), place.settings)
        assert not exists(place.uri("folder"), place.settings)

    def test_names_are_immediate_children_and_stop_at_the_slash(self, place: Place) -> None:
        for name in ("b", "a/deep/x", "a/y", "ab"):
            write_bytes(place.uri("r", *name.split("/")), b"1", place.settings)
        assert list_names(place.uri("r"), place.settings) == ["a", "ab", "b"]
        assert list_names(place.uri("r", "a"), place.settings) == ["deep", "y"]
        assert list_names(place.uri("nothing"), place.settings) == []

    def test_deleting_a_prefix_spares_its_neighbours(self, place: Place) -> None:
        for name in ("a/x", "a/deep/y", "ab"):
            write_bytes(place.uri("r", *name.split("/")), b"1", place.settings)
        delete_prefix(place.uri("r", "a"), place.settings)
        assert objects_below(place.uri("r"), place.settings) == ["ab"]
        delete_prefix(place.uri("r", "a"), place.settings)


class TestSections:
    def test_round_trip_bit_for_bit(self, place: Place) -> None:
        uri = place.uri("sections", "sec")
        committed = commit_section(uri, new_section(), place.settings)
        section = open_section(uri, place.settings)
        assert section.meta == committed
        assert committed.model_copy(update={"data_sha256": "", "created_at": ""}) == meta_of()
        assert len(committed.data_sha256) == 64
        assert committed.created_at.endswith("+00:00")
        assert section.uri == uri
        assert section.genes == GENES
        read = section.read()
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, counts_of())
        for name in Masks.__slots__:
            mask = getattr(section.masks(), name)
            assert mask.dtype == np.bool_
            np.testing.assert_array_equal(mask, getattr(masks_of(), name))

    def test_normalised_values_come_back_as_float32(self, place: Place) -> None:
        values = np.log1p(counts_of()).astype(np.float32)
        new = replace(new_section(), meta=meta_of(values="log1p"), blocks=[values])
        commit_section(place.uri("sec"), new, place.settings)
        read = open_section(place.uri("sec"), place.settings).read()
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values)

    @pytest.mark.parametrize(
        ("genes", "window"),
        [
            pytest.param(slice(2, 5), None, id="slice"),
            pytest.param(slice(None, None, 3), Window(y=3, x=5, height=30, width=20), id="strided"),
            pytest.param(slice(None, None, -1), Window(y=0, x=0, height=1, width=1), id="backwards"),
            pytest.param([6, 0, 3], Window(y=39, x=49, height=1, width=1), id="any-order"),
            pytest.param([4, 4], Window(y=15, x=15, height=2, width=2), id="twice-across-chunks"),
            pytest.param([], None, id="none"),
            pytest.param(None, Window(y=0, x=0, height=HEIGHT, width=WIDTH), id="whole-window"),
        ],
    )
    def test_parts(self, place: Place, genes: slice | list[int] | None, window: Window | None) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        section = open_section(place.uri("sec"), place.settings)
        rows = slice(None) if window is None else slice(window.y, window.y + window.height)
        columns = slice(None) if window is None else slice(window.x, window.x + window.width)
        picked = (
            np.arange(NUM_GENES) if genes is None else np.arange(NUM_GENES)[genes] if isinstance(genes, slice) else np.array(genes, int)
        )
        np.testing.assert_array_equal(section.read(genes, window), counts_of()[picked][:, rows, columns])
        np.testing.assert_array_equal(section.masks(window).observed, masks_of().observed[rows, columns])

    def test_hash_ignores_block_sizes_chunks_and_dtype(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = counts_of()
        whole = commit_section(place.uri("a"), new_section(), place.settings)
        blocks = [counts[:1], counts[1:1], counts[1:6], counts[6:]]
        split = commit_section(place.uri("b"), replace(new_section(), blocks=blocks), place.settings)
        monkeypatch.setattr(arrays, "CHUNK_BYTES", 2**20)
        wide = commit_section(place.uri("c"), replace(new_section(), blocks=[counts.astype(np.int64)]), place.settings)
        assert whole.data_sha256 == split.data_sha256 == wide.data_sha256
        np.testing.assert_array_equal(open_section(place.uri("b"), place.settings).read(), counts)
        np.testing.assert_array_equal(open_section(place.uri("c"), place.settings).read(), counts)

    def test_hash_sees_values_names_and_masks(self, place: Place) -> None:
        masks = replace(masks_of(), valid=np.ones((HEIGHT, WIDTH), np.bool_))
        variants = [new_section(), new_section(seed=1), replace(new_section(), genes=GENES[::-1]), replace(new_section(), masks=masks)]
        hashes = [commit_section(place.uri(str(n)), new, place.settings).data_sha256 for n, new in enumerate(variants)]
        assert len(set(hashes)) == 4

    def test_a_block_may_be_reused_by_its_maker(self, place: Place) -> None:
        def one_buffer() -> Iterator[np.ndarray]:
            buffer = np.empty((1, HEIGHT, WIDTH), np.uint16)
            for plane in counts_of():
                buffer[0] = plane
                yield buffer

        commit_section(place.uri("sec"), replace(new_section(), blocks=one_buffer()), place.settings)
        np.testing.assert_array_equal(open_section(place.uri("sec"), place.settings).read(), counts_of())

    def test_a_failure_in_the_middle_leaves_nothing(self, place: Place) -> None:
        def broken() -> Iterator[np.ndarray]:
            yield counts_of()[:5]
            assert len(list_names(place.uri("sections", "sec"), place.settings)) == 1, "the attempt is being written"
            raise OSError("the source file is truncated")

        with pytest.raises(OSError, match=r"^the source file is truncated$"):
            commit_section(place.uri("sections", "sec"), replace(new_section(), blocks=broken()), place.settings)
        assert objects_below(place.uri("sections", "sec"), place.settings) == []
        assert list_sections(place.uri("sections"), place.settings) == []
        with pytest.raises(MissingError, match="expected a committed section"):
            open_section(place.uri("sections", "sec"), place.settings)

    def test_an_attempt_without_commit_is_invisible(self, place: Place) -> None:
        seen: list[bool] = []

        def watched() -> Iterator[np.ndarray]:
            yield counts_of()
            seen.append(find_commit(place.uri("sections", "sec"), place.settings) is None)
            seen.append(list_sections(place.uri("sections"), place.settings) == [])

        commit_section(place.uri("sections", "sec"), replace(new_section(), blocks=watched()), place.settings)
        assert seen == [True, True]

    def test_existing_is_refused_before_reading_any_block(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        before = objects_below(place.uri("sec"), place.settings)
        blocks = iter([counts_of(1)])
        with pytest.raises(ExistsError, match="--replace"):
            commit_section(place.uri("sec"), replace(new_section(), blocks=blocks), place.settings)
        assert len(list(blocks)) == 1
        assert objects_below(place.uri("sec"), place.settings) == before
        np.testing.assert_array_equal(open_section(place.uri("sec"), place.settings).read(), counts_of(0))

    def test_replace_takes_the_place_and_deletes_the_former(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        former = open_section(place.uri("sec"), place.settings)
        before = objects_below(place.uri("sec"), place.settings)
        commit_section(place.uri("sec"), new_section(seed=1), place.settings, replace=True)
        after = objects_below(place.uri("sec"), place.settings)
        assert len(after) == len(before)
        assert set(before) & set(after) == {"commit.json"}
        np.testing.assert_array_equal(open_section(place.uri("sec"), place.settings).read(), counts_of(1))
        with pytest.raises((MissingError, InputError)):
            former.read()

    def test_a_replacement_that_fails_keeps_the_former(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        before = objects_below(place.uri("sec"), place.settings)
        with pytest.raises(ShapeError):
            commit_section(place.uri("sec"), replace(new_section(), blocks=[counts_of()[:3]]), place.settings, replace=True)
        assert objects_below(place.uri("sec"), place.settings) == before
        np.testing.assert_array_equal(open_section(place.uri("sec"), place.settings).read(), counts_of())

    def test_reading_while_being_replaced_never_gives_zeros(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        section = open_section(place.uri("sec"), place.settings)
        np.testing.assert_array_equal(section.read(slice(0, 1)), counts_of()[:1])
        commit_section(place.uri("sec"), new_section(seed=1), place.settings, replace=True)
        with pytest.raises(MissingError, match="replaced or deleted while being read"):
            section.read()

    def test_of_two_writers_one_wins(self, place: Place) -> None:
        barrier = threading.Barrier(2)
        outcomes: list[str] = []

        def blocks(seed: int) -> Iterator[np.ndarray]:
            barrier.wait()
            yield counts_of(seed)
            barrier.wait()

        def write(seed: int) -> None:
            try:
                commit_section(place.uri("sec"), replace(new_section(), blocks=blocks(seed)), place.settings)
            except S2SError as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append(str(seed))

        threads = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winner, loser = sorted(outcomes)
        assert loser == "ExistsError"
        assert len({name.partition("/")[0] for name in objects_below(place.uri("sec"), place.settings)}) == 2, "one attempt, one commit"
        np.testing.assert_array_equal(open_section(place.uri("sec"), place.settings).read(), counts_of(int(winner)))

    def test_listing(self, place: Place) -> None:
        root = place.uri("sections")
        for section_id in ("c", "a", "b"):
            commit_section(join(root, section_id), new_section(section_id), place.settings)
        write_bytes(join(root, "half", "attempt-1", "zarr.json"), b"{}", place.settings)
        write_bytes(join(root, "readme.txt"), b"", place.settings)
        assert [meta.id for meta in list_sections(root, place.settings)] == ["a", "b", "c"]
        assert list_sections(place.uri("empty"), place.settings) == []

    def test_a_commit_of_another_version_is_said(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        commit = json.loads(read_bytes(place.uri("sec", "commit.json"), place.settings))
        write_bytes(place.uri("sec", "commit.json"), json.dumps({**commit, "version": 2}).encode(), place.settings)
        with pytest.raises(InputError, match="version"):
            open_section(place.uri("sec"), place.settings)

    def test_pickling_drops_the_handles_and_no_data(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        section = open_section(place.uri("sec"), place.settings)
        section.read()
        again = pickle.loads(pickle.dumps(section))  # noqa: S301 - our own
        assert again.genes == GENES
        np.testing.assert_array_equal(again.read([1]), counts_of()[[1]])

    def test_a_pickled_section_opens_in_another_process(self, place: Place) -> None:
        if place.root.startswith("memory:"):
            pytest.skip("memory is that of one process")
        commit_section(place.uri("sec"), new_section(), place.settings)
        section = open_section(place.uri("sec"), place.settings)
        section.read()
        code = "import pickle, sys; print(int(pickle.load(sys.stdin.buffer).read().sum()))"
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, input=pickle.dumps(section), capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr == b""
        assert int(done.stdout) == int(counts_of().sum())

    def test_arrays_are_plain_zarr(self, place: Place) -> None:
        """What a reader without this package finds: names, axes, dtypes, chunks and the contract in the attributes."""
        committed = commit_section(place.uri("sec"), new_section(), place.settings)
        attempt = next(name for name in list_names(place.uri("sec"), place.settings) if name.startswith("attempt-"))
        group = json.loads(read_bytes(place.uri("sec", attempt, "zarr.json"), place.settings))
        members = group["consolidated_metadata"]["metadata"]
        assert group["zarr_format"] == 3
        assert SectionMeta.model_validate(group["attributes"]) == committed
        assert sorted(members) == ["counts", "genes", "observed", "tissue", "valid"]
        assert members["counts"]["dimension_names"] == ["gene", "y", "x"]
        assert members["counts"]["data_type"] == "uint16"
        assert members["counts"]["chunk_grid"]["configuration"]["chunk_shape"] == [4, 16, 16]
        assert members["tissue"]["data_type"] == "bool"

    def test_a_store_that_is_read_only_refuses(self, place: Place) -> None:
        commit_section(place.uri("sec"), new_section(), place.settings)
        store = open_store(place.uri("sec"), place.settings, read_only=True)
        with pytest.raises(ValueError, match="read-only"):
            zarr.create_group(store, zarr_format=3)


class TestPhotographs:
    META = PhotographsMeta(id="set", num_photographs=5, side=48, source="test", input_sha256=SHA, code_version="0")

    def images(self) -> np.ndarray:
        return np.random.default_rng(0).random((5, 48, 48), np.float32)

    def test_round_trip_to_one_part_in_510(self, place: Place) -> None:
        committed = write_photographs(place.uri("set"), self.META, self.images(), place.settings)
        photographs = open_photographs(place.uri("set"), place.settings)
        assert photographs.meta == committed
        read = photographs.read([4, 0, 0])
        assert read.dtype == np.float32
        assert read.shape == (3, 48, 48)
        np.testing.assert_allclose(read, self.images()[[4, 0, 0]], rtol=0, atol=0.5 / 255 + 1e-6)

    def test_eight_bit_values_come_back_exactly(self, place: Place) -> None:
        levels = (np.arange(5 * 48 * 48) % 256).astype(np.float32).reshape(5, 48, 48) / np.float32(255)
        write_photographs(place.uri("set"), self.META, levels, place.settings)
        np.testing.assert_array_equal(open_photographs(place.uri("set"), place.settings).read(range(5)), levels)

    @pytest.mark.parametrize(
        ("images", "error"),
        [
            pytest.param(np.zeros((4, 48, 48), np.float32), ShapeError, id="too-few"),
            pytest.param(np.zeros((6, 48, 48), np.float32), ShapeError, id="too-many"),
            pytest.param(np.zeros((5, 48, 47), np.float32), ShapeError, id="not-square"),
            pytest.param(np.full((5, 48, 48), 1.5, np.float32), InputError, id="too-bright"),
            pytest.param(np.full((5, 48, 48), np.nan, np.float32), InputError, id="nan"),
        ],
    )
    def test_wrong_images_leave_nothing(self, place: Place, images: np.ndarray, error: type[Exception]) -> None:
        with pytest.raises(error, match="expected"):
            write_photographs(place.uri("set"), self.META, images, place.settings)
        assert objects_below(place.uri("set"), place.settings) == []

    def test_photographs_are_no_section(self, place: Place) -> None:
        write_photographs(place.uri("all", "set"), self.META, self.images(), place.settings)
        commit_section(place.uri("all", "sec"), new_section(), place.settings)
        with pytest.raises(InputError, match="found a photographs"):
            open_section(place.uri("all", "set"), place.settings)
        with pytest.raises(InputError, match="found a section"):
            open_photographs(place.uri("all", "sec"), place.settings)
        assert [meta.id for meta in list_sections(place.uri("all"), place.settings)] == ["sec"]

    def test_pickling(self, place: Place) -> None:
        write_photographs(place.uri("set"), self.META, self.images(), place.settings)
        photographs = open_photographs(place.uri("set"), place.settings)
        first = photographs.read([0])
        again = pickle.loads(pickle.dumps(photographs))  # noqa: S301 - our own
        np.testing.assert_array_equal(again.read([0]), first)


class TestCheckpoints:
    def test_round_trip(self, place: Place) -> None:
        tensors = {
            "weight": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4).T,
            "step": np.array(7, np.int64),
            "rng": np.arange(5, dtype=np.uint8),
            "empty": np.zeros((0, 3), np.float32),
        }
        state = {"step": 7, "best": 0.1 + 0.2, "worst": float("inf"), "name": "µ", "none": None}
        write_checkpoint(place.uri("run", "last.safetensors"), tensors, state, place.settings)
        found = read_checkpoint(place.uri("run", "last.safetensors"), place.settings)
        assert found is not None
        assert found[1] == state
        assert found[0].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[0][name].dtype == tensor.dtype
            np.testing.assert_array_equal(found[0][name], tensor, strict=True)

    def test_none_where_there_is_none(self, place: Place) -> None:
        assert read_checkpoint(place.uri("run", "last.safetensors"), place.settings) is None

    def test_a_later_one_takes_the_place_of_the_former_and_leaves_one_object(self, place: Place) -> None:
        for step in (1, 2):
            write_checkpoint(place.uri("run", "last"), {"a": np.full(3, step)}, {"step": step}, place.settings)
        found = read_checkpoint(place.uri("run", "last"), place.settings)
        assert found is not None
        assert found[1] == {"step": 2}
        assert list_names(place.uri("run"), place.settings) == ["last"]

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"PK\x03\x04 this is a pickle of torch", id="other-format"),
            pytest.param(b"\x02\x00\x00\x00\x00\x00\x00\x00{}", id="no-state"),
        ],
    )
    def test_another_format_is_said(self, place: Place, data: bytes) -> None:
        write_bytes(place.uri("run", "last"), data, place.settings)
        with pytest.raises(InputError, match="expected a checkpoint"):
            read_checkpoint(place.uri("run", "last"), place.settings)


CLIENTS = pytest.mark.parametrize("client", [pytest.param("obstore", id="obstore"), pytest.param("s3fs", id="s3fs")])


class TestFaultsOfS3:
    @CLIENTS
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"aws_access_key_id": SecretStr("nobody")}, id="unknown-key"),
            pytest.param({"aws_secret_access_key": SecretStr("guessed")}, id="wrong-secret"),
        ],
    )
    def test_a_wrong_key_is_said_at_once(self, s3_settings: Settings, client: str, change: dict[str, SecretStr]) -> None:
        wrong = s3_settings.model_copy(update={"zarr_client": client, **change})
        uri = f"s3://{wrong.bucket}/{secrets.token_hex(6)}"
        started = time.monotonic()
        for act in (
            lambda: commit_section(uri, new_section(), wrong),
            lambda: ArrayReader(uri, uri, wrong).read("counts"),
            lambda: write_bytes(uri, b"", wrong, if_absent=True),
            lambda: list_names(uri, wrong),
        ):
            with pytest.raises(StorageError) as caught:
                act()
            for word in (str(wrong.s3_endpoint), f"bucket {wrong.bucket}", uri, "AWS_ACCESS_KEY_ID", "s2s stack status"):
                assert word in str(caught.value)
            assert "guessed" not in str(caught.value)
        assert time.monotonic() - started < 10
        assert objects_below(uri, s3_settings) == []

    def test_no_key_at_all_is_said(self, s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        nobody = s3_settings.model_copy(update={"aws_access_key_id": None, "aws_secret_access_key": None})
        with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID"):
            read_bytes(f"s3://{nobody.bucket}/x", nobody)

    def test_keys_of_the_environment_serve_where_the_settings_have_none(
        self, s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert s3_settings.aws_access_key_id is not None
        assert s3_settings.aws_secret_access_key is not None
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_settings.aws_access_key_id.get_secret_value())
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_settings.aws_secret_access_key.get_secret_value())
        # Another region makes it another client than that of the test above, which found no keys.
        bare = s3_settings.model_copy(update={"aws_access_key_id": None, "aws_secret_access_key": None, "aws_region": "eu-west-1"})
        uri = f"s3://{bare.bucket}/{secrets.token_hex(6)}"
        write_bytes(uri, b"1", bare)
        assert read_bytes(uri, s3_settings) == b"1"

    @CLIENTS
    def test_a_server_that_is_not_there(self, s3_settings: Settings, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clients, "PATIENCE_S", 2)
        endpoint = f"http://127.0.0.1:{choose_ports(('dead',), last={})['dead']}"
        dead = s3_settings.model_copy(update={"s3_endpoint": endpoint, "zarr_client": client})
        started = time.monotonic()
        for act in (
            lambda: open_section("s3://atlas/x", dead),
            lambda: ArrayReader("s3://atlas/x", "s3://atlas/x/a", dead).read("counts"),
            lambda: ensure_bucket(dead),
        ):
            with pytest.raises(StorageError, match="does not answer") as caught:
                act()
            assert endpoint in str(caught.value)
            assert "s2s stack status" in str(caught.value)
        assert time.monotonic() - started < 60

    def test_a_bucket_that_is_not_there_is_said_and_made(self, s3_settings: Settings) -> None:
        settings = s3_settings.model_copy(update={"bucket": f"made-{secrets.token_hex(4)}"})
        with pytest.raises(MissingError, match="S2S_BUCKET"):
            read_bytes(f"{settings.root}/x", settings)
        ensure_bucket(settings)
        ensure_bucket(settings)
        write_bytes(f"{settings.root}/x", b"1", settings)
        assert list_names(settings.root, settings) == ["x"]

    @CLIENTS
    def test_a_server_killed_in_the_middle_of_a_write(self, server_folder: Path, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = seaweedfs.S3Keys(access_key_id="testkey", secret_access_key=SecretStr(secrets.token_hex(20)))
        ports = choose_ports(seaweedfs.PORTS, last={})
        launch = seaweedfs.launch(server_folder / client, server_folder / f"{client}.log", ports, keys)
        settings = Settings(
            s3_endpoint=seaweedfs.endpoint(ports), aws_access_key_id=SecretStr("testkey"), aws_secret_access_key=keys.secret_access_key
        ).model_copy(update={"zarr_client": client})
        records = [spawn(launch)]

        def kill_after_the_first_genes() -> Iterator[np.ndarray]:
            yield counts_of()[:5]
            assert len(list_names("s3://atlas/sections/sec", settings)) == 1, "the attempt is being written"
            os.kill(records[0].pid, signal.SIGKILL)
            yield counts_of()[5:]

        try:
            wait_until_healthy(records[0], lambda: seaweedfs.is_healthy(seaweedfs.endpoint(ports)), timeout_s=60)
            ensure_bucket(settings)
            commit_section("s3://atlas/sections/before", new_section("before"), settings)
            started = time.monotonic()
            # Impatient only towards the dead server: one that has just restarted answers 500 until its volumes are loaded.
            with monkeypatch.context() as impatient, pytest.raises(StorageError, match="broke off or does not answer"):
                impatient.setattr(clients, "PATIENCE_S", 2)
                commit_section("s3://atlas/sections/sec", replace(new_section(), blocks=kill_after_the_first_genes()), settings)
            assert time.monotonic() - started < 60

            records.append(spawn(launch))
            wait_until_healthy(records[1], lambda: seaweedfs.is_healthy(seaweedfs.endpoint(ports)), timeout_s=60)
            ensure_bucket(settings)
            assert [meta.id for meta in list_sections("s3://atlas/sections", settings)] == ["before"]
            np.testing.assert_array_equal(open_section("s3://atlas/sections/before", settings).read(), counts_of())
            commit_section("s3://atlas/sections/sec", new_section(), settings)
            np.testing.assert_array_equal(open_section("s3://atlas/sections/sec", settings).read(), counts_of())
        finally:
            for record in records:
                stop(record)


def test_of_many_who_take_a_run_at_once_one_holds_it(place: Place) -> None:
    ledger = Ledger(root=place.uri("race"), settings=place.settings)
    key = secrets.token_hex(8)
    with ThreadPoolExecutor(max_workers=8) as pool:
        leases = [lease for lease in pool.map(lambda _: ledger.take(key, lease_s=60), range(8)) if lease is not None]
    assert [lease.token for lease in leases] == [1]
    assert ledger.commit(leases[0]) == ledger.find_commit(key)
    assert ledger.survey().commits == {key}
    ledger.forget(key)
    assert (ledger.survey().commits, ledger.find_commit(key)) == (frozenset(), None)


def test_all_objects_below_a_prefix_are_listed_by_their_paths(place: Place) -> None:
    for name in ("a", "b/c", "b/d/e"):
        write_bytes(place.uri("tree", name), b"x", place.settings)
    write_bytes(place.uri("tree-beside", "f"), b"x", place.settings)
    assert list_below(place.uri("tree"), place.settings) == ["a", "b/c", "b/d/e"]
    assert list_below(place.uri("tree", "b"), place.settings) == ["c", "d/e"]
    assert list_below(place.uri("nothing"), place.settings) == []
