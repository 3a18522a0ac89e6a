"""The manifests are what KubeRay takes (field names as in its API reference, 1.5.1 and newer), and no pod may do more than it must."""

import importlib
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from s2s.contracts.loading import load_service_config
from s2s.contracts.service import ServiceConfig

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "kubernetes"
BY_DIGEST = re.compile(r"[\w./-]+@sha256:[0-9a-f]{64}")
FIELDS = {
    "RayCluster": {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"},
    "RayJob": {"clusterSelector", "submissionMode", "jobId", "entrypoint"},
    "RayService": {"serveConfigV2", "rayClusterConfig"},
    "head": {"rayStartParams", "template"},
    "worker": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}
"""What the manifests use of each kind; a misspelt field would be dropped by the API server without a word."""


def documents() -> Iterator[dict[str, Any]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


DOCUMENTS = {f"{document['kind']} {document['metadata']['name']}": document for document in documents()}


def cluster_of(document: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = document["spec"]
    return spec["rayClusterConfig"] if document["kind"] == "RayService" else spec


HAVE_CLUSTERS = ("RayCluster", "RayService")
CLUSTERS = [pytest.param(cluster_of(document), id=name) for name, document in DOCUMENTS.items() if document["kind"] in HAVE_CLUSTERS]


def pods(value: object) -> Iterator[dict[str, Any]]:
    """Every pod template below a value."""
    if isinstance(value, dict):
        if "containers" in value.get("template", {}).get("spec", {}):
            yield value["template"]["spec"]
        for part in value.values():
            yield from pods(part)
    elif isinstance(value, list):
        for part in value:
            yield from pods(part)


PODS = [pytest.param(pod, id=f"{name} {place}") for name, document in DOCUMENTS.items() for place, pod in enumerate(pods(document))]


def faults_of(pod: dict[str, Any]) -> list[str]:
    """Name what a pod has more, or less, than this house allows."""
    (container,) = pod["containers"]
    whole, own = pod.get("securityContext", {}), container.get("securityContext", {})
    resources = container.get("resources", {})
    found = {
        "may be root": not (whole.get("runAsNonRoot") and whole.get("runAsUser")),
        "any system call": whole.get("seccompProfile") != {"type": "RuntimeDefault"},
        "may gain privileges": own.get("allowPrivilegeEscalation") is not False,
        "keeps capabilities": own.get("capabilities") != {"drop": ["ALL"]},
        "image by tag": not BY_DIGEST.fullmatch(container.get("image", "")),
        "no requests": not {"cpu", "memory"} <= resources.get("requests", {}).keys(),
        "memory without a bound": resources.get("requests", {}).get("memory") != resources.get("limits", {}).get("memory"),
        "a secret in the open": any("PASSWORD" in item["name"] and "value" in item for item in container.get("env", [])),
        "the host's network": bool(pod.get("hostNetwork")),
    }
    return [name for name, is_so in found.items() if is_so]


def test_there_is_one_of_each_kind_and_all_live_in_one_namespace() -> None:
    rays = [document for document in documents() if document["apiVersion"].startswith("ray.io/")]
    assert sorted(document["kind"] for document in rays) == ["RayCluster", "RayJob", "RayService"]
    assert {document["apiVersion"] for document in rays} == {"ray.io/v1"}
    assert {document["metadata"].get("namespace", document["metadata"]["name"]) for document in documents()} == {"s2s-atlas"}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind in ("RayCluster", "RayJob", "RayService")])
def test_a_kind_has_the_fields_that_kuberay_knows(kind: str) -> None:
    (document,) = (document for document in documents() if document["kind"] == kind)
    assert document["spec"].keys() == FIELDS[kind]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_cluster_asks_for_a_token_and_its_head_runs_no_task(cluster: dict[str, Any]) -> None:
    assert cluster.keys() <= FIELDS["RayCluster"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == version("ray")
    assert cluster["headGroupSpec"].keys() == FIELDS["head"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() == FIELDS["worker"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_pools_are_those_of_the_cluster_on_aws() -> None:
    groups = DOCUMENTS["RayCluster s2s-atlas"]["spec"]["workerGroupSpecs"]
    found = {}
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
        found[group["groupName"]] = (gpus, group["template"]["spec"].get("nodeSelector", {}).get("karpenter.sh/capacity-type"))
    assert found == {"cpu": (0, None), "spot-gpu": (1, "spot"), "multi-gpu": (4, "on-demand")}


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_may_do_no_more_than_it_must(pod: dict[str, Any]) -> None:
    assert faults_of(pod) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"image": "s2s-atlas:latest"}, "image by tag", id="tag"),
        pytest.param({"securityContext": {}}, "may gain privileges", id="privileges"),
        pytest.param({"resources": {}}, "no requests", id="resources"),
        pytest.param({"env": [{"name": "MLFLOW_TRACKING_PASSWORD", "value": "x"}]}, "a secret in the open", id="secret"),
    ],
)
def test_a_pod_that_may_do_more_would_be_found(change: dict[str, Any], fault: str) -> None:
    pod = next(pods(DOCUMENTS["RayCluster s2s-atlas"]))
    assert fault in faults_of({**pod, "containers": [{**pod["containers"][0], **change}]})


def test_only_the_head_that_scales_may_ask_kubernetes_for_anything() -> None:
    every = [pod for document in documents() for pod in pods(document)]
    assert [pod["serviceAccountName"] for pod in every if pod.get("automountServiceAccountToken", True)] == ["s2s-head"]


def test_nothing_is_offered_outside_and_no_secret_is_written_down() -> None:
    assert not [document for document in documents() if document["kind"] in ("Secret", "Ingress")]
    services = [document["spec"].get("type", "ClusterIP") for document in documents() if document["kind"] == "Service"]
    assert services == ["ClusterIP"]
    policy = DOCUMENTS["NetworkPolicy only-our-own"]["spec"]
    assert policy["podSelector"] == {}
    assert policy["policyTypes"] == ["Ingress"]
    assert all("from" in rule for rule in policy["ingress"])


def test_the_job_finds_its_yaml_and_its_cluster() -> None:
    job = DOCUMENTS["RayJob breast-atlas-1"]["spec"]
    assert job["clusterSelector"] == {"ray.io/cluster": DOCUMENTS["RayCluster s2s-atlas"]["metadata"]["name"]}
    head = next(pods(DOCUMENTS["RayCluster s2s-atlas"]["spec"]["headGroupSpec"]))
    (mount,) = head["containers"][0]["volumeMounts"]
    assert job["entrypoint"].startswith("s2s atlas run " + mount["mountPath"])


def test_the_service_names_our_application_with_settings_that_it_has() -> None:
    (document,) = (document for document in documents() if document["kind"] == "RayService")
    (application,) = yaml.safe_load(document["spec"]["serveConfigV2"])["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    ServiceConfig.model_validate({"kind": "service", "version": 1, **application["args"]})
    workers = document["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    (container,) = workers["template"]["spec"]["containers"]
    assert application["args"]["replicas"]["cpus"] + application["args"]["jobs"]["cpus"] <= float(container["resources"]["limits"]["cpu"])


def test_the_services_yaml_holds_the_usual_settings() -> None:
    given = load_service_config(FOLDER.parent / "serve.yaml")
    usual = ServiceConfig()
    assert given == usual.model_copy(update={"limits": given.limits})
    assert {name: getattr(usual.limits, name) for name in given.limits.model_fields_set} == given.limits.model_dump(exclude_unset=True)
