"""The contract of a stored set of photographs, used for co-learning."""

from typing import Literal

from pydantic import Field

from s2s.contracts.document import Document
from s2s.contracts.section import SectionId


class PhotographsMeta(Document):
    """A set of gray photographs of equal side, values in [0, 1]."""

    kind: Literal["photographs"] = "photographs"
    version: Literal[1] = 1
    id: SectionId = Field(description="name of the set in the atlas")
    num_photographs: int = Field(gt=0)
    side: int = Field(ge=32, le=8192, description="height and width in pixels; larger sources are cut into tiles of this side")
    source: str = Field(description="folder, file or package they came from")
    licence: str = Field("unknown", description="licence of the source, as the user stated it")
    input_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    code_version: str
    created_at: str = Field("", description="UTC time of the commit, ISO 8601, filled at commit")
