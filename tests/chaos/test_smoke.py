"""What `make test` checks of the harness: a driver joins a cluster of several hosts, its tasks run on every worker, and it is not deaf."""

import json
import sys

from chaos.cluster import Cluster
from chaos.hosts import Network

DRIVER = """
import json, socket, time
from s2s.contracts.settings import load_settings
from s2s.orchestration.cluster import join
join(load_settings())
import ray
from ray._raylet import Config

@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where():
    time.sleep(1)
    return socket.gethostname(), str(load_settings().home)

hosts = sorted(set(ray.get([where.remote() for _ in range(4)])))
print(json.dumps([hosts, Config.grpc_client_keepalive_time_ms() + Config.grpc_client_keepalive_timeout_ms()]))
"""


def test_tasks_run_on_every_worker(network: Network, bare_cluster: Cluster) -> None:
    said = bare_cluster.run("driver", [sys.executable, "-c", DRIVER])
    home = str(bare_cluster.head.disk_inside / "home" / ".s2s")
    hosts, silence_ms = json.loads(said.splitlines()[-1])
    assert hosts == [["worker1", home], ["worker2", home]]
    assert silence_ms == 90_000, "a host that falls silent is given up after this time, as Ray itself has understood"
    assert network.orphans() == []
