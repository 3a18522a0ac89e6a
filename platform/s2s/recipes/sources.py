"""From what a YAML names (a file, an id, a URI) to open sections and photographs; files are ingested on first use."""

from contextlib import suppress

from s2s.contracts.run import RunConfig, SectionSource
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.contracts.synthetic import SyntheticTissue
from s2s.errors import ExistsError, MissingError
from s2s.ingest.photographs import BUNDLED, PhotographSource, store_photographs
from s2s.ingest.readers import file_sha256, read_section
from s2s.ingest.store import store_section
from s2s.ingest.synthetic import make_synthetic, synthetic_sha256
from s2s.recipes.run import Progress, Run, ledger_of
from s2s.storage.location import join
from s2s.storage.objects import delete_prefix
from s2s.storage.photographs import Photographs, open_photographs
from s2s.storage.sections import Section, open_section


def open_run(config: RunConfig, settings: Settings, on_progress: Progress) -> Run:
    """Open the inputs of a run.

    Raises:
        MissingError: no such file, section or photographs; says how to ingest them.
        ExistsError: the section's id is taken by other data.

    Writes:
        The section, if a file was named, and the bundled photographs, on first use.
    """
    section = open_source(config.section, settings, on_progress)
    photographs = None if config.photographs is None else _open_photographs(config.photographs, settings, on_progress)
    return Run(config=config, settings=settings, section=section, photographs=photographs, on_progress=on_progress)


def forget_run(config: RunConfig, settings: Settings, on_progress: Progress) -> None:
    """Delete the commit, checkpoint, report and files of a run, so that it starts anew; MLflow keeps what it has.

    Raises:
        MissingError: no such file, section or photographs.
    """
    run = open_run(config, settings, on_progress)
    ledger_of(settings).forget(run.key)
    delete_prefix(run.folder, settings)


def open_source(source: str | SectionSource | SyntheticTissue, settings: Settings, on_progress: Progress) -> Section:
    """Open a section by id or URI, or ingest its file, or make it, unless that very section is there already.

    Args:
        source: Id, URI, a file with how to read it, or what synthetic tissue to make.
        settings: Where sections lie.
        on_progress: Told about hashing, reading and writing.

    Raises:
        MissingError: no such section or file.
        ExistsError: the id is taken by other data.
    """
    if isinstance(source, str):
        return open_section(in_atlas("sections", source, settings), settings)
    uri = in_atlas("sections", source.id, settings)
    try:
        section = open_section(uri, settings)
    except MissingError:
        binned = make_synthetic(source)[0] if isinstance(source, SyntheticTissue) else read_section(source, on_progress)
        with suppress(ExistsError):  # another process was faster; whether it stored the same is looked at below
            store_section(binned, uri, settings, on_progress=on_progress)
        section = open_section(uri, settings)
    if difference := _difference(source, section.meta):
        raise ExistsError(
            f"expected section {source.id} to hold {_origin(source)}, but {uri} differs: {difference}; "
            "choose another id, or replace it: s2s ingest section ... --replace"
        )
    return section


def in_atlas(folder: str, name: str, settings: Settings) -> str:
    """Give the URI of an id; a URI or path stays as it is."""
    return name if "/" in name or ":" in name else join(settings.root, folder, name)


def _open_photographs(name: str, settings: Settings, on_progress: Progress) -> Photographs:
    uri = in_atlas("photographs", name, settings)
    try:
        return open_photographs(uri, settings)
    except MissingError:
        if name != BUNDLED:
            raise
    with suppress(ExistsError):  # another run was faster; the set is the same
        store_photographs(PhotographSource(), uri, settings, on_progress=on_progress)
    return open_photographs(uri, settings)


def _origin(source: SectionSource | SyntheticTissue) -> str:
    return source.file if isinstance(source, SectionSource) else f"synthetic {source.kind}"


def _difference(source: SectionSource | SyntheticTissue, meta: SectionMeta) -> str:
    """Say in which point a stored section is not what the source would give; empty when it is."""
    if isinstance(source, SyntheticTissue):
        return "" if synthetic_sha256(source) == meta.input_sha256 else f"it was made from {meta.source}"
    expected = {
        "input_sha256": (file_sha256(source.file), meta.input_sha256),
        "pitch_um": (source.pitch_um / source.lattice.stride, meta.pitch_um),
        "lattice": (source.lattice, meta.lattice),
        "values": (source.values, meta.values),
        "tissue": (source.tissue, meta.tissue),
        "organism": (source.organism, meta.organism),
        "technology": (source.technology, meta.technology),
    }
    return "; ".join(f"{name} {have}, expected {want}" for name, (want, have) in expected.items() if want != have)
