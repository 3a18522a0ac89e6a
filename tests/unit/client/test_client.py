"""The client against a small HTTP server: tries again where that helps, and turns refusals into our errors."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from s2s.cli import app
from s2s.client import Atlas
from s2s.client.connection import Call, Connection
from s2s.client.files import file_format
from s2s.contracts.service import JobRequest
from s2s.errors import ConfigError, ExistsError, InputError, MissingError, S2SError, StackError

TOKEN = "s2s_" + "0" * 12 + "_" + "0" * 64
Answer = tuple[int, dict[str, object] | bytes]


class Server:
    """Gives the answers it was handed, one after another, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.asked.append((self.command, self.path, dict(self.headers), body))
                status, content = outer.answers.pop(0)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def atlas(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlas]:
    with Atlas(server.url, TOKEN) as atlas:
        monkeypatch.setattr(atlas._connection, "_sleep", lambda seconds: None)
        yield atlas


def problem(kind: str, *, is_retryable: bool = False) -> dict[str, object]:
    return {"error": f"expected better, got {kind}", "kind": kind, "is_retryable": is_retryable}


BUSY = (503, problem("unavailable", is_retryable=True))


def test_a_section_goes_and_comes_back_with_its_parameters(server: Server, atlas: Atlas) -> None:
    server.answers = [(200, b"imputed")]
    told: list[tuple[str, int, int]] = []
    found = atlas.impute_bytes(b"sparse", "breast", form="npz", on_progress=lambda *what: told.append(what), pitch_um=50.0, stride=2)
    assert found == b"imputed"
    method, path, headers, body = server.asked[0]
    assert (method, body, headers["Authorization"]) == ("POST", b"sparse", f"Bearer {TOKEN}")
    assert set(path.partition("?")[2].split("&")) == {"tissue=breast", "pitch_um=50.0", "stride=2"}
    assert (headers["Content-Type"], headers["Accept"]) == ("application/x-npz", "application/x-npz")
    assert told == [("send", 6, 6), ("receive", 7, 7)]


def test_a_busy_service_is_asked_again(server: Server, atlas: Atlas) -> None:
    server.answers = [BUSY, (429, problem("busy", is_retryable=True)), (200, b"x")]
    assert atlas.impute_bytes(b"sparse", "breast") == b"x"
    assert len(server.asked) == 3


def test_but_not_for_ever(server: Server, atlas: Atlas) -> None:
    server.answers = [BUSY] * 5
    with pytest.raises(StackError, match="expected better, got unavailable"):
        atlas.models()
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [(422, "bad-input", InputError), (413, "too-large", InputError), (404, "missing", MissingError), (401, "unauthorized", ConfigError)],
)
def test_a_refusal_is_our_error_and_is_not_tried_again(server: Server, atlas: Atlas, status: int, kind: str, error: type[S2SError]) -> None:
    server.answers = [(status, problem(kind))]
    with pytest.raises(error, match=f"expected better, got {kind}"):
        atlas.impute_bytes(b"sparse", "breast")
    assert len(server.asked) == 1


def test_another_server_is_recognised(server: Server, atlas: Atlas) -> None:
    server.answers = [(404, b"<html>not here</html>")]
    with pytest.raises(StackError, match="not in our words; is this the URL of `s2s serve`"):
        atlas.models()


def test_no_server_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("http://127.0.0.1:9", TOKEN, 1.0, sleep=lambda seconds: None)
    with pytest.raises(StackError, match=r"http://127\.0\.0\.1:9 does not answer"):
        connection.send(Call(method="GET", path="/", parameters={}, headers={}), lambda *what: None)
    connection.close()


@pytest.mark.parametrize(("url", "token"), [("ftp://x", TOKEN), ("http://x", "secret"), ("http://x", "s2s_\u00e4")])
def test_what_is_no_url_or_token_is_refused_at_once(url: str, token: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Atlas(url, token)


def test_a_parameter_that_does_not_exist_is_refused_before_anything_is_sent(server: Server, atlas: Atlas) -> None:
    with pytest.raises(ConfigError, match="pitch: Extra inputs are not permitted; there are: tissue"):
        atlas.impute_bytes(b"sparse", "breast", pitch=50)  # type: ignore[call-arg]
    assert server.asked == []


def test_tries_at_a_job_name_one_job(server: Server, atlas: Atlas) -> None:
    status = {"kind": "job_status", "version": 1, "id": "0" * 16, "state": "waiting", "model": "m", "section": "s", "created_at": 0}
    server.answers = [BUSY, (202, status), (200, {**status, "state": "running"}), (200, {**status, "state": "done", "result": "s3://x"})]
    job = atlas.submit(JobRequest(section="s", out="o", tissue="breast"))
    assert job.wait(every_s=0.01).result == "s3://x"
    first, second = (headers["Idempotency-Key"] for _, _, headers, _ in server.asked[:2])
    assert first == second


def test_a_job_that_failed_says_why(server: Server, atlas: Atlas) -> None:
    status = {"kind": "job_status", "version": 1, "id": "0" * 16, "state": "failed", "model": "m", "section": "s", "created_at": 0}
    server.answers = [(200, {**status, "error": "no gene"})]
    with pytest.raises(InputError, match="it was failed: no gene"):
        atlas.job("0" * 16).wait()


def test_formats_are_told_by_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(MissingError):
        file_format(path)
    path.touch()
    assert file_format(path) == "npz"
    with pytest.raises(InputError, match=r"\.h5ad, \.npz, \.arrow"):
        file_format(tmp_path / "a.csv")


def test_a_file_is_sent_and_its_answer_is_written_whole_or_not_at_all(server: Server, tmp_path: Path) -> None:
    sparse, out = tmp_path / "sparse.npz", tmp_path / "out.npz"
    sparse.write_bytes(b"sparse")
    server.answers = [(422, problem("bad-input")), (200, b"first"), (200, b"second")]

    def say(*words: str) -> Result:
        verb = ["client", "impute", str(sparse), "--tissue", "breast", "--token", TOKEN, "--url", server.url, *words]
        return CliRunner().invoke(app, verb, catch_exceptions=False)

    with pytest.raises(InputError, match="expected better"):
        say("--out", str(out))
    assert list(tmp_path.iterdir()) == [sparse]
    assert "not measurements" in say("--out", str(out)).output
    assert out.read_bytes() == b"first"
    for path, error, words in (
        (out, ExistsError, "--replace"),
        (tmp_path / "no" / "x.npz", MissingError, "create it first"),
        (tmp_path / "x.h5ad", InputError, r"ends in \.npz"),
    ):
        with pytest.raises(error, match=words):
            say("--out", str(path))
    assert json.loads(say("--out", str(out), "--replace", "--json").stdout) == {"out": str(out), "bytes": len(b"second")}
    assert out.read_bytes() == b"second"
    assert [body for *_, body in server.asked] == [b"sparse"] * 3, "what is refused here is never sent"


def test_the_client_imports_nothing_heavy() -> None:
    heavy = ["torch", "ray", "mlflow", "zarr", "boto3", "matplotlib", "fastapi", "scipy", "pandas", "anndata"]
    code = f"import sys, s2s.client, s2s.client.files, s2s.exchange.placing; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
