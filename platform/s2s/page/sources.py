"""What a page is made from: the name of an atlas, its folder, one imputed section, or a folder of those."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from s2s.contracts.atlas import AtlasManifest, SectionImputation
from s2s.contracts.document import SECTION_ID
from s2s.contracts.page import PageSection
from s2s.contracts.settings import Settings
from s2s.errors import InputError, MissingError, StackError
from s2s.storage.location import join, parse
from s2s.storage.objects import list_names, read_bytes

SUFFIXES = (".h5ad", ".zarr")
MANIFEST = "imputed.json"
NO_DOOR = "choose the name of an atlas, FILE.h5ad, FOLDER.zarr, s3://.../NAME.zarr, or a folder of those"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One section that the page tells of.

    Attributes:
        row: What is known of it before it is opened; of one that cannot be opened, all there is.
        uri: Of its AnnData; None where there is none.
    """

    row: PageSection
    uri: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All sections of a page, and what they are called together."""

    title: str
    sections: tuple[Source, ...]


def find_sources(uri: str, settings: Settings) -> Sources:
    """Find the sections that a page is asked for.

    Args:
        uri: Name of an atlas, URI of its folder or of its manifest, of one section, or of a folder of sections.
        settings: Where the atlas lies.

    Raises:
        InputError: something else lies there.
        MissingError: nothing lies there, or the atlas was never imputed.
        StackError: the name of an atlas, but neither a server nor `--local` is set.
        StorageError: the store refused or does not answer.
    """
    place, is_word = parse(uri), bool(re.match(SECTION_ID, uri)) and not uri.endswith(SUFFIXES)
    if is_word and not list_names(uri, settings):
        return _of_manifest(join(settings.root, "atlases", uri), settings)
    if is_word:  # an atlas wins over a folder that happens to be called the same, such as `demo`
        with suppress(MissingError, StackError):
            return _of_manifest(join(settings.root, "atlases", uri), settings)
    if place.key.endswith(f"/{MANIFEST}") or place.key == MANIFEST:
        return _of_manifest(uri.removesuffix(f"/{MANIFEST}"), settings)
    name = PurePosixPath(place.key).name
    if name.endswith(".h5ad") and place.scheme != "file":
        raise InputError(f"expected Zarr on S3, got {uri}; fetch the file and name it by its path")
    names = [] if name.endswith(".h5ad") else list_names(uri, settings)
    if name.endswith(SUFFIXES) or "zarr.json" in names:
        return Sources(title=_key(name, set()), sections=(_section(name, uri, set()),))
    if MANIFEST in names:
        return _of_manifest(uri, settings)
    if found := [each for each in names if each.endswith(SUFFIXES) and not each.startswith(".")]:
        taken: set[str] = set()
        return Sources(title=name or place.root, sections=tuple(_section(each, join(uri, each), taken) for each in found))
    if names:
        raise InputError(f"expected imputed sections in {uri}, found {', '.join(names[:3])} and the like; {NO_DOOR}")
    raise MissingError(f"expected imputed sections at {uri}, found nothing; {NO_DOOR}")


def _of_manifest(folder: str, settings: Settings) -> Sources:
    where = join(folder, MANIFEST)
    try:
        manifest = AtlasManifest.model_validate_json(read_bytes(where, settings))
    except MissingError:
        known = ", ".join(list_names(join(settings.root, "atlases"), settings)) or "none"
        raise MissingError(
            f"expected an atlas that was imputed, found nothing at {where}; atlases there: {known}; "
            f"`s2s atlas impute NAME` imputes one. Else {NO_DOOR}"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"expected the manifest of an imputed atlas at {where}, {first['loc']}: {first['msg']}; was it written by a newer s2s?"
        ) from None
    return Sources(title=manifest.name, sections=tuple(_filled_in(manifest.sections)))


def _filled_in(sections: Sequence[SectionImputation]) -> Iterator[Source]:
    taken: set[str] = set()
    for section in sections:
        row = PageSection(
            key=_key(section.section_id, taken),
            tissue=section.tissue,
            state=section.state,
            reason=section.reason,
            num_genes=section.num_genes,
        )
        yield Source(row=row, uri=section.uri if section.state == "done" else None)


def _section(name: str, uri: str, taken: set[str]) -> Source:
    return Source(row=PageSection(key=_key(name, taken), tissue=""), uri=uri)


def _key(name: str, taken: set[str]) -> str:
    """Make a name fit for a folder and a permalink, and unlike those before it."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", name.lower().removesuffix(".h5ad").removesuffix(".zarr")).strip(".-_")[:90] or "section"
    key = next(each for each in (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))) if each not in taken)
    taken.add(key)
    return key
