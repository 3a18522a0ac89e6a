"""The door without replicas: the page, the document, and refusals that need nobody else."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from s2s.contracts.service import Problem, ServiceConfig
from s2s.contracts.settings import Settings
from s2s.serving.app import build_app
from s2s.serving.service import make_service


def ask(tmp_path: Path, method: str, path: str, config: ServiceConfig | None = None, **headers: str) -> httpx.Response:
    """One request to a door of its own."""

    async def once() -> httpx.Response:
        service = make_service(config or ServiceConfig(), Settings(home=tmp_path, is_local=True), imputers=None)  # type: ignore[arg-type]
        try:
            transport = httpx.ASGITransport(build_app(service), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.request(method, path, headers=headers)
        finally:
            service.audit.close()

    return asyncio.run(once())


def test_without_a_page_the_door_says_what_it_is(tmp_path: Path) -> None:
    found = ask(tmp_path, "GET", "/")
    assert found.status_code == 200
    assert "imputes spatial transcriptomics" in found.text


def test_a_page_is_shown_and_hides_no_path_of_the_service(tmp_path: Path) -> None:
    page = tmp_path / "page"
    (page / "sections").mkdir(parents=True)
    (page / "index.html").write_text("<title>Demo atlas</title>")
    (page / "sections" / "zarr.json").write_text("{}")
    (tmp_path / "secret").write_text("no")
    config = ServiceConfig(page=str(page))
    assert "Demo atlas" in ask(tmp_path, "GET", "/", config).text
    assert ask(tmp_path, "GET", "/sections/zarr.json", config).headers["content-type"] == "application/json"
    assert ask(tmp_path, "GET", "/healthz", config).json() == {"status": "ok"}
    assert ask(tmp_path, "GET", "/v1/models", config).status_code == 401
    for path in ("/../secret", "/%2e%2e/secret", "/sections/..%2f..%2f..%2fsecret"):
        assert ask(tmp_path, "GET", path, config).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "missing"),
        ("PUT", "/v1/models", 405, "method"),
        ("GET", "/v1/models", 401, "unauthorized"),
        ("GET", "/v1/jobs/x", 422, "bad-input"),
        ("POST", "/v1/impute?tissue=a&pitch_um=-1", 422, "bad-input"),
        ("POST", "/v1/impute?tissue=a&other=1", 422, "bad-input"),
        ("POST", "/v1/impute?tissue=a", 415, "unsupported-format"),
    ],
)
def test_every_refusal_is_a_problem(tmp_path: Path, method: str, path: str, status: int, kind: str) -> None:
    found = ask(tmp_path, method, path)
    assert (found.status_code, Problem.model_validate_json(found.content).kind) == (status, kind)


def test_requests_are_counted_by_route_and_never_by_a_strangers_path(tmp_path: Path) -> None:
    async def some() -> str:
        service = make_service(ServiceConfig(), Settings(home=tmp_path, is_local=True), imputers=None)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app(service)), base_url="http://door") as client:
            await client.get("/healthz")
            await client.get("/a-strangers-path")
            text = (await client.get("/metrics")).text
        service.audit.close()
        return text

    text = asyncio.run(some())
    assert 's2s_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text
    assert "a-strangers-path" not in text


def test_the_document_names_its_lock_its_bodies_and_its_examples(tmp_path: Path) -> None:
    document = ask(tmp_path, "GET", "/openapi.json").json()
    assert {path for path in document["paths"] if path.startswith("/v1")} == {
        "/v1/models", "/v1/models/{tissue}", "/v1/impute", "/v1/jobs/{job_id}"
    }  # fmt: skip
    body = document["paths"]["/v1/impute"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/x-hdf5", "application/x-npz", "application/vnd.apache.arrow.stream", "application/json"}
    assert body["application/json"]["example"]["section"].startswith("s3://")
    for path, methods in document["paths"].items():
        assert all(("security" in each) == path.startswith("/v1") for each in methods.values())
    assert json.dumps(document).count("Traceback") == 0


def test_the_docs_ask_no_other_host(tmp_path: Path) -> None:
    text = ask(tmp_path, "GET", "/docs").text
    assert "swagger-ui-bundle.js" in text
    assert "https://" not in text
