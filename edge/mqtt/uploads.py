"""Pictures to the hub by HTTP PUT, after the numbers: only those whose row the hub has committed.

    PUT {pictures_url}/pictures/{sha256}    Authorization: Bearer TOKEN    body: the JPEG
    200, 201                    the hub has it
    404, 409                    its row is not there yet: this picture later
    401, 403, 408, 429, 5xx     not the picture's fault: all later
    other 4xx                   not wanted: not again

One thread, one picture at a time, at a bounded rate: pictures must never slow down the rows.
"""

import http.client
import logging
import random
import ssl
import threading
import time
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from edge.errors import EdgeError, LedgerError, LinkError
from edge.mqtt import identity

log = logging.getLogger(__name__)

RATE_BYTES_PER_S = 2_000_000
POLL_S = 1.0  # an idle uploader looks for pictures this often
RETRY_S = (2.0, 300.0)  # first and longest pause after a failure, doubling, with jitter
TIMEOUT_S = 10.0
AT_ONCE = 20
CLOSE_S = 5.0
_NOT_ITS_FAULT = (401, 403, 408, 425, 429)

Outcome = Literal["done", "refused", "lost"]


class PictureSource(Protocol):
    """Where the pictures are: the picture store, which this package does not import."""

    def to_send(self, limit: int) -> list[str]:
        """sha256 of pictures the hub may have now, the most wanted first; raises LedgerError."""

    def read(self, sha256: str) -> bytes:
        """The picture; raises LedgerError if it is not there or damaged."""

    def settle(self, sha256: str, outcome: Outcome) -> None:
        """Note what became of it; raises LedgerError."""


class Uploads:
    """The pictures' way to one hub."""

    def __init__(
        self,
        pictures_url: str,
        token_file: Path,
        source: PictureSource,
        rate_bytes_per_s: int = RATE_BYTES_PER_S,
        poll_s: float = POLL_S,
        retry_s: tuple[float, float] = RETRY_S,
        authority: Path | None = None,
    ) -> None:
        """Prepare; `start` begins. `authority`: certificate whose servers alone are believed.

        Raises:
            LinkError: `pictures_url` is not an http or https address.
        """
        try:
            address = urlsplit(pictures_url)
            self._port = address.port
        except ValueError as wrong:
            raise LinkError(f"pictures_url {pictures_url}: {wrong}") from wrong
        if address.scheme not in ("http", "https") or not address.hostname:
            raise LinkError(f"pictures_url {pictures_url}: expected http://HOST:PORT or https://")
        self._where = pictures_url
        self._host, self._encrypted = address.hostname, address.scheme == "https"
        self._prefix = address.path.rstrip("/")
        self._authority = authority
        self._token_file = token_file
        self._source = source
        self._rate_bytes_per_s = rate_bytes_per_s
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._later: dict[str, tuple[float, int]] = {}  # sha256: not before, tries
        self._failures = 0  # rounds in a row that ended in trouble
        self._told: str | None = None
        self._random = random.Random()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)

    def start(self) -> None:
        """Send pictures until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is not sent waits on disk. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause_s = self._round()
            except EdgeError as wrong:
                self._tell(f"{wrong}; {wrong.hint}")
                pause_s = self._pause_s(self._failures)
                self._failures += 1
            except Exception:
                log.exception("pictures to %s: a round broke off", self._where)
                pause_s = self._retry_s[1]
            self._stop.wait(pause_s)

    def _round(self) -> float:
        """Send what is due; returns how long to rest."""
        wanted = self._source.to_send(AT_ONCE + len(self._later))
        self._later = {sha256: self._later[sha256] for sha256 in wanted if sha256 in self._later}
        now_s = time.monotonic()
        due = [sha256 for sha256 in wanted if self._later.get(sha256, (0.0, 0))[0] <= now_s]
        if not due:
            return self._poll_s
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "image/jpeg"}
        try:
            for sha256 in due:
                sent = self._send(connection, headers, sha256)
                if self._stop.wait(sent / self._rate_bytes_per_s):
                    break
        finally:
            connection.close()
        if self._failures:
            log.info("pictures to %s: on their way again", self._where)
        self._failures, self._told = 0, None
        return 0.0

    def _send(
        self, connection: http.client.HTTPConnection, headers: dict[str, str], sha256: str
    ) -> int:
        """One picture; returns the bytes sent.

        Raises:
            LinkError: the hub cannot be reached or takes nothing now.
            LedgerError: what became of the picture cannot be noted.
        """
        try:
            jpeg = self._source.read(sha256)
        except LedgerError as wrong:
            log.warning("%s; it will not be sent", wrong)
            self._source.settle(sha256, "lost")
            return 0
        status, said = self._put(connection, f"{self._prefix}/pictures/{sha256}", jpeg, headers)
        if status in (200, 201):
            self._later.pop(sha256, None)
            self._source.settle(sha256, "done")
        elif status in (404, 409):
            self._put_off(sha256)
        elif 400 <= status < 500 and status not in _NOT_ITS_FAULT:
            log.warning("picture %s was refused by the hub: %d %s", sha256, status, said)
            self._source.settle(sha256, "refused")
        else:
            self._put_off(sha256)  # if it is this picture after all, the others get their turn
            raise LinkError(f"the hub answered {status} {said}")
        return len(jpeg)

    def _put_off(self, sha256: str) -> None:
        _, tries = self._later.get(sha256, (0.0, 0))
        self._later[sha256] = (time.monotonic() + self._pause_s(tries), tries + 1)

    def _put(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        jpeg: bytes,
        headers: dict[str, str],
    ) -> tuple[int, str]:
        try:
            connection.request("PUT", path, jpeg, headers)
            response = connection.getresponse()
            said = response.read(1000).decode("utf-8", "replace")
            if not response.isclosed():
                connection.close()  # a long answer; the next request opens a new connection
        except ssl.SSLError as wrong:
            raise identity.refusal(wrong) from wrong
        except (OSError, http.client.HTTPException) as wrong:
            raise LinkError(f"no answer to a picture: {type(wrong).__name__} {wrong}") from wrong
        return response.status, said

    def _connection(self) -> http.client.HTTPConnection:
        if not self._encrypted:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        context = identity.server_context(self._authority) if self._authority is not None else None
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_S, context=context
        )

    def _token(self) -> str:
        """Read anew every round, so that a renewed token needs no restart."""
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as wrong:
            raise LinkError(f"token file {self._token_file}: {wrong}") from wrong
        if not token or not token.isprintable():
            raise LinkError(f"token file {self._token_file}: holds no token")
        return token

    def _pause_s(self, tries: int) -> float:
        first_s, longest_s = self._retry_s
        doubled_s: float = first_s * 2 ** min(tries, 20)
        return min(longest_s, doubled_s) * self._random.uniform(0.5, 1.5)

    def _tell(self, trouble: str) -> None:
        """Log a trouble once, until pictures move again or it is another."""
        if trouble != self._told:
            self._told = trouble
            log.warning("pictures to %s: %s", self._where, trouble)
