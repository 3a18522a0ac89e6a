"""Where a section of a list may come from: the atlas, a file, or the generator."""

from typing import Annotated

from pydantic import Discriminator, Tag

from s2s.contracts.run import SectionSource, Uri
from s2s.contracts.synthetic import SyntheticTissue


def _kind(value: object) -> str:
    if isinstance(value, SyntheticTissue):
        return "SyntheticTissue"
    if isinstance(value, dict):
        return "SectionSource" if {"file", "reader"} & value.keys() else "SyntheticTissue"
    return "SectionSource" if isinstance(value, SectionSource) else "text"


AnySource = Annotated[
    Annotated[Uri, Tag("text")] | Annotated[SectionSource, Tag("SectionSource")] | Annotated[SyntheticTissue, Tag("SyntheticTissue")],
    Discriminator(_kind),
]
"""A URI or id of an ingested section, a file with how to read it, or what synthetic tissue to make."""


def label_of(source: str | SectionSource | SyntheticTissue) -> str:
    """Name of a section in tables: its id."""
    return source.rstrip("/").rpartition("/")[2] if isinstance(source, str) else source.id
