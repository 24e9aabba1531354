"""The station page: state, last not-OK part and counts on the node's own screen, without the hub.

Read-only, loopback only, stdlib only. `GET /`, `/state.json`, `/metrics` for Prometheus,
`/last/{station}.jpg` and the page's files.
"""

import functools
import http.server
import json
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

from edge import exposition
from edge.errors import EdgeError, LinkError
from edge.standing import WORDS, Standing
from edge.vision import annotate

log = logging.getLogger(__name__)

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
"""Other names in a request are a foreign page's that let its name point here (DNS rebinding)."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class StationPage:
    """Serves the page of one node until closed."""

    def __init__(
        self,
        host: str,
        port: int,
        node: str,
        standings: Sequence[Standing],
        link: Callable[[], tuple[bool, int]],
    ) -> None:
        """`link` tells whether the hub is connected and how many rows wait.

        Raises:
            LinkError: the port is taken.
        """
        self._standings = {standing.name: standing for standing in standings}
        self._node = node
        self._link = link
        answer = functools.partial(_Answer, self.find)
        try:
            self._server = _Server((host, port), answer)
        except OSError as wrong:
            raise LinkError(f"station page: cannot listen on {host}:{port}: {wrong}") from wrong
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="station page", daemon=True
        )

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()

    def find(self, path: str) -> tuple[bytes, str] | None:
        """Body and type of a path, or None."""
        if path in FILES:
            name, kind = FILES[path]
            return resources.files("edge").joinpath("page", name).read_bytes(), kind
        if path == "/metrics":
            return exposition.exposition(self._state()), exposition.CONTENT_TYPE
        if path == "/state.json":
            return json.dumps(self._state()).encode(), "application/json"
        if path.startswith("/last/") and path.endswith(".jpg"):
            return self._picture(path.removeprefix("/last/").removesuffix(".jpg"))
        return None

    def _picture(self, name: str) -> tuple[bytes, str] | None:
        standing = self._standings.get(name)
        last = standing.last_not_ok if standing else None
        for look in last.looks if last else ():
            if look.frame is not None:
                drawn = annotate.draw(look.frame.image, look.detections)
                return annotate.jpeg(drawn), "image/jpeg"
        return None

    def _state(self) -> dict[str, Any]:
        online, waiting = self._link()
        return {
            "node": self._node,
            "hub": "online" if online else "offline",
            "waiting": waiting,
            "unsigned": any(standing.unsigned for standing in self._standings.values()),
            "stations": [_station(standing) for standing in self._standings.values()],
        }


def _station(standing: Standing) -> dict[str, Any]:
    told, last = standing.state(), standing.last_not_ok
    return {
        "name": standing.name,
        "state": told.state,
        "mode": told.mode.value,
        "fault": {"word": told.fault_word, "about": told.fault_about},
        "epoch": told.epoch,
        "triggers": told.triggers,
        "counted_by": standing.counted_by,
        "counts": {word: standing.counts[word] for word in WORDS},
        "alerts": [
            {"code": change.code.value, "count": change.count}
            for change in standing.board.active.values()
        ],
        "last_not_ok": last
        and {
            "epoch": last.row.epoch,
            "number": last.row.number,
            "mode": last.row.mode.value,
            "code": int(last.row.code),
            "reason": last.row.reason.value if last.row.reason else None,
            "defect": standing.defect_name(last.row),
            "faults": [look.fault for look in last.looks if look.fault],
            "has_picture": any(look.frame is not None for look in last.looks),
        },
    }


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves before it has its answer is no fault of anybody."""
        wrong = sys.exc_info()[1]
        if isinstance(wrong, OSError):
            log.debug("station page: a client left: %s", wrong)
        else:
            log.error("station page: an answer broke off", exc_info=wrong)


class _Answer(http.server.BaseHTTPRequestHandler):
    """GET only; every answer carries the security headers."""

    timeout = 10  # a client that says nothing does not hold a thread for ever

    def __init__(self, find: Callable[[str], tuple[bytes, str] | None], *args: Any) -> None:
        self._find = find
        super().__init__(*args)

    def do_GET(self) -> None:
        status, body, kind = self._answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> tuple[int, bytes, str]:
        plain = "text/plain; charset=utf-8"
        try:
            asked_of = urlsplit(f"//{self.headers.get('Host', '')}").hostname
            path = unquote(urlsplit(self.path).path)
        except ValueError as wrong:  # a [ that nothing closes
            return 400, f"not an address: {wrong}\n".encode(), plain
        if asked_of not in OWN_NAMES:
            return 421, b"this page answers to its own address only\n", plain
        try:
            found = self._find(path)
        except EdgeError as wrong:
            log.warning("station page: %s", wrong)
            found = None
        return (200, *found) if found else (404, b"not found\n", plain)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        log.debug("station page: %s", format % args)
