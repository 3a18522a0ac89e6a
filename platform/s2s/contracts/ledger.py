"""The entries of the ledger: who works on a run, how attempts ended, and which attempt is its result.

What they mean together stands in `infra/ledger.md`; how they are written, in `storage/ledger.py`.
"""

from typing import Annotated, Literal

from pydantic import Field

from s2s.contracts.document import Document
from s2s.contracts.run import GpuUse

RUN_KEY = r"^[0-9a-f]{16}$"
RunKey = Annotated[str, Field(pattern=RUN_KEY)]
Attempt = Annotated[str, Field(pattern=r"^attempt-[0-9]{6}-[0-9a-f]{32}$")]
Token = Annotated[int, Field(ge=1, lt=10**6)]
Moment = Annotated[float, Field(ge=0, description="seconds since 1970, UTC")]

Cause = Literal["bad-input", "diverged", "defect", "out-of-memory", "storage", "lost", "preempted", "stopped"]
"""Why an attempt left no result.

bad-input: section or settings cannot work; diverged: the loss is not finite; defect: a mistake of ours; out-of-memory: of
the machine or the graphics processor; storage: S3 refused too long; lost: the worker died or went silent; preempted: the
cloud took the machine back, with notice; stopped: the user or the budget.
"""


class Lease(Document):
    """The right to work on a run until a moment. Of two leases of one run the higher token counts."""

    kind: Literal["lease"] = "lease"
    version: Literal[1] = 1
    key: RunKey
    token: Token = Field(description="1 for the first attempt at the run, then one more each time")
    attempt: Attempt = Field(description="folder of the run that this attempt writes to, and nobody else")
    holder: str = Field(min_length=1, max_length=300, description="host and process")
    taken_at: Moment
    expires_at: Moment
    predecessors: tuple[Attempt, ...] = Field((), description="earlier attempts, newest first: their checkpoints may be read")
    note: str = Field("", max_length=200, description="what its holder was doing when it was last renewed, for people to read")


class Failure(Document):
    """How one attempt ended without a result; it ends the lease at once."""

    kind: Literal["failure"] = "failure"
    version: Literal[1] = 1
    key: RunKey
    token: Token
    cause: Cause
    message: str = Field(max_length=4000)
    holder: str
    at: Moment


class RunCommit(Document):
    """The result of a run: it exists once, and only after everything that it names."""

    kind: Literal["run_commit"] = "run_commit"
    version: Literal[1] = 1
    key: RunKey
    token: Token
    attempt: Attempt
    holder: str
    at: Moment
    seconds: float = Field(ge=0, description="of this attempt, from lease to commit")
    peak_memory_bytes: int = Field(0, ge=0, description="main memory of the worker's process, at most; 0 where nobody measured")
    gpu: GpuUse | None = Field(None, description="null where it had no graphics processor")
    figures: dict[str, float] = Field(default_factory=dict, description="main results, for instance pcc, rmse")


class Pardon(Document):
    """Attempts up to a token no longer count as failures: somebody mended what made them fail."""

    kind: Literal["pardon"] = "pardon"
    version: Literal[1] = 1
    key: RunKey
    token: Token
    at: Moment
