"""The servers of the harness: what is asked to fail fails, in the share that was asked for, and what is killed comes back with its data."""

import json
import sys
from io import BytesIO

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from chaos.cluster import Cluster
from chaos.doubles import METADATA_ADDRESS, FaultyS3, Metadata
from chaos.hosts import Network
from s2s.contracts.settings import Settings
from s2s.stack.probe import accepts
from s2s.storage.objects import read_bytes, write_bytes
from s2s.tracking.recording import open_tracker
from s2s.tracking.server import connect

pytestmark = pytest.mark.chaos


def client_of(faulty: FaultyS3, settings: Settings, *, attempts: int):
    """boto3 as anyone would configure it."""
    assert settings.aws_access_key_id is not None
    assert settings.aws_secret_access_key is not None
    return boto3.client(
        "s3",
        endpoint_url=faulty.endpoint,
        aws_access_key_id=settings.aws_access_key_id.get_secret_value(),
        aws_secret_access_key=settings.aws_secret_access_key.get_secret_value(),
        region_name="us-east-1",
        config=Config(retries={"mode": "standard", "total_max_attempts": attempts}, s3={"addressing_style": "path"}),
    )


def test_about_the_share_that_was_asked_for_fails_and_retries_get_through(servers, operator: Settings) -> None:
    faulty = servers.faulty_s3
    client = client_of(faulty, operator, attempts=10)
    data = bytes(range(256)) * 400
    told = []
    for _ in range(2):
        faulty.order(seed=1, refuse=0.05, break_request=0.05, break_response=0.05)
        for number in range(40):
            client.put_object(Bucket=operator.bucket, Key=f"object {number}+", Body=data)
        for number in range(40):
            found = BytesIO()
            client.download_fileobj(operator.bucket, f"object {number}+", found)  # the body of get_object would be read only once
            assert found.getvalue() == data
        told.append(faulty.counts())
    assert told[0] == told[1], "the same calls and the same seed"
    assert told[0]["calls"] > 80
    for kind in ("refuse", "break_request", "break_response"):
        assert 1 <= told[0][kind] <= 15
    assert read_bytes(f"s3://{operator.bucket}/object 7+", operator) == data


def test_the_storage_of_the_platform_gets_through(servers, operator: Settings) -> None:
    faulty = servers.faulty_s3
    settings = operator.model_copy(update={"s3_endpoint": faulty.endpoint})
    faulty.order(seed=2, refuse=0.05, break_request=0.05, break_response=0.05)
    for number in range(40):
        data = bytes([number]) * 100_000
        write_bytes(f"s3://{operator.bucket}/platform/{number}", data, settings)
        assert read_bytes(f"s3://{operator.bucket}/platform/{number}", settings) == data
    counts = faulty.counts()
    assert min(counts["refuse"], counts["break_request"], counts["break_response"]) >= 1


def test_a_broken_answer_comes_after_the_deed_and_a_broken_request_before_it(servers, operator: Settings) -> None:
    faulty = servers.faulty_s3
    client = client_of(faulty, operator, attempts=1)
    for kind, is_done in (("break_request", False), ("break_response", True)):
        faulty.order(**{kind: 1.0})
        with pytest.raises((HTTPClientError, ConnectionError)):
            client.put_object(Bucket=operator.bucket, Key=kind, Body=bytes(100_000))
        faulty.order()
        listed = client.list_objects_v2(Bucket=operator.bucket, Prefix=kind)
        assert (listed["KeyCount"] == 1) == is_done
    faulty.order(refuse=1.0)
    with pytest.raises(ClientError, match="SlowDown"):
        client.put_object(Bucket=operator.bucket, Key="refused", Body=b"")
    faulty.order()


def test_s3_that_hangs_or_dies_comes_back_with_its_data(servers, operator: Settings) -> None:
    uri = f"s3://{operator.bucket}/kept"
    write_bytes(uri, b"kept", operator)
    servers.s3.stop()
    assert accepts(servers.s3.endpoint)
    assert not servers.s3.recipe.is_healthy()
    servers.s3.go_on()
    assert read_bytes(uri, operator) == b"kept"
    servers.s3.kill()
    assert not accepts(servers.s3.endpoint)
    servers.s3.start()
    assert read_bytes(uri, operator) == b"kept"


def test_mlflow_on_postgres_keeps_a_run_and_outlives_a_kill(servers, operator: Settings) -> None:
    tracker = open_tracker(operator, experiment=operator.bucket, run_name="kept", tags={})
    tracker.metrics({"loss": 0.5}, 1)
    tracker.artifact("genes.parquet", b"PAR1")
    tracker.close("finished")
    assert tracker.receipt.is_complete
    servers.mlflow.kill()
    servers.postgres.kill()
    servers.postgres.start()
    servers.mlflow.start()
    client = connect(operator).client
    (run,) = client.search_runs([client.get_experiment_by_name(operator.bucket).experiment_id])
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", 0.5)
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["genes.parquet"]


ASK = f"""
import json, sys, urllib.error, urllib.request as web
base = "http://{METADATA_ADDRESS}/latest/"
def ask(path, **options):
    try:
        with web.urlopen(web.Request(base + path, **options), timeout=5) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, ""]
status, token = ask("api/token", method="PUT", headers={{"X-aws-ec2-metadata-token-ttl-seconds": "60"}})
action = "meta-data/spot/instance-action"
print(json.dumps([status, ask(action), ask(action, headers={{"X-aws-ec2-metadata-token": token}})]))
"""


def test_a_spot_instance_hears_of_its_end_with_a_token_only(network: Network) -> None:
    host = network.hosts["worker1"]
    metadata = Metadata(host)

    def ask() -> list[object]:
        return list(json.loads(host.run("ask", [sys.executable, "-c", ASK])))

    assert ask() == [200, [401, ""], [404, ""]]
    metadata.give_notice(seconds=120)
    status, refused, (found, text) = ask()
    assert (status, refused, found) == (200, [401, ""], 200)
    assert json.loads(text)["action"] == "terminate"
    metadata.take_back()
    assert ask() == [200, [401, ""], [404, ""]]
    host.reset()


TASK = """
import socket, sys
from s2s.contracts.settings import load_settings
from s2s.orchestration.cluster import join
join(load_settings())
import ray

@ray.remote(num_cpus=1, scheduling_strategy="SPREAD", max_retries=0)
def write(number):
    from s2s.storage.objects import read_bytes, write_bytes
    from s2s.tracking.registry import list_models
    settings = load_settings()
    uri = f"{settings.root}/{number}"
    write_bytes(uri, socket.gethostname().encode(), settings, if_absent=True)
    list_models(settings)
    return read_bytes(uri, settings).decode()

print(" ".join(ray.get([write.remote(number) for number in range(6)])))
"""


def test_tasks_reach_every_server_though_s3_refuses_some_calls(servers, faulty_cluster: Cluster, operator: Settings) -> None:
    servers.faulty_s3.order(seed=3, refuse=0.3)
    said = faulty_cluster.run("driver", [sys.executable, "-c", TASK]).split()
    assert set(said) == {"worker1", "worker2"}
    assert [read_bytes(f"s3://{operator.bucket}/{number}", operator).decode() for number in range(6)] == said
    assert servers.faulty_s3.counts()["refuse"] >= 1
