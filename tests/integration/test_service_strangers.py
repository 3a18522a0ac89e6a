"""The service and those who mean no good, or know no better: crafted bodies, spoilt ones, far URIs, and whatever its document allows."""

import io
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from integration.service import TISSUE, Running, replica_of
from integration.strangers import H5AD, NPZ, crafted, far_away, spoilt

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("service", "stack")]
CHECKS = (
    "negative_data_rejection,not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
)


def test_no_body_of_a_stranger_breaks_anything(service: Running, sparse: Path, tmp_path: Path) -> None:
    """Every refusal is a 4xx in one sentence; nothing is opened, and memory stays bounded."""
    replica = replica_of(service)
    before, statuses = replica.memory_info().rss, Counter[int]()
    root = service.settings.root
    cases = itertools.chain(
        crafted(tmp_path, sparse.read_bytes()), spoilt(sparse.read_bytes(), H5AD, 60), spoilt(small_npz(), NPZ, 120), far_away(root)
    )
    for name, (media, body) in cases:
        status, _, answer = service.ask("POST", f"/v1/impute?tissue={TISSUE}&uncertainty=false", body, Content_Type=media, Accept=NPZ)
        statuses[status] += 1
        assert status in {200, 404, 413, 415, 422}, f"{name}: {status} {answer[:300]!r}"
        if status != 200:
            words = json.loads(answer)["error"]
            assert "Traceback" not in words
            assert "/tmp/s2s-" not in words, f"{name}: {words}"  # noqa: S108 - a folder of ours
    assert not (tmp_path / "sprung").exists()
    assert replica.is_running()
    assert replica.memory_info().rss < before + 500_000_000
    assert sum(statuses.values()) > 230
    assert statuses[422] > 100


def small_npz() -> bytes:
    observed = np.zeros((12, 12), bool)
    observed[::2, ::2] = True
    body = io.BytesIO()
    np.savez(body, values=(3 * observed[None]).repeat(2, 0).astype(np.uint8), genes=np.array(["a", "b"]), observed=observed)
    return body.getvalue()


def test_the_openapi_document_keeps_its_word(service: Running, tmp_path: Path) -> None:
    """Schemathesis: what the document promises is what is answered, whatever is asked."""
    tool = Path(sys.executable).parent / "schemathesis"
    given = f"--header=Authorization: Bearer {service.token}"
    options = ("--max-examples=15", "--seed=1", "--request-timeout=60", "--no-color", "--suppress-health-check=all", f"--checks={CHECKS}")
    command = (str(tool), "run", f"{service.url}/openapi.json", given, *options)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, "\n".join(line[:300] for line in done.stdout.splitlines())
