"""A page put together: the browser's files as they stand, a store per section, the models' cards, and the index last.

Decision: everything is written into a hidden neighbour that is renamed when complete, so that a page is whole or not there. An interrupted
build leaves it for the next one, which goes on; the price is a lock, for two builds of one page would write into one folder.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from s2s import __version__
from s2s.contracts.page import PageIndex, PageModel, PageSection
from s2s.contracts.release import Release
from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError, MissingError, StackError, StorageError, TrackingError
from s2s.evaluation.release_card import release_card
from s2s.exchange.placing import swap, writing_to
from s2s.page.downloads import add_download
from s2s.page.keeping import remove_others, workshop
from s2s.page.provenance import model_key, model_of
from s2s.page.sections import SectionJob, Told, Written, write_section
from s2s.page.sources import Source, Sources, find_sources
from s2s.storage.commits import now_utc
from s2s.tracking.links import release_links

INDEX = "page.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """What to make a page of.

    Attributes:
        uri: Name of an atlas, URI of its folder, of one imputed section, or of a folder of those.
        out: Folder to write.
        has_anndata: Put the AnnData of every section into the page, to be downloaded.
        replace: Take the place of a page that is there.
    """

    uri: str
    out: Path
    has_anndata: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A page.

    Attributes:
        index: As written.
        num_kept: Sections that were there already.
    """

    index: PageIndex
    num_kept: int


def build_page(request: PageRequest, settings: Settings, on_progress: Told) -> Built:
    """Make a page; interrupted, the same call goes on, and of a page that is replaced it keeps what would be written again.

    Args:
        request: Of what, and where to.
        settings: Where the atlas, S3 and MLflow are.
        on_progress: Told of every section.

    Raises:
        InputError: nothing that a page can be made of; or not one section that can be read.
        MissingError: nothing there, or no folder to write into.
        ExistsError: something is at `out`, and it is no page or `replace` was not asked for; or another build is at work on it.
        StorageError: a store or the disk refused; nothing is left behind.

    Writes:
        `out`, through a hidden neighbour that is renamed when complete.
    """
    out = request.out.expanduser().absolute()
    check_out(out, replace=request.replace)
    found = find_sources(request.uri, settings)
    scratch = out.with_name(f".{out.name}.building")
    with writing_to(out), workshop(scratch):
        build = _Build(folder=scratch, request=request, settings=settings, on_progress=on_progress)
        written = [build.section(source, place, len(found.sections)) for place, source in enumerate(found.sections)]
        _check_any(written, request.uri)
        built = _finish(scratch, found, written, settings)
        swap(scratch, out)
    return built


def index_document(index: PageIndex) -> bytes:
    """The index as JSON, without what is at its default: a thousand sections would be twice as many bytes."""
    told = {"kind": index.kind, "version": index.version, **index.model_dump(mode="json", exclude_defaults=True)}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def _finish(folder: Path, found: Sources, written: Sequence[Written | PageSection], settings: Settings) -> Built:
    """Write all that is no section, and take away what is no part of this page."""
    done = [each for each in written if isinstance(each, Written)]
    remove_others(folder / "sections", (each.row.key for each in done))
    with as_file(files("s2s.page").joinpath("assets")) as assets:
        shutil.copytree(assets, folder, dirs_exist_ok=True)
    releases = {model_key(each.release): each.release for each in done if each.release}
    index = PageIndex(
        title=found.title[:200],
        sections=tuple(each.row if isinstance(each, Written) else each for each in written),
        models=tuple(_models(folder, releases, settings)),
        code_version=__version__,
        created_at=now_utc(),
    )
    (folder / INDEX).write_bytes(index_document(index))
    return Built(index=index, num_kept=sum(each.is_kept for each in done))


def _check_any(written: Sequence[Written | PageSection], uri: str) -> None:
    rows = [each for each in written if isinstance(each, PageSection)]
    if len(rows) == len(written):
        reasons = (
            "; ".join(dict.fromkeys(f"{row.key}: {row.state}, {row.reason or 'not imputed yet'}" for row in rows[:3])) or "it has none"
        )
        raise InputError(f"expected at least one imputed section in {uri} that can be read, got none: {reasons}")


def check_out(out: Path, *, replace: bool) -> None:
    """Refuse an output folder before the work is done, not after.

    Raises:
        MissingError: the folder to write it into is not there.
        ExistsError: something is there; a folder that is no page is never replaced.
    """
    if not out.parent.is_dir():
        raise MissingError(f"expected a folder to write {out.name} into, found none at {out.parent}; create it first")
    if out.exists() and not (out / INDEX).is_file():
        raise ExistsError(f"expected a page or nothing at {out}, found something else; choose another --out")
    if out.exists() and not replace:
        raise ExistsError(f"expected nothing at {out}, found a page; choose another --out or add --replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """Where a page is being put together."""

    folder: Path
    request: PageRequest
    settings: Settings
    on_progress: Told

    def section(self, source: Source, place: int, total: int) -> Written | PageSection:
        """Write one section; among several, one that cannot be read is told of on the page instead of ending all."""
        if source.uri is None:
            return source.row

        where = f"sections/{source.row.key}"
        job = SectionJob(
            row=source.row,
            uri=source.uri,
            folder=self.folder / where,
            old=self.request.out.expanduser() / where,
            has_download=self.request.has_anndata,
            settings=self.settings,
            on_progress=self._of(place, total),
        )
        try:
            written = write_section(job)
            return add_download(job, written) if job.has_download and not written.is_kept else written
        except (InputError, MissingError, StorageError) as error:
            if total == 1 or _is_full(self.folder):
                raise
            log.warning("left out: %s", error)
            return source.row.model_copy(update={"state": "failed", "reason": str(error), "tissue": source.row.tissue or "unknown tissue"})

    def _of(self, place: int, num_sections: int) -> Told:
        """Tell of one section: alone, of its genes; of several, which it is."""

        def tell(stage: str, done: int, total: int, note: str = "") -> None:
            if num_sections == 1:
                self.on_progress("genes", done, total, note)
            else:
                self.on_progress("sections", place, num_sections, f"{stage} {done}/{total} genes")

        return tell


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < 2**20


def _models(folder: Path, releases: Mapping[str, Release], settings: Settings) -> Iterator[PageModel]:
    """Cards of the releases, with their places in MLflow where that answers."""
    if not releases:
        return
    try:
        links = release_links([release.weights_sha256 for release in releases.values()], settings)
    except (TrackingError, StackError) as error:
        log.warning("the page has no links to MLflow: %s", error)
        links = {}
    (folder / "models").mkdir(exist_ok=True)
    for release in releases.values():
        model = model_of(release, links.get(release.weights_sha256))
        (folder / "models" / f"{model.key}.txt").write_text(release_card(release), encoding="utf-8")
        yield model
