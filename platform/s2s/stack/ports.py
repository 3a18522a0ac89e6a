"""Free TCP ports on 127.0.0.1, chosen where no outgoing connection can take them away.

Decision: ports come from below the ephemeral range (Linux: 32768 and up), in a row from a random one, so that two stacks of twenty ports
that start together meet once in 300 times (each at random: once in 30); the price is a retry by the user where they do.
"""

import random
import socket
from collections.abc import Collection

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; connections that are only fading out (TIME_WAIT) do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_ports(names: Collection[str], *, last: dict[str, int], taken: Collection[int] = ()) -> dict[str, int]:
    """Give every name a port of its own.

    Args:
        names: What each port is for.
        last: The ports of last time; kept if all names are there and all are free, so that addresses stay the same.
        taken: Ports that are promised already, though nothing listens on them yet.

    Returns:
        Name to port.
    """

    def is_usable(port: int) -> bool:
        return port not in taken and is_free(port)

    kept = {name: last[name] for name in names if name in last}
    if len(kept) == len(names) and all(is_usable(port) for port in kept.values()):
        return kept
    start = random.SystemRandom().randrange(LOWEST, HIGHEST)
    free = (port for port in (*range(start, HIGHEST), *range(LOWEST, start)) if is_usable(port))
    return {name: next(free) for name in names}
