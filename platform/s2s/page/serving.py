"""A page shown on this machine: a server of files for one pair of eyes, on 127.0.0.1.

Decision: the standard library's, for a page is files and every other server of files shows it as well.
"""

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

from s2s.errors import MissingError, StorageError

HOST = "127.0.0.1"
INDEX = "page.json"


class PageHandler(SimpleHTTPRequestHandler):
    """Files below one folder, with the types that browsers insist on; folders are not listed."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".json": "application/json",
        ".txt": "text/plain; charset=utf-8",
    }

    def end_headers(self) -> None:
        """Say, with every answer, that types are meant and that a page that was built anew must be seen."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path: object) -> BytesIO | None:
        """Folders have nothing to show."""
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a page asks for hundreds of files."""


def open_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Bind a server to a page; the caller lets it serve, and closes it.

    Args:
        folder: That `s2s page build` wrote.
        port: Of 127.0.0.1; 0 for a free one.

    Raises:
        MissingError: no page there.
        StorageError: the port is taken.
    """
    if not (folder / INDEX).is_file():
        raise MissingError(f"expected a page, found no {INDEX} in {folder}; `s2s page build URI --out {folder}` makes one")
    try:
        return ThreadingHTTPServer((HOST, port), partial(PageHandler, directory=str(folder.absolute())))
    except OSError as error:
        raise StorageError(f"expected port {port} of {HOST} to be free, got: {error}; leave --port out for a free one") from None


def address_of(server: ThreadingHTTPServer) -> str:
    """What a browser is told."""
    return f"http://{HOST}:{server.server_port}/"
