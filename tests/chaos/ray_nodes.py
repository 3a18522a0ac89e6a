"""Print the nodes that a Ray head knows, one JSON list per line, again and again: `python ray_nodes.py HOST:PORT`.

It asks the head's control store itself and joins nothing, so that it is no driver whose end Ray would have to clean up after.
"""

import json
import sys
import time


def main() -> None:
    """Print until killed, or until the head no longer answers."""
    from ray._raylet import GcsClient  # noqa: PLC0415 - the environment holds the token

    client = GcsClient(address=sys.argv[1])
    while True:
        nodes = [
            {
                "node_id": node_id.hex(),
                "address": info.node_manager_address,
                "is_alive": info.state == 0,
                "cpus": dict(info.resources_total).get("CPU", 0.0),
            }
            for node_id, info in client.get_all_node_info(timeout=10).items()
        ]
        print(json.dumps(nodes), flush=True)  # noqa: T201
        time.sleep(0.5)


if __name__ == "__main__":
    main()
