"""The door: what is asked over HTTP, who may ask it, and what comes back. It imputes nothing itself."""

import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s2s import __version__
from s2s.contracts.service import (
    FORMATS,
    ImputeParameters,
    JobRequest,
    JobStatus,
    ModelDetails,
    ModelList,
    ModelName,
    Problem,
    TokenRecord,
)
from s2s.errors import S2SError
from s2s.recipes.serving.answering import Asked
from s2s.recipes.serving.describing import describe_model
from s2s.recipes.serving.jobs import JobOrder, cancel_job, count_open, create_job, job_status, read_job
from s2s.serving.access import opens
from s2s.serving.bodies import format_sent, format_wanted, read_body
from s2s.serving.problems import BAD_INPUT, BUSY, MISSING, UNAVAILABLE, answer_http, answer_invalid, answer_other, problem
from s2s.serving.service import Service

MAX_JSON_BYTES = 4 * 2**20
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words}
    for status, words in {
        401: "no token, or one that is not good",
        403: "a token that is not for this",
        404: "no such model, gene, section or job",
        413: "larger than allowed",
        415: "a format that is not spoken",
        422: "a section or parameter that cannot be used; the text says what was expected",
        429: "too many requests",
        503: "try again",
        504: "took too long",
    }.items()
}
SECTION = {media: {"schema": {"type": "string", "format": "binary"}} for media in FORMATS.values()}
JOB_EXAMPLE = {"tissue": "breast", "section": "s3://atlas/sections/breast-1", "out": "s3://atlas/served/mine"}
BODY = {"required": True, "content": {**SECTION, "application/json": {"schema": JobRequest.model_json_schema(), "example": JOB_EXAMPLE}}}
JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
IdempotencyKey = Annotated[str | None, Header(max_length=200, description="the same key names the same job, however often it is sent")]
LOCKED = [Security(HTTPBearer(auto_error=False, description="s2s_..., from `s2s tokens create`"))]
"""Says in the OpenAPI document that a token is wanted; `Service.enter` asks for it."""
DESCRIPTION = """Imputes sparse spatial transcriptomics with the registered model of a tissue: send a sparse section, get it back filled in,
with uncertainty and provenance. **Imputed values are not measurements**; every answer says which is which.

Every path below `/v1` needs `Authorization: Bearer s2s_...`; `s2s tokens create` makes one."""


def build_app(service: Service) -> FastAPI:
    """Build the door.

    Args:
        service: What it works with.
    """
    app: FastAPI = FastAPIOffline(title="S2S Atlas", version=__version__, description=DESCRIPTION, redoc_url=None)
    app.add_exception_handler(StarletteHTTPException, answer_http)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(S2SError, answer_other)
    app.add_exception_handler(Exception, answer_other)
    app.add_middleware(Watched, service=service)
    _add_models(app, service)
    _add_imputation(app, service)
    _add_jobs(app, service)
    _add_health(app, service)
    _add_page(app, service)
    return app


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", tags=["models"], dependencies=LOCKED, responses=PROBLEMS, summary="Which tissues there are")
    async def list_models(request: Request) -> ModelList:
        record = await service.enter(request, "models")
        entries = (await service.describe()).entries
        return ModelList(models=tuple(entry for entry in entries if opens(record, entry.name, entry.tissue)))

    @app.get(
        "/v1/models/{tissue}",
        tags=["models"],
        dependencies=LOCKED,
        responses=PROBLEMS,
        summary="One model: card, accuracy, calibration, versions",
    )
    async def show_model(request: Request, tissue: ModelName, version: Annotated[int | None, Query(ge=1, le=10**9)] = None) -> ModelDetails:
        record = await service.enter(request, "models")
        entry = await service.look_up(request, record, tissue)
        release = await service.contract(entry.name, version)
        shown = entry if version is None else entry.model_copy(update={"version": version})
        return await service.threads.run(describe_model, shown, release, service.settings)


def _add_imputation(app: FastAPI, service: Service) -> None:
    accepted: dict[int | str, dict[str, Any]] = {
        200: {"content": SECTION, "description": "the imputed section, in the format of Accept"},
        202: {"model": JobStatus, "description": "a job was taken down"},
    }

    @app.post(
        "/v1/impute",
        tags=["imputation"],
        dependencies=LOCKED,
        responses={**accepted, **PROBLEMS},
        response_class=Response,
        openapi_extra={"requestBody": BODY},
        summary="Impute a section that is sent, or, as a job, one that lies in the store",
    )
    async def impute(
        request: Request, parameters: Annotated[ImputeParameters, Query()], idempotency_key: IdempotencyKey = None
    ) -> Response:
        sent = format_sent(request)
        record = await service.enter(request, "impute" if sent else "jobs")
        if sent is None:
            return await _take_job(service, request, record, idempotency_key)
        wanted = format_wanted(request, sent)
        if parameters.tissue is None:
            raise problem(BAD_INPUT, "expected the parameter tissue, for instance /v1/impute?tissue=breast, got none")
        entry = await service.look_up(request, record, parameters.tissue)
        body = await read_body(request, service.config.limits.body_bytes)
        asked = Asked(body=body, form=sent, wanted=wanted, parameters=parameters, limits=service.config.limits)
        answer = await service.impute(entry.name, asked)
        service.figures.count_imputation(
            entry.name, is_out_of_domain=answer.domain.is_out_of_domain, received=len(body), sent=len(answer.body)
        )
        headers = {
            "X-S2S-Model": answer.model,
            "X-S2S-Data-SHA256": answer.data_sha256,
            "X-S2S-Out-Of-Domain": str(answer.domain.is_out_of_domain).lower(),
            "X-S2S-Statement": "imputed values are not measurements",
        }
        return Response(answer.body, media_type=FORMATS[answer.form], headers=headers)


async def _take_job(service: Service, request: Request, record: TokenRecord, idempotency_key: str | None) -> Response:
    try:
        asked = JobRequest.model_validate_json(await read_body(request, MAX_JSON_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise problem(BAD_INPUT, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None
    entry = await service.look_up(request, record, asked.tissue)
    version = asked.model_version or entry.version
    if version is None:
        raise problem(UNAVAILABLE, f"expected a champion of {entry.name}, there is none: {entry.problem}")
    jobs = service.config.jobs
    open_jobs = await service.threads.run(count_open, record.id, service.over, jobs, service.settings)
    if open_jobs >= service.config.limits.jobs_per_token:
        raise problem(BUSY, f"expected at most {service.config.limits.jobs_per_token} unfinished jobs of one token; wait, or cancel one")
    order = JobOrder(request=asked, model=f"models:/{entry.name}/{version}", token_id=record.id, idempotency_key=idempotency_key)
    job = await service.threads.run(create_job, order, service.config, service.settings)
    status = await service.threads.run(job_status, job, jobs, service.settings)
    return JSONResponse(status.model_dump(mode="json"), 202, headers={"Location": f"/v1/jobs/{job.id}"})


def _add_jobs(app: FastAPI, service: Service) -> None:
    async def own_job(request: Request, job_id: str) -> JobStatus:
        record = await service.enter(request, "jobs")
        job = await service.threads.run(read_job, job_id, service.settings)
        if job.token_id != record.id:  # whose it is, is nobody's business
            raise problem(MISSING, f"expected the id of a job, there is none {job_id}")
        if request.method == "DELETE":
            await service.threads.run(cancel_job, job, service.settings)
        return await service.threads.run(job_status, job, service.config.jobs, service.settings)

    @app.get(
        "/v1/jobs/{job_id}", tags=["jobs"], dependencies=LOCKED, responses=PROBLEMS, summary="How far a job is, and where its result lies"
    )
    async def show_job(request: Request, job_id: JobId) -> JobStatus:
        return await own_job(request, job_id)

    @app.delete(
        "/v1/jobs/{job_id}", tags=["jobs"], dependencies=LOCKED, responses=PROBLEMS, summary="Cancel a job; one that is done stays done"
    )
    async def delete_job(request: Request, job_id: JobId) -> JobStatus:
        return await own_job(request, job_id)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["for machines"], summary="Whether the door is open")
    async def healthy() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["for machines"], summary="Whether models are there to answer", responses={503: PROBLEMS[503]})
    async def ready() -> dict[str, str]:
        if not (await service.describe()).is_ready:
            raise problem(UNAVAILABLE, "expected the registry to answer once, it has not yet")
        return {"status": "ready"}

    @app.get("/metrics", tags=["for machines"], summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.figures.text(), media_type="text/plain; version=0.0.4")


def _add_page(app: FastAPI, service: Service) -> None:
    page = service.config.page
    if page is not None:
        app.mount("/", StaticFiles(directory=Path(page).expanduser(), html=True), name="page")
        return

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(
            "<!doctype html><html lang=en><meta charset=utf-8><title>S2S Atlas</title><h1>S2S Atlas</h1>"
            "<p>This is a service that imputes spatial transcriptomics: <a href=docs>how to use it</a>. "
            "A page of an atlas is shown here once <code>s2s page build</code> has made one and the setting <code>page</code> names it."
        )


class Watched:
    """Counts every request and writes it down, however it ends."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, started, status = Request(scope), time.monotonic(), 499  # of one that was given up before there was an answer

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._service.drain.is_on:
                refusal = problem(UNAVAILABLE, "the service is being stopped; try again")
                await (await answer_http(request, refusal))(scope, receive, watched)
            else:
                with self._service.drain.request():
                    await self._app(scope, receive, watched)
        finally:
            seconds = time.monotonic() - started
            route = getattr(scope.get("route"), "path", "other")
            self._service.figures.count(request.method, route, status, seconds)
            if request.url.path.startswith("/v1"):
                self._service.audit.write(request, status, seconds)
