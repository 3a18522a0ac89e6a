"""What a downstream team calls: models, an AnnData in and an imputed one out, jobs for what lies in the store.

Decision: a section travels as h5ad, which keeps everything and is what the team has anyway; the price is a temporary file either way.
"""

import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypedDict, Unpack, cast

from pydantic import ValidationError

from s2s.client.connection import Call, Connection, Progress
from s2s.contracts.service import FORMATS, Format, ImputeParameters, JobRequest, JobStatus, ModelDetails, ModelList
from s2s.errors import ConfigError, InputError, StackError

if TYPE_CHECKING:
    from anndata import AnnData

OVER = ("done", "failed", "cancelled")


class Given(TypedDict, total=False):
    """How a section is to be read and imputed, as in `ImputeParameters`; what is left out is taken from the model."""

    model_version: int
    reader: Literal["spots", "cells"]
    pitch_um: float
    um_per_unit: float
    lattice: Literal["square", "hexagonal"]
    stride: Literal[1, 2]
    phase_y: int
    phase_x: int
    values: Literal["counts", "log1p"]
    layer: str
    technology: str
    genes: str
    uncertainty: bool


def silent(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


class Atlas:
    """A service of tissue models.

    Example:
        >>> with Atlas("http://127.0.0.1:8000", token) as atlas:
        ...     imputed = atlas.impute(adata, tissue="breast")
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 150.0) -> None:
        """Say where the service is; nothing is sent yet.

        Args:
            url: Of the service.
            token: From `s2s tokens create`.
            timeout_s: How long the service may be silent.

        Raises:
            ConfigError: no URL, or no token of ours.
        """
        self._connection = Connection(url, token, timeout_s)

    def __enter__(self) -> Self:
        """Use it in a `with` block, which closes it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def models(self) -> ModelList:
        """Which tissues there are, and how good their models."""
        return ModelList.model_validate_json(self._get("/v1/models"))

    def model(self, tissue: str) -> ModelDetails:
        """One model: card, accuracy, calibration, versions.

        Raises:
            MissingError: there is none; lists those there are.
        """
        return ModelDetails.model_validate_json(self._get(f"/v1/models/{tissue}"))

    def impute(self, adata: "AnnData", tissue: str, *, on_progress: Progress = silent, **parameters: Unpack[Given]) -> "AnnData":
        """Impute a section.

        Args:
            adata: A row per spot (or, with `reader="cells"`, per cell): raw counts in `X`, `(x, y)` in `obsm["spatial"]`.
            tissue: Which model: `breast`, `human-breast`, or its registry name.
            on_progress: Told of bytes sent and received, and of tries.
            parameters: Of `ImputeParameters`, for instance `pitch_um`, `um_per_unit`, `genes="ERBB2,KRT5"`, `uncertainty=False`.

        Returns:
            One row per bin: layers `imputed`, `observed`, `median`, `std`, intervals; `obs["is_measured"]`; reliability of genes in `var`;
            provenance in `uns["s2s"]`. Imputed values are not measurements.

        Raises:
            InputError: the section cannot be used; the message says what was expected.
            MissingError: no such model or gene.
            ConfigError: a parameter that does not exist, or a token that is not for this.
            StackError: the service does not answer.
        """
        import anndata  # noqa: PLC0415 - a second, which who only asks for models should not wait for

        with tempfile.TemporaryDirectory(prefix="s2s-client-") as folder:
            path = Path(folder, "section.h5ad")
            adata.write_h5ad(path)
            answer = self.impute_bytes(path.read_bytes(), tissue, on_progress=on_progress, **parameters)
            path.write_bytes(answer)
            return anndata.read_h5ad(path)

    def impute_bytes(
        self,
        section: bytes,
        tissue: str,
        *,
        form: Format = "h5ad",
        on_progress: Progress = silent,
        **parameters: Unpack[Given],
    ) -> bytes:
        """Impute a section that is a file already, and get a file of the same format; else as `impute`."""
        given = checked_parameters(tissue, parameters)
        media = FORMATS[form]
        call = Call(method="POST", path="/v1/impute", parameters=given, headers={"Content-Type": media, "Accept": media}, body=section)
        return self._connection.send(call, on_progress).content

    def submit(self, request: JobRequest) -> "Job":
        """Have a section imputed that lies in the store; comes back at once.

        Args:
            request: Which section, with which model, and where the result goes.

        Raises:
            InputError: a URI outside what the service may touch.
            MissingError: no such section or model.
        """
        # A try whose answer was lost must not make a second job.
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        call = Call(method="POST", path="/v1/impute", parameters={}, headers=headers, body=request.model_dump_json().encode())
        status = JobStatus.model_validate_json(self._connection.send(call, silent).content)
        return Job(id=status.id, _ask=self._job)

    def job(self, job_id: str) -> "Job":
        """A job that was submitted earlier."""
        return Job(id=job_id, _ask=self._job)

    def _job(self, method: str, job_id: str) -> JobStatus:
        call = Call(method=method, path=f"/v1/jobs/{job_id}", parameters={}, headers={})
        return JobStatus.model_validate_json(self._connection.send(call, silent).content)

    def _get(self, path: str) -> bytes:
        return self._connection.send(Call(method="GET", path=path, parameters={}, headers={}), silent).content


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job of the service."""

    id: str
    _ask: Callable[[str, str], JobStatus]

    def status(self) -> JobStatus:
        """How far it is."""
        return self._ask("GET", self.id)

    def cancel(self) -> JobStatus:
        """Have it stopped; what it wrote is deleted."""
        return self._ask("DELETE", self.id)

    def wait(
        self, *, timeout_s: float | None = None, every_s: float = 1.0, on_progress: Callable[[JobStatus], None] = lambda _: None
    ) -> JobStatus:
        """Wait until it is over.

        Args:
            timeout_s: Longest wait; None for ever.
            every_s: How often the service is asked.
            on_progress: Told what the service says.

        Returns:
            Its last status; `result` is the URI of the AnnData-Zarr.

        Raises:
            InputError: it failed, or was cancelled.
            StackError: it is not over in time; it goes on.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            status = self.status()
            on_progress(status)
            if status.state == "done":
                return status
            if status.state in OVER:
                raise InputError(f"expected job {self.id} to end well, it was {status.state}: {status.error or 'on request'}")
            if until is not None and time.monotonic() > until:
                raise StackError(f"expected job {self.id} to be over within {timeout_s:g} s, it is {status.state}; wait again, it goes on")
            time.sleep(every_s)


def checked_parameters(tissue: str, given: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
    """Check parameters before anything is sent.

    Raises:
        ConfigError: one that does not exist or cannot be.
    """
    try:
        known = ImputeParameters.model_validate({"tissue": tissue, **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        names = ", ".join(ImputeParameters.model_fields)
        raise ConfigError(
            f"expected a parameter that can be, {'.'.join(map(str, first['loc']))}: {first['msg']}; there are: {names}"
        ) from None
    return cast("dict[str, str | int | float | bool | None]", known.model_dump(exclude_defaults=True))
