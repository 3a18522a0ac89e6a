"""Who asks for the figures of an atlas, and who may: Prometheus is told where Ray writes its nodes down, and nothing is open to others.

That the dashboard asks for figures that exist is tested where a real Ray exports them: `tests/integration/test_fleet_gpus.py`.
"""

from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
METRICS_PORT = 8080


def kubernetes(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((INFRA / "kubernetes" / file).read_text()))


def test_prometheus_reads_the_file_that_a_head_keeps() -> None:
    (job,) = yaml.safe_load((INFRA / "prometheus.yml").read_text())["scrape_configs"]
    (source,) = job["file_sd_configs"]
    assert [Path(name).name for name in source["files"]] == ["prom_metrics_service_discovery.json", "ray_targets.json"]
    assert "/infra/ray_targets.json" in (INFRA.parent / ".gitignore").read_text().splitlines()


def test_under_compose_the_figures_stay_in_the_servers_own_network() -> None:
    compose = yaml.safe_load((INFRA / "compose.yaml").read_text())
    assert "--metrics-export-port=8090" in compose["services"]["ray"]["command"]
    assert "--node-ip-address=127.0.0.1" in compose["services"]["ray"]["command"], "Ray then exports on loopback alone"
    assert not any("8090" in port for service in compose["services"].values() for port in service.get("ports", []))


def test_on_kubernetes_every_ray_pod_names_the_port_and_only_a_file_of_its_own_opens_it() -> None:
    (cluster,) = kubernetes("raycluster.yaml")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "metrics", "containerPort": METRICS_PORT} in container["ports"]
    monitor, policy = kubernetes("monitoring.yaml")
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
    assert monitor["spec"]["selector"] == policy["spec"]["podSelector"]
    assert [rule["ports"] for rule in policy["spec"]["ingress"]] == [[{"port": METRICS_PORT}]]
    closed = [document for document in kubernetes("base.yaml") if document["kind"] == "NetworkPolicy"]
    assert not any({"port": METRICS_PORT} in rule.get("ports", []) for document in closed for rule in document["spec"]["ingress"])
