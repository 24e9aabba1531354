"""How a node gets its certificate from the hub's gate, and the next one before it ends.

    GET  /ca               the authority; believed only by the fingerprint that a person gave
    POST /enrol            {"node", "csr", "proof"}                      202 {"request"}
    POST /renew            {"node", "csr", "certificate", "signature"}   202 {"request"}
    GET  /enrol/{request}  202 it waits   200 {"certificate", "ca"}   403 it is not signed

A key is made here and kept on disk before its request leaves, and a request is kept with it: a
one-time token that is shown again with another request is an alarm at the hub.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import ssl
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.errors import LinkError
from edge.mqtt import identity
from edge.mqtt.identity import Facts, Files
from edge.upstream_settings import web_address

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
POLL_S = (0.1, 2.0)  # first and longest pause between two looks at a request, doubling
PATIENCE_S = 120.0  # for the authority's signature: the hub's `duties` signs once a round
LOOK_S = 3600.0  # a running node looks at its certificate this often
MAX_ANSWER_BYTES = 65_536
REFUSED = (
    "the hub refuses: the token is used, over or another node's, or the node is revoked; "
    "`quanjian-hub node enrol` makes a new token"
)
Json = dict[str, Any]


class GateClient:
    """The gate of one hub, over TLS with one authority."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        """Raises LinkError: not an https address."""
        try:
            address = web_address(url, "https")
        except ValueError as wrong:
            raise LinkError(f"{url}: {wrong}") from wrong
        self._url, self._host, self._port = url, address.hostname or "", address.port or 443
        self._prefix = address.path.rstrip("/")
        self._context = context

    def asked(self, method: str, path: str, body: Json | None = None) -> tuple[int, bytes]:
        """Status and body. Raises LinkError: no answer."""
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_S, context=self._context
        )
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, self._prefix + path, content)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER_BYTES)
        except ssl.SSLError as wrong:
            raise identity.refusal(wrong) from wrong
        except (OSError, http.client.HTTPException) as wrong:
            raise LinkError(f"{self._url}: {type(wrong).__name__} {wrong}") from wrong
        finally:
            connection.close()

    def requested(self, path: str, body: Json) -> str:
        """Hand in a request; returns what to ask by. Raises LinkError."""
        status, said = self.asked("POST", path, body)
        if status == 403:
            raise LinkError(REFUSED)
        return _text(self._read(status, 202, said), "request")

    def signed(self, request: str, stop: threading.Event) -> tuple[bytes, bytes] | None:
        """The certificate and its authority, PEM; None: not within 120 s, or `stop`.

        Raises:
            LinkError: no answer, or it is not signed.
        """
        waited_s, pause_s = 0.0, POLL_S[0]
        while not stop.is_set() and waited_s < PATIENCE_S:
            status, said = self.asked("GET", f"/enrol/{request}")
            if status == 403:
                raise LinkError(REFUSED)
            if status != 202:
                answer = self._read(status, 200, said)
                return _text(answer, "certificate").encode(), _text(answer, "ca").encode()
            stop.wait(pause_s)
            waited_s += pause_s
            pause_s = min(POLL_S[1], 2 * pause_s)
        return None

    def _read(self, status: int, expected: int, said: bytes) -> Json:
        with contextlib.suppress(ValueError):  # also what is no UTF-8
            answer = json.loads(said)
            if status == expected and isinstance(answer, dict):
                return answer
        shown = said[:200].decode("utf-8", "replace")
        raise LinkError(f"{self._url} answers {status} {shown}")


def enrol(url: str, expected: str, token: str, files: Files, node: str) -> Facts:
    """Get this node's first certificate and write all its files; returns what it says.

    Args:
        expected: sha256 of the authority's certificate, hex, as the hub printed it.
        token: the one-time token, as the hub printed it.

    Raises:
        LinkError: another authority answers, the hub refuses, or a file cannot be written.
    """
    authority = authority_of(url, expected)
    gate = GateClient(url, identity.believing(authority))
    request = _request(files, node)
    proof = proof_of(token, request)
    body = {"node": node, "csr": request.decode(), "proof": proof}
    known = gate.requested("/enrol", body)
    try:
        given = gate.signed(known, threading.Event())
    except LinkError:
        _kept_request(files).unlink(missing_ok=True)  # the next token comes with a new request
        raise
    if given is None:
        raise LinkError(
            f"the authority did not sign within {PATIENCE_S:.0f} s: does `duties` run at the hub? "
            "The same command goes on waiting"
        )
    said = identity.adopt(files, node, *given)
    _kept_request(files).unlink(missing_ok=True)
    return said


def authority_of(url: str, expected: str) -> bytes:
    """The authority's certificate, PEM, from a server that nothing is known of yet.

    Raises:
        LinkError: its fingerprint is not the expected one, so it may be anybody's.
    """
    unproved = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproved.check_hostname, unproved.verify_mode = False, ssl.CERT_NONE
    unproved.minimum_version = ssl.TLSVersion.TLSv1_3
    status, said = GateClient(url, unproved).asked("GET", "/ca")
    if status != 200:
        raise LinkError(f"{url}/ca answers {status}: is it the hub's gate?")
    found = identity.fingerprint(said)
    wanted = expected.replace(":", "").strip().lower()
    if found != wanted:
        raise LinkError(f"{url}: the authority's fingerprint is {found}, expected {wanted}")
    return said


def proof_of(token: str, request: bytes) -> str:
    """Shows that we know the token, without saying it: HMAC-SHA256 keyed by its sha256, over the
    sha256 of the request."""
    key = hashlib.sha256(token.encode()).digest()
    return hmac.new(key, hashlib.sha256(request).digest(), hashlib.sha256).hexdigest()


def _kept_request(files: Files) -> Path:
    return files.key.with_name(files.key.name + ".csr")


def _request(files: Files, node: str) -> bytes:
    """The request that waits, with its key on disk; or a new one."""
    kept = _kept_request(files)
    if kept.exists() and files.new_key.exists():
        try:
            return kept.read_bytes()
        except OSError as wrong:
            raise LinkError(f"{kept}: cannot be read: {wrong}") from wrong
    with contextlib.suppress(OSError):  # writing says it better
        files.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = identity.new_key()
    identity.write_key(files.new_key, key)
    request = identity.request(key, node)
    identity.write(kept, request, 0o600)
    return request


def renew(url: str, files: Files, node: str, stop: threading.Event) -> Facts | None:
    """Get the next certificate, with a fresh key; None: not now, the present one still holds.

    Raises:
        LinkError: the hub does not answer or refuses, or a file cannot be written.
    """
    gate = GateClient(url, identity.server_context(files.authority))
    key = identity.new_key()
    identity.write_key(files.new_key, key)
    request = identity.request(key, node)
    signature = identity.signed(identity.read_key(files.key), request)
    certificate = identity.pem(identity.read_certificate(files.certificate))
    known = gate.requested(
        "/renew",
        {
            "node": node,
            "csr": request.decode(),
            "certificate": certificate.decode("ascii"),
            "signature": signature.hex(),
        },
    )
    given = gate.signed(known, stop)
    return None if given is None else identity.adopt(files, node, *given)


class Renewal:
    """Looks at the node's certificate each hour and renews it when two thirds of its life are over.

    The link loads the files anew at every connection, so nothing has to be restarted.
    """

    def __init__(self, url: str, files: Files, node: str, look_s: float = LOOK_S) -> None:
        self._url, self._files, self._node = url, files, node
        self._look_s = look_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Look now and then until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S + POLL_S[1])

    def look(self, now: datetime) -> None:
        """Renew if it is time at `now`; a failure is logged, the next look tries again."""
        try:
            said = identity.examine(self._files, self._node, now)
            if said.due(now):
                said = renew(self._url, self._files, self._node, self._stop) or said
                log.info("certificate of %s: now until %s", self._node, said.not_after.date())
        except LinkError as wrong:
            log.warning("certificate of %s: %s; %s", self._node, wrong, wrong.hint)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look(datetime.now(timezone.utc))
            except Exception:
                log.exception("certificate of %s: a look broke off", self._node)
            self._stop.wait(self._look_s)


def _text(answer: Json, key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str):
        raise LinkError(f"the hub's answer has no {key}")
    return value
