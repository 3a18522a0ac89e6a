"""The service as its users meet it: real Ray Serve, S3 and MLflow; another process asks over HTTP."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import httpx
import numpy as np
import psutil
import pyarrow as pa
import pytest

from integration.service import H5AD, MODEL, NPZ, SECTION, TISSUE, Running, s2s, until
from s2s.client import Atlas
from s2s.contracts.service import JobRequest
from s2s.errors import ConfigError, InputError, MissingError
from s2s.recipes.serving.tokens import create_token, revoke_token
from s2s.stack.env_file import read_env_file
from s2s.stack.ports import choose_ports
from s2s.storage.location import join
from s2s.storage.objects import list_below

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("service", "stack")]
ARROW = "application/vnd.apache.arrow.stream"
CLIENT = """
import sys, anndata
from s2s.client import Atlas
url, token, sparse, out = sys.argv[1:]
with Atlas(url, token) as atlas:
    atlas.impute(anndata.read_h5ad(sparse), tissue="spleen", pitch_um=50, stride=2).write_h5ad(out)
print([name for name in ("torch", "ray", "mlflow", "zarr.storage") if name in sys.modules and name != "zarr.storage"])
"""


def test_models_are_listed_and_described(atlas: Atlas) -> None:
    entry = next(entry for entry in atlas.models().models if entry.tissue == TISSUE)
    assert (entry.name, entry.version, entry.problem) == (MODEL, 1, None)
    details = atlas.model(TISSUE)
    assert details.card.startswith(f"# {MODEL}")
    assert {"pcc", "mae", "rmse"} <= set(details.metrics)
    assert [version.version for version in details.versions] == [2, 1]
    with pytest.raises(MissingError, match=r"there is none: .*synthetic-spleen"):
        atlas.model("kidney")


def test_an_answer_is_what_s2s_impute_gives_bit_for_bit(service: Running, sparse: Path, tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", CLIENT, service.url, service.token, str(sparse), str(tmp_path / "asked.h5ad")],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert asked.stdout.strip() == "[]"
    words = ("--reader", "spots", "--stride", 2, "--pitch-um", 50, "--tissue", TISSUE, "--organism", "synthetic", "--technology", "x")
    s2s("ingest", "section", sparse, "--id", "served-bits", *words)
    s2s("impute", "--model", f"models:/{MODEL}/1", "--section", "served-bits", "--out", tmp_path / "own.h5ad")
    answer, own = anndata.read_h5ad(tmp_path / "asked.h5ad"), anndata.read_h5ad(tmp_path / "own.h5ad")
    assert set(answer.layers) == set(own.layers) >= {"imputed", "observed", "std", "lower_90", "upper_90"}
    for name, layer in own.layers.items():
        dense = [each.toarray() if hasattr(each, "toarray") else each for each in (layer, answer.layers[name])]
        assert np.array_equal(*dense), name
    assert np.array_equal(answer.obsm["spatial"], own.obsm["spatial"])
    assert answer.var.equals(own.var)
    told = answer.uns["s2s"]
    assert told["model"] == f"models:/{MODEL}/1"
    assert not told["domain"]["is_out_of_domain"]
    assert told["section"]["data_sha256"] == own.uns["s2s"]["section"]["data_sha256"]


def test_formats_are_negotiated(service: Running) -> None:
    observed = np.zeros((24, 24), bool)
    observed[::2, ::2] = True
    values = np.where(observed, np.random.default_rng(1).poisson(3, (4, 24, 24)), 0).astype(np.uint16)
    body = io.BytesIO()
    np.savez(body, values=values, genes=np.array(list("abcd")), observed=observed)
    path = f"/v1/impute?tissue={TISSUE}"
    status, headers, answer = service.ask("POST", path, body.getvalue(), Content_Type=NPZ, Accept=NPZ)
    assert (status, headers["content-type"], headers["x-s2s-model"]) == (200, NPZ, f"models:/{MODEL}/1")
    assert headers["x-s2s-out-of-domain"] == "true"  # genes a to d are not those of the model's section
    with np.load(io.BytesIO(answer), allow_pickle=False) as arrays:
        imputed = arrays["imputed"]
        assert imputed.shape == (4, 24, 24)
        assert np.array_equal(arrays["is_measured"], observed)
    status, headers, answer = service.ask("POST", path + "&uncertainty=false&genes=b,c", body.getvalue(), Content_Type=NPZ, Accept=ARROW)
    table = pa.ipc.open_stream(answer).read_all()
    assert (status, headers["content-type"], table.column_names) == (200, ARROW, ["array_row", "array_col", "is_measured", "b", "c"])
    assert np.isfinite(table.column("b").to_numpy()).all()


def test_a_version_that_is_no_champion_answers_when_asked_for(service: Running, atlas: Atlas, sparse: Path) -> None:
    body = sparse.read_bytes()
    status, headers, _ = service.ask("POST", f"/v1/impute?tissue={TISSUE}&model_version=2", body, Content_Type=H5AD)
    assert (status, headers["x-s2s-model"]) == (200, f"models:/{MODEL}/2")
    with pytest.raises(MissingError, match="version 77"):
        atlas.impute_bytes(body, TISSUE, model_version=77)


def test_a_job_is_done_and_its_result_is_an_anndata(service: Running, atlas: Atlas) -> None:
    out = join(service.settings.root, "served", "mine")
    job = atlas.submit(JobRequest(section=SECTION, out=out, tissue=TISSUE))
    done = job.wait(timeout_s=300)
    assert done.result is not None
    assert done.result.startswith(f"{out}/{job.id}/")
    assert done.figures["num_bins"] == 32 * 32
    assert any(name.endswith("zarr.json") for name in list_below(done.result, service.settings))
    assert job.cancel().state == "done"


def test_a_cancelled_job_leaves_nothing(service: Running, atlas: Atlas) -> None:
    out = join(service.settings.root, "served", "cancelled")
    job = atlas.submit(JobRequest(section=SECTION, out=out, tissue=TISSUE))
    assert job.cancel().state == "cancelled"
    with pytest.raises(InputError, match="it was cancelled"):
        job.wait(timeout_s=60)
    until(lambda: list_below(out, service.settings) == [])


def test_jobs_are_their_owners_and_stay_where_they_may(service: Running, atlas: Atlas) -> None:
    other, _ = create_token("other", service.settings, tissues=None, actions=("jobs",), days=1)
    job = atlas.submit(JobRequest(section=SECTION, out=join(service.settings.root, "served", "own"), tissue=TISSUE))
    with Atlas(service.url, other) as stranger, pytest.raises(MissingError, match="there is none"):
        stranger.job(job.id).cancel()
    job.cancel()
    for section, out in ((SECTION, "s3://other/served/x"), ("s3://other/sections/a", f"{service.settings.root}/served/x")):
        with pytest.raises(InputError, match=r"expected (out|section) below s3://"):
            atlas.submit(JobRequest(section=section, out=out, tissue=TISSUE))
    with pytest.raises(MissingError):
        atlas.submit(JobRequest(section="nowhere", out=f"{service.settings.root}/served/x", tissue=TISSUE))


def test_who_may_what(service: Running, sparse: Path) -> None:
    def status(token: str, method: str = "GET", path: str = "/v1/models") -> int:
        body = sparse.read_bytes() if method == "POST" else None
        return Running(url=service.url, token=token, settings=service.settings).ask(method, path, body, Content_Type=H5AD)[0]

    brain, brain_record = create_token("brain", service.settings, tissues=("brain",), actions=("impute", "models"), days=1)
    expired, _ = create_token("expired", service.settings, tissues=None, actions=("models",), days=0)
    assert status(service.token) == 200
    assert [status(token) for token in ("-", "x", f"s2s_{'0' * 12}_{'0' * 64}", expired)] == [401] * 4
    assert status(brain, "POST", f"/v1/impute?tissue={TISSUE}") == 403
    assert status(brain, path=f"/v1/models/{TISSUE}") == 403
    assert status(brain, path=f"/v1/jobs/{'0' * 16}") == 403
    assert json.loads(Running(url=service.url, token=brain, settings=service.settings).ask("GET", "/v1/models")[2])["models"] == []
    revoke_token(brain_record.id, service.settings)
    until(lambda: status(brain) == 401, 20)


def test_tokens_of_the_command_line(service: Running) -> None:
    made = json.loads(s2s("tokens", "create", "lab", "--tissue", TISSUE, "--action", "models", "--days", 1, "--json"))
    assert "secret_sha256" not in made
    assert json.loads(s2s("client", "models", "--url", service.url, "--token", made["token"], "--json"))["models"][0]["tissue"] == TISSUE
    s2s("tokens", "revoke", made["id"])
    states = {token["id"]: token["state"] for token in json.loads(s2s("tokens", "list", "--json"))}
    assert states[made["id"]] == "revoked"


def test_machines_see_health_and_figures(service: Running) -> None:
    assert [service.ask("GET", path)[0] for path in ("/healthz", "/readyz", "/docs", "/")] == [200] * 4
    text = service.ask("GET", "/metrics")[2].decode()
    assert 's2s_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert b"http" not in service.ask("GET", "/docs")[2].replace(b"https://fastapi.tiangolo.com", b"")
    audit = service.settings.home / "service" / "audit.jsonl"
    last = [json.loads(line) for line in audit.read_text().splitlines()][-1]
    assert {"at", "token", "client", "method", "path", "model", "status", "seconds"} == set(last)


def test_wrong_words_are_refused_in_one_sentence(service: Running, atlas: Atlas, sparse: Path) -> None:
    with pytest.raises(ConfigError, match="pitch_um"):
        atlas.impute_bytes(sparse.read_bytes(), TISSUE, pitch_um=-1)
    with pytest.raises(InputError, match="expected an AnnData"):
        atlas.impute_bytes(b"hello", TISSUE)
    with pytest.raises(MissingError, match="NOGENE"):
        atlas.impute_bytes(sparse.read_bytes(), TISSUE, genes="NOGENE")
    with pytest.raises(InputError, match="pitch_um"):
        atlas.impute_bytes(sparse.read_bytes(), TISSUE, pitch_um=7)


def test_the_same_release_answers_through_mlflow_models_serve(service: Running, stack: Path) -> None:
    port = choose_ports(("http",), last={})["http"]
    given = read_env_file(stack / "stack.env")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts uvicorn by name
    environment = {**os.environ, **given, "MLFLOW_TRACKING_URI": str(service.settings.mlflow_uri), "PATH": tools}
    command = ("-m", "mlflow", "models", "serve", "-m", f"models:/{MODEL}/1", "--env-manager", "local", "--port", str(port))
    planes = np.full((1, 2, 16, 24), np.nan, np.float32)
    planes[:, 0, ::2, ::2] = 1.5
    planes[:, 1] = 1
    server = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/ping"), 120)
        body = {"inputs": {"input": np.where(np.isnan(planes), None, planes).tolist()}}
        found = httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=120).json()["predictions"]
        values = np.asarray(found["output"] if isinstance(found, dict) else found, np.float32)
        assert values.shape == (1, 1, 16, 24)
        assert (values[0, 0, ::2, ::2] == 1.5).all()
    finally:
        for child in psutil.Process(server.pid).children(recursive=True):
            child.terminate()
        server.terminate()
        server.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(("--set", "tls={certificate: /no.pem, key: /no.pem}"), "expected a file for tls.certificate", id="no-certificate"),
        pytest.param(("--set", "page=/no"), "no index.html in /no", id="no-page"),
        pytest.param(("--set", "portt=1"), "did you mean 'port'", id="no-such-key"),
        pytest.param(("--config", "/no.yaml"), "/no.yaml", id="no-file"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_started(door, settings: tuple[str, ...], words: str) -> None:
    said = door("serve", "--detach", *settings)
    assert said.code == 2
    assert words in said.err
