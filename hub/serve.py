"""`quanjian-hub serve`: pages, live boards and pictures over HTTP, for this computer only; and the
gate (hub/gate.py), where nodes on other computers come by HTTPS.

Pages come from the store alone, so any number of these processes may run beside each other.
"""

import asyncio
import ipaddress
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from hub import pictures, telemetry
from hub.gate import Gate
from hub.notify import notify
from hub.picture_folder import PictureFolder
from hub.settings import Settings
from hub.store.pool import Store
from hub.web import bureau, engineer, operator, refusals
from hub.web.feed import LineFeed
from hub.web.page import FOLDER, Pages
from hub.web.shield import Shield

LOCAL_NAMES = ("localhost",)
ALIVE_S = 5  # between two signs of life to systemd
LEAVE_S = 5  # for answers under way when the service is stopped

log = logging.getLogger(__name__)


class Static(StaticFiles):
    """Our style sheet and scripts: browsers ask each time and mostly hear "not modified"."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "no-cache"
        return answer


class HubServer(uvicorn.Server):
    """uvicorn that lets live boards go when told to stop: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, feed: LineFeed) -> None:
        super().__init__(config)
        self._feed = feed

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._feed.end()
        super().handle_exit(sig, frame)


def make_app(settings: Settings, store: Store) -> FastAPI:
    """The application; `store` is open while it runs. Its live boards are at `app.state.feed`."""
    pages = Pages(settings.timezone)
    boards = operator.Boards(settings, store, pages)
    feed = LineFeed(store, boards.blocks)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        feed.start()
        alive = asyncio.create_task(_say_alive())
        notify("READY=1")
        yield
        alive.cancel()
        await feed.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.feed = feed
    app.add_middleware(Shield)
    refusals.install(app, pages)
    folder = PictureFolder(Path(settings.web.pictures_dir))
    app.include_router(operator.routes(boards, feed, pages))
    app.include_router(engineer.routes(engineer.Quality(store, pages)))
    app.include_router(bureau.routes(bureau.Reports(store, pages), settings.timezone))
    app.include_router(pictures.routes(folder, store, settings.web.max_picture_kb * 1024))
    app.mount("/static", Static(directory=FOLDER / "static"))

    @app.get("/metrics")
    def figures() -> Response:
        told = telemetry.exposition(store, datetime.now(timezone.utc))
        return Response(told, media_type=telemetry.CONTENT_TYPE)

    @app.get("/healthz")
    def health() -> PlainTextResponse:
        store.rows("alive")
        return PlainTextResponse("ok\n")

    return app


def make_server(settings: Settings, store: Store) -> HubServer:
    """The HTTP server of `make_app`, ready to run."""
    app = make_app(settings, store)
    config = uvicorn.Config(
        app,
        host=settings.web.host,
        port=settings.web.port,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LEAVE_S,
    )
    return HubServer(config, app.state.feed)


def make_gate(settings: Settings, store: Store) -> Gate | None:
    """The gate for nodes on other computers, ready to start; None without [nodes].

    Raises:
        AuthorityError: a file of [nodes] cannot be used.
    """
    if settings.nodes is None:
        return None
    folder = PictureFolder(Path(settings.web.pictures_dir))
    return Gate(settings.nodes, folder, store, settings.web.max_picture_kb * 1024)


async def _say_alive() -> None:
    """Feed systemd's watchdog while the loop turns and a worker thread is free to answer."""
    while True:
        await run_in_threadpool(notify, "WATCHDOG=1")
        await asyncio.sleep(ALIVE_S)


def is_local(host: str) -> bool:
    """Whether only this computer can reach a server on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL_NAMES


def run(settings: Settings, store: Store) -> int:
    """Serve until SIGTERM or SIGINT; `store` is open and stays the caller's.

    Returns:
        The exit code: 0 stopped, 1 the port cannot be used, 2 an address others could reach.

    Raises:
        AuthorityError: the gate cannot be opened.
    """
    host, port = settings.web.host, settings.web.port
    if not is_local(host):
        sys.stderr.write(
            f"[web] host: got {host!r}, expected 127.0.0.1, ::1 or localhost: the hub has no "
            "accounts yet, so it serves this computer only\n"
        )
        return 2
    gate = make_gate(settings, store)
    server = make_server(settings, store)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises its signal again when it is done; by then we have stopped in good order.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
    log.info("serve: pages at http://%s:%d", host, port)
    try:
        if gate is not None:
            gate.start()
        server.run()
    except SystemExit:  # uvicorn logged why it could not start, e.g. the port is taken
        return 1
    finally:
        if gate is not None:
            gate.close()
    return 0
