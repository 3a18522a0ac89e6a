"""What every document that crosses a border shares: it is frozen, strict about unknown keys, and names its kind and version.

A change that an old reader would misread raises `version`; the JSON Schemas under `schemas/` carry it in their names.
"""

from pydantic import BaseModel, ConfigDict

SECTION_ID = r"^[a-z0-9][a-z0-9._-]{0,99}$"
"""Ids become S3 keys, folder names and MLflow tags: lower-case letters, digits, dot, dash, underscore."""


class Part(BaseModel):
    """A piece of a document: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Document(Part):
    """A document of its own: its subclass fixes `kind` and `version`."""

    kind: str
    version: int
