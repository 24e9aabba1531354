"""The gate: the only port of the hub that nodes on other computers reach by HTTPS. No pages here.

    GET  /ca                 200 the authority's certificate, PEM: a node compares its fingerprint
    POST /enrol              {"node", "csr", "proof"}                             202 {"request"}
    POST /renew              {"node", "csr", "certificate", "signature"}          202 {"request"}
    GET  /enrol/{request}    202 it waits   200 {"certificate", "ca"}   403 it is not signed
    PUT  /pictures/{sha256}  as in hub/pictures.py

`csr` and `certificate` are PEM, `signature` is hex (ECDSA over sha256 of the csr, DER) and `proof`
is `hub.authority.proof`. 403 tells strangers nothing; the hub's log has the reason. 422 is a body
that is none of these, 503 try again later. TLS 1.3 only. Who a node is does not come from TLS here:
uvicorn keeps a client's certificate to itself, so requests are signed.
"""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import uvicorn
from fastapi import FastAPI, Request
from fastapi import Path as InPath
from fastapi.responses import JSONResponse, PlainTextResponse
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.mqtt.message import UNREADABLE, Name
from hub import enrolment, pictures
from hub.authority import MAX_REQUEST_BYTES
from hub.enrolment import RefusedError
from hub.errors import AuthorityError, StoreError
from hub.picture_folder import PictureFolder
from hub.settings import Nodes
from hub.store.pool import Store

MAX_BODY_BYTES = 4 * MAX_REQUEST_BYTES
BODY_S = 20.0  # a body that is not here by then is given up
MOST = 256  # connections at once; the next hears 503
SILENT_S = 10.0  # a connection on which no request began for so long, or twice as long, is closed
STARTED_S = 10.0

Pem = Annotated[str, Meta(max_length=MAX_REQUEST_BYTES)]
Hex = Annotated[str, Meta(pattern=r"^([0-9a-f]{2}){8,80}\Z")]

log = logging.getLogger(__name__)


Asked = TypeVar("Asked", bound=Struct)


class Enrol(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /enrol."""

    node: Name
    csr: Pem
    proof: Hex


class Renew(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /renew."""

    node: Name
    csr: Pem
    certificate: Pem
    signature: Hex


class _Spoken(H11Protocol):
    """A connection that has to be used: silent ones would take the places of all others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(SILENT_S, self._look, (self.cycle, False))

    def _look(self, before: tuple[object, bool]) -> None:
        """A request that is under way may take its time (BODY_S); its headers may not, and neither
        may the peer's good-bye, for which TLS would wait long.
        """
        if self not in self.connections:
            return
        now = (self.cycle, self.transport.is_closing())
        under_way = self.cycle is not None and not self.cycle.response_complete
        if now == before and (now[1] or not under_way):
            self.transport.abort()
            return
        self.loop.call_later(SILENT_S, self._look, now)


def make_app(ca: bytes, folder: PictureFolder, store: Store, max_bytes: int) -> FastAPI:
    """The application; `store` is open while it runs."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(pictures.uploads(folder, store, max_bytes))

    @app.get("/ca")
    def authority() -> PlainTextResponse:
        return PlainTextResponse(ca)

    @app.post("/enrol")
    async def enrol(request: Request) -> JSONResponse:
        asked = await _decoded(request, Enrol)
        if asked is None:
            return _unread("expected node, csr and proof")
        return await _answered(
            lambda: _request(enrolment.enrolled(store, asked.node, asked.csr.encode(), asked.proof))
        )

    @app.post("/renew")
    async def renew(request: Request) -> JSONResponse:
        asked = await _decoded(request, Renew)
        if asked is None:
            return _unread("expected node, csr, certificate and signature")
        return await _answered(
            lambda: _request(
                enrolment.renewed(
                    store,
                    asked.node,
                    asked.csr.encode(),
                    asked.certificate.encode(),
                    bytes.fromhex(asked.signature),
                    datetime.now(timezone.utc),
                )
            )
        )

    @app.get("/enrol/{request}")
    async def state(
        request: Annotated[str, InPath(pattern="^[0-9a-f]{64}$")],
    ) -> JSONResponse:
        def looked() -> JSONResponse:
            signed = enrolment.answer(store, request)
            if signed is None:
                return _said(202, "it waits for the authority")
            return JSONResponse({"certificate": signed.certificate, "ca": signed.ca})

        return await _answered(looked)

    return app


async def _decoded(request: Request, shape: type[Asked]) -> Asked | None:
    """The body as `shape`; None: too large, cut off, silent for long, or something else."""
    try:
        body = await asyncio.wait_for(_body(request), BODY_S)
        return msgspec.json.decode(body, type=shape)
    except (asyncio.TimeoutError, ClientDisconnect, *UNREADABLE):
        return None


async def _body(request: Request) -> bytes:
    """The body, cut off soon after it is too large to be one of ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    return body


async def _answered(work: Callable[[], JSONResponse]) -> JSONResponse:
    try:
        return await run_in_threadpool(work)
    except RefusedError as refused:
        log.warning("gate: %s", refused)
        return _said(403, "refused")
    except AuthorityError as wrong:
        log.warning("gate: %s", wrong)
        return _said(422, str(wrong))
    except StoreError as wrong:
        log.error("gate: %s; %s", wrong, wrong.hint)
        return _said(503, "try again later")


def _request(request: str) -> JSONResponse:
    return JSONResponse({"request": request}, 202)


def _unread(why: str) -> JSONResponse:
    """To a body that may go on: a connection that is kept would go on taking it."""
    return JSONResponse({"error": why}, 422, {"connection": "close"})


def _said(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)


class Gate:
    """The HTTPS server of the gate, in a thread beside the pages."""

    def __init__(
        self, settings: Nodes, folder: PictureFolder, store: Store, max_bytes: int
    ) -> None:
        """Raises AuthorityError: a file of [nodes] cannot be used."""
        try:
            app = make_app(Path(settings.ca_file).read_bytes(), folder, store, max_bytes)
            config = uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                ws="none",
                http=_Spoken,
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MOST,
                timeout_graceful_shutdown=1,
                ssl_certfile=settings.certificate_file,
                ssl_keyfile=settings.key_file,
            )
            config.load()
        except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
            raise AuthorityError(f"[nodes]: a file cannot be used: {wrong}") from wrong
        assert config.ssl is not None  # a certificate was given
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        self._where = f"{settings.host}:{settings.port}"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._turned = threading.Event()  # it listens, or never will

    def start(self) -> None:
        """Return once it listens.

        Raises:
            AuthorityError: the address or port cannot be used.
        """
        self._thread.start()
        pause, waited = threading.Event(), 0.0
        while not self._server.started and not self._turned.is_set() and waited < STARTED_S:
            waited += 0.0 if pause.wait(0.05) else 0.05
        if not self._server.started:
            raise AuthorityError(f"[nodes] {self._where}: cannot be listened on")
        log.info("serve: gate for nodes at https://%s", self._where)

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STARTED_S)

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):  # uvicorn logged why it could not start
            self._server.run()
        self._turned.set()
