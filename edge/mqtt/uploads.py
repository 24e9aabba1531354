"""Pictures to the hub by HTTP PUT, after the numbers: only those whose row the hub has committed.

    PUT {pictures_url}/pictures/{sha256}    Authorization: Bearer TOKEN    body: the JPEG
    200, 201                    the hub has it
    404, 409                    its row is not there yet: this picture later
    401, 403, 408, 429, 5xx     not the picture's fault: all later
    other 4xx                   not wanted: not again

Two lanes, each a thread with a connection of its own and one picture at a time: the thumbnails of
parts that were not OK leave as soon as the hub has their rows, however large a picture is under
way; the pictures themselves leave at a bounded rate, so that they never slow down the rows.
"""

import http.client
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge.errors import EdgeError, LedgerError, LinkError
from edge.mqtt import identity
from edge.upstream_settings import web_address

log = logging.getLogger(__name__)

RATE_BYTES_PER_S = 2_000_000
POLL_S = 1.0  # an idle uploader looks for pictures this often
RETRY_S = (2.0, 300.0)  # first and longest pause after a failure, doubling, with jitter
TIMEOUT_S = 10.0
AT_ONCE = 20
CLOSE_S = 5.0
_NOT_ITS_FAULT = (401, 403, 408, 425, 429)

Outcome = Literal["done", "refused", "lost"]
Kind = Literal["thumbnail", "not_ok", "ok"]

LANES: Mapping[str, tuple[Kind, ...]] = {"thumbnails": ("thumbnail",), "pictures": ("not_ok", "ok")}
"""What each lane sends, the most wanted first."""


class PictureSource(Protocol):
    """Where the pictures are: the picture store, which this package does not import."""

    def to_send(self, kinds: Sequence[Kind], limit: int) -> list[str]:
        """sha256 of pictures the hub may have now, in the order of `kinds`; raises LedgerError."""

    def on_sendable(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when the hub may have more of them; it must not block."""

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
        """Prepare; `start` begins.

        Args:
            rate_bytes_per_s: of each lane.
            authority: certificate whose servers alone are believed; None: the system's.

        Raises:
            LinkError: `pictures_url` is not an http or https address.
        """
        where = _address(pictures_url, authority)
        self._lanes = [
            _Lane(name, where, token_file, source, rate_bytes_per_s, poll_s, retry_s)
            for name in LANES
        ]

    def start(self) -> None:
        """Send pictures until `close`."""
        for lane in self._lanes:
            lane.start()

    def close(self) -> None:
        """Stop; what is not sent waits on disk. Safe to call twice."""
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            lane.join()


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a hub takes pictures."""

    url: str
    host: str
    port: int
    encrypted: bool
    prefix: str  # of the path
    authority: Path | None


def _address(url: str, authority: Path | None) -> _Address:
    try:
        parts = web_address(url, "http", "https")
    except ValueError as wrong:
        raise LinkError(f"pictures_url {url}: {wrong}") from wrong
    encrypted, prefix = parts.scheme == "https", parts.path.rstrip("/")
    port = parts.port or (443 if encrypted else 80)
    return _Address(url, parts.hostname or "", port, encrypted, prefix, authority)


class _Lane:
    """Pictures of some kinds, one after the other."""

    def __init__(
        self,
        name: str,
        where: _Address,
        token_file: Path,
        source: PictureSource,
        rate_bytes_per_s: int,
        poll_s: float,
        retry_s: tuple[float, float],
    ) -> None:
        self._name = name
        self._kinds = LANES[name]
        self._where = where
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
        self._sendable = threading.Event()  # set by the ledger's thread, and to stop
        self._thread = threading.Thread(target=self._run, name=f"upload {name}", daemon=True)

    def start(self) -> None:
        """Send until `stop`."""
        self._source.on_sendable(self._sendable.set)
        self._thread.start()

    def stop(self) -> None:
        """No picture after the one under way."""
        self._stop.set()
        self._sendable.set()

    def join(self) -> None:
        """Returns when the thread has ended, or soon after if the hub hangs."""
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause_s = self._round()
            except EdgeError as wrong:
                self._tell(f"{wrong}; {wrong.hint}")
                self._stop.wait(self._pause_s(self._failures))
                self._failures += 1
            except Exception:
                log.exception("%s to %s: a round broke off", self._name, self._where.url)
                self._stop.wait(self._retry_s[1])
            else:
                self._sendable.wait(pause_s)

    def _round(self) -> float:
        """Send what is due; returns how long to rest, unless there is more."""
        self._sendable.clear()
        wanted = self._source.to_send(self._kinds, AT_ONCE + len(self._later))
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
            log.info("%s to %s: on their way again", self._name, self._where.url)
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
        path = f"{self._where.prefix}/pictures/{sha256}"
        status, said = self._put(connection, path, jpeg, headers)
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
        where = self._where
        if not where.encrypted:
            return http.client.HTTPConnection(where.host, where.port, timeout=TIMEOUT_S)
        tls = identity.server_context(where.authority) if where.authority is not None else None
        return http.client.HTTPSConnection(where.host, where.port, timeout=TIMEOUT_S, context=tls)

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
            log.warning("%s to %s: %s", self._name, self._where.url, trouble)
