"""From an atlas's YAML to its runs: every one with its key, before any of them is started.

Decision: a section that cannot be used (not there, damaged, the same arrays as another) is left out with its reason and
stops no other; what would make the whole atlas wrong (an id taken by other data) stops it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from s2s import __version__
from s2s.contracts.atlas import AtlasConfig, AtlasPlan, AtlasQuery, AtlasRun, Skipped
from s2s.contracts.loading import atlas_run_config
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.contracts.sources import label_of
from s2s.errors import InputError, MissingError
from s2s.recipes.patience import patiently
from s2s.recipes.run import Progress, Run
from s2s.recipes.sources import open_run, open_source
from s2s.storage.commits import now_utc
from s2s.storage.location import join
from s2s.storage.sections import Section, list_sections, open_section

ATTEMPTS, PAUSE_S = 3, 2.0
"""How often a section is ingested where S3 breaks off: among many sections some will meet a fault."""

READERS = 32
"""Sections that are opened at once."""


def make_plan(config: AtlasConfig, settings: Settings, on_progress: Progress) -> AtlasPlan:
    """Open every section and name every run.

    Args:
        config: Resolved.
        settings: Where sections lie.
        on_progress: Told about sections that are ingested or opened.

    Raises:
        ExistsError: the id of a section is taken by other data.
        InputError: no section is left.

    Writes:
        Sections whose file was named, synthetic ones, and the bundled photographs, on first use.
    """
    sections, skipped = _sections(config, settings, on_progress)
    sections, twins = _without_twins(sections)
    if not sections:
        reasons = "; ".join(f"{item.section_id}: {item.reason}" for item in (*skipped, *twins)) or "the query fits none that is ingested"
        raise InputError(f"expected at least one section for atlas {config.name}, none is left: {reasons}")
    runs = tuple(_runs(config, sections, settings, on_progress))
    return AtlasPlan(
        config=config,
        runs=runs,
        skipped=(*skipped, *twins),
        warnings=tuple(_donor_warnings([section.meta for section in sections])),
        code_version=__version__,
        created_at=now_utc(),
    )


def _sections(config: AtlasConfig, settings: Settings, on_progress: Progress) -> tuple[list[Section], list[Skipped]]:
    sections: dict[str, Section] = {}
    skipped: list[Skipped] = []
    for done, source in enumerate(config.sections):
        on_progress("sections", done, len(config.sections), label_of(source))
        try:
            section = patiently(partial(open_source, source, settings, on_progress), on_progress, attempts=ATTEMPTS, pause_s=PAUSE_S)
        except (MissingError, InputError) as error:
            skipped.append(
                Skipped(section_id=label_of(source), tissue="" if isinstance(source, str) else source.tissue or "", reason=str(error))
            )
        else:
            sections.setdefault(section.uri, section)
    if config.query is not None:
        for section in _queried(config.query, settings):
            sections.setdefault(section.uri, section)
    return list(sections.values()), skipped


def _queried(query: AtlasQuery, settings: Settings) -> list[Section]:
    root = join(settings.root, "sections")
    uris = [join(root, meta.id) for meta in list_sections(root, settings) if _fits(query, meta)]
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        return list(pool.map(lambda uri: open_section(uri, settings), uris))


def _fits(query: AtlasQuery, meta: SectionMeta) -> bool:
    is_licensed = not query.licence or any(word.casefold() in meta.licence.casefold() for word in query.licence)
    asked = ((query.tissue, meta.tissue), (query.organism, meta.organism), (query.technology, meta.technology))
    return is_licensed and all(not wanted or value in wanted for wanted, value in asked)


def _without_twins(sections: Sequence[Section]) -> tuple[list[Section], list[Skipped]]:
    """Leave out sections whose arrays are those of an earlier one: they would be trained on, and judged, twice."""
    first: dict[str, Section] = {}
    twins: list[Skipped] = []
    for section in sections:
        known = first.setdefault(section.meta.data_sha256, section)
        if known is not section:
            twins.append(
                Skipped(section_id=section.meta.id, tissue=section.meta.tissue, reason=f"duplicate: the same arrays as {known.meta.id}")
            )
    return list(first.values()), twins


def _donor_warnings(metas: Sequence[SectionMeta]) -> Iterator[str]:
    by_donor: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for meta in metas:
        if meta.donor is not None:
            by_donor[meta.tissue, meta.donor].append(meta.id)
    for (tissue, donor), ids in by_donor.items():
        if len(ids) > 1:
            yield f"{', '.join(ids)} ({tissue}) are of one donor, {donor}: none of them judges a model of another"


def _runs(config: AtlasConfig, sections: Sequence[Section], settings: Settings, on_progress: Progress) -> Iterator[AtlasRun]:
    # The photographs are the same for all, so one run is opened and given section after section.
    first = open_run(atlas_run_config(config, sections[0].uri, config.seeds[0]), settings, on_progress)
    for done, section in enumerate(sections):
        on_progress("plan", done, len(sections), section.meta.id)
        for seed in config.seeds:
            yield _run(replace(first, config=first.config.model_copy(update={"seed": seed}), section=section))


def _run(run: Run) -> AtlasRun:
    meta = run.section.meta
    return AtlasRun(
        key=run.key,
        section=run.section.uri,
        section_id=meta.id,
        tissue=meta.tissue,
        organism=meta.organism,
        technology=meta.technology,
        donor=meta.donor,
        seed=run.config.seed,
        data_sha256=meta.data_sha256,
        is_synthetic=meta.is_synthetic,
        num_bins=meta.shape[0] * meta.shape[1],
        num_genes=meta.num_genes,
    )
