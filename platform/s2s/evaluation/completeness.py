"""The completeness map of an atlas: section x stage, and why a stage is not done; as rows, and as one HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from s2s.contracts.atlas import AtlasStatus, RunState, SectionImputation, Skipped

STAGES = ("stored", "trained", "scored", "released", "imputed")
"""Released: the tissue of the section has a version of its model that came out of this atlas."""

Look = Literal["done", "running", "waiting", "failed", "skipped", "none"]
COLOURS: dict[Look, str] = {
    "done": "#2a7f62",
    "running": "#e0a100",
    "waiting": "#d9d9e0",
    "failed": "#b5126b",
    "skipped": "#7d7d88",
    "none": "#f6f6f8",
}
WORST_FIRST: tuple[Look, ...] = ("failed", "running", "waiting", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionRow:
    """One section of the map.

    Attributes:
        section_id: Name.
        tissue: Of the section; empty where it is not known.
        looks: One per stage.
        why: Reason of what is not done; empty where everything is.
    """

    section_id: str
    tissue: str
    looks: tuple[Look, ...]
    why: str


def completeness(status: AtlasStatus) -> list[SectionRow]:
    """Say for every section how far it is, ordered by tissue and name.

    Args:
        status: Of the atlas; a section with several seeds shows the least of them.
    """
    by_section: dict[str, list[RunState]] = {}
    for run in status.runs:
        by_section.setdefault(run.section_id, []).append(run)
    released = {(release.organism, release.tissue) for release in status.releases if release.model_version is not None}
    imputed = {section.section_id: section for section in status.imputed}
    rows = [
        _row(runs, imputed.get(section_id), is_released=(runs[0].organism, runs[0].tissue) in released)
        for section_id, runs in by_section.items()
    ]
    rows += [_skipped(item) for item in status.skipped]
    return sorted(rows, key=lambda row: (row.tissue, row.section_id))


def completeness_html(status: AtlasStatus) -> str:
    """Render the map as a page without external parts: counts, the map, and every reason in full."""
    counts = " · ".join(f"{status.count(state)} {state}" for state in ("done", "running", "waiting", "failed"))
    skipped = f" · {len(status.skipped)} sections skipped" if status.skipped else ""
    legend = " ".join(f'<span class="key" style="background:{COLOURS[look]}"></span>{look}' for look in COLOURS if look != "none")
    head = "".join(f"<th scope=col>{stage}</th>" for stage in STAGES)
    body = "".join(_html_rows(completeness(status)))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Atlas {escape(status.name)}</title><style>{STYLE}</style>"
        f"<h1>Atlas {escape(status.name)}</h1><p>{counts} runs{skipped} · {status.cost_usd:.2f} USD · {escape(status.created_at)}</p>"
        f"<p>{legend}</p><table><thead><tr><th scope=col>section</th>{head}<th scope=col>why</th></tr></thead>{body}</table></html>\n"
    )


STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;color:#1b1b1f;margin:2rem}table{border-collapse:collapse}"
    "td,th{padding:2px 10px;text-align:left;vertical-align:top}tbody th{font-weight:600;padding-top:12px}"
    "td.s{min-width:64px;color:#fff;text-align:center;border:2px solid #fff}td.s.waiting,td.s.none{color:#1b1b1f}"
    ".key{display:inline-block;width:12px;height:12px;margin:0 4px 0 10px}"
)


def _row(runs: Sequence[RunState], filled: SectionImputation | None, *, is_released: bool) -> SectionRow:
    trained: Look = next(look for look in WORST_FIRST if any(run.state == look for run in runs))
    is_scored = trained == "done" and all("pcc" in run.figures for run in runs)
    scored: Look = "done" if is_scored else ("none" if trained == "done" else "waiting")
    released: Look = "done" if is_released else "waiting"
    reasons = dict.fromkeys(f"{run.cause}: {run.message}" for run in runs if run.cause is not None)
    if filled is not None and filled.reason:
        reasons[f"not imputed: {filled.reason}"] = None
    imputed: Look = "none" if filled is None else ("skipped" if filled.state == "missing" else filled.state)
    return SectionRow(
        section_id=runs[0].section_id,
        tissue=runs[0].tissue,
        looks=("done", trained, scored, released, imputed),
        why="; ".join(reasons) or _unscored(scored),
    )


def _unscored(scored: Look) -> str:
    return "sparse: nothing of it was held out" if scored == "none" else ""


def _skipped(item: Skipped) -> SectionRow:
    untouched: list[Look] = ["none"] * (len(STAGES) - 1)
    return SectionRow(section_id=item.section_id, tissue=item.tissue, looks=("skipped", *untouched), why=item.reason)


def _html_rows(rows: Sequence[SectionRow]) -> Iterator[str]:
    tissue = None
    for row in rows:
        if row.tissue != tissue:
            tissue = row.tissue
            yield f'<tr><th scope=rowgroup colspan="{len(STAGES) + 2}">{escape(tissue or "no tissue")}</th></tr>'
        cells = "".join(
            f'<td class="s {look}" style="background:{COLOURS[look]}">{"" if look == "none" else look}</td>' for look in row.looks
        )
        yield f"<tr><td>{escape(row.section_id)}</td>{cells}<td>{escape(row.why)}</td></tr>"
