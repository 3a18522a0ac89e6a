"""What browser tests stand on: a page on loopback that can die, and a tab that remembers what was said and asked."""

import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, Request, ViewportSize

from s2s.page.serving import address_of, open_server

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


class Served:
    """A page on loopback that can die and come back at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = self._start(0)
        self.address = address_of(self._server)

    def _start(self, port: int) -> ThreadingHTTPServer:
        server = open_server(self.folder, port)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def die(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def revive(self) -> None:
        self._server = self._start(self._server.server_port)


class Visit:
    """A tab, and what it said: words on the console, errors of scripts, requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.said.append(f"script: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def open(self, address: str) -> Page:
        """Go there, and wait until something was drawn."""
        self.page.goto(address)
        self.page.wait_for_selector("html[data-drawn]")
        return self.page

    def transferred(self) -> int:
        """Bytes that came over the wire so far."""
        sizes = "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
        return int(self.page.evaluate(f"{sizes}.reduce((sum, entry) => sum + entry.transferSize, 0)"))

    def first_view_ms(self) -> float:
        """Time from the start of the navigation to the first frame with something in it."""
        mark = self.page.evaluate(
            "new Promise(done => { const look = () => { const [mark] = performance.getEntriesByName('first-view');"
            " mark ? done(mark.startTime) : setTimeout(look, 10); }; look(); })"
        )
        return float(mark)
