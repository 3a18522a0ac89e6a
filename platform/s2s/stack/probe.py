"""Ask a server whether it answers."""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping

TIMEOUT_S = 5.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Servers of this machine are never asked through a proxy."""


def answers(url: str, *, statuses: Collection[int] = (200,), headers: Mapping[str, str] | None = None) -> bool:
    """Whether a GET of the URL answers with one of the statuses.

    Args:
        url: An http or https address.
        statuses: What counts as an answer.
        headers: Sent with the question.
    """
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - the scheme comes from our own settings
    try:
        with _DIRECT.open(request, timeout=TIMEOUT_S) as response:
            return response.status in statuses
    except urllib.error.HTTPError as error:
        with error:
            return error.code in statuses
    except (OSError, http.client.HTTPException, ValueError):
        return False


def accepts(address: str) -> bool:
    """Whether something accepts connections at an address.

    Args:
        address: `host:port`, with or without a scheme in front.
    """
    place = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False
