"""The metadata service of an EC2 instance (IMDSv2), as far as a watcher of spot notices asks it.

    python metadata.py ADDRESS PORT FOLDER     `FOLDER/<last part of the path>` is the answer; no such file: 404

A session token is required, as `HttpTokens: required` has it: without one the answer is 401.
"""

import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = "/latest/meta-data/"
PATHS = ("spot/instance-action", "spot/termination-time", "events/recommendations/rebalance", "instance-id", "placement/availability-zone")
TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
LONGEST_TTL_S = 21600


class Handler(BaseHTTPRequestHandler):
    """One call."""

    folder: Path
    tokens: set[str]

    def do_PUT(self) -> None:
        """Hand out a token."""
        ttl_s = self.headers.get(TTL, "")
        if self.path != "/latest/api/token":
            self._answer(404)
        elif not ttl_s.isdigit() or not 1 <= int(ttl_s) <= LONGEST_TTL_S:
            self._answer(400)
        else:
            token = secrets.token_urlsafe(40)
            self.tokens.add(token)
            self._answer(200, token)

    def do_GET(self) -> None:
        """Answer with a file of the folder."""
        name = self.path.removeprefix(ROOT)
        file = self.folder / name.replace("/", "_")
        if self.headers.get(TOKEN) not in self.tokens:
            self._answer(401)
        elif name in PATHS and file.is_file():
            self._answer(200, file.read_text(encoding="utf-8"))
        else:
            self._answer(404)

    def _answer(self, status: int, text: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Handler.folder, Handler.tokens = Path(sys.argv[3]), set()
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
    print("ready", flush=True)  # noqa: T201
    server.serve_forever()
