"""Pictures at the hub: nodes PUT them by their sha256, pages GET them; kept as files by hash.

    PUT /pictures/{sha256}   Authorization: Bearer TOKEN, body = JPEG
        201 stored   200 was here before, perhaps so long ago that it was deleted since
        401 no such token   409 no committed row of this node names it: try again later
        413 too large   415 not a JPEG   422 other bytes than the hash says   503 try again later
    GET /pictures/{sha256}.jpg   never changes, so browsers may keep it for ever

Numbers always travel first: a picture is taken only once the row that names it is committed, so the
folder holds nothing that the ledger does not know.
"""

import asyncio
import contextlib
import hashlib
import logging
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from hub.errors import PictureError
from hub.picture_folder import PictureFolder
from hub.store import session
from hub.store.pool import Store

MAX_THUMBNAIL_BYTES = 64 * 1024
MAX_UNWANTED_BYTES = 64 * 1024  # read of a sender without a token, so that it hears its 401
PATIENCE_S = 20.0  # for a body however small; a larger one has as much more as it needs at
SLOWEST_BYTES_PER_S = 50_000  # and is given up then, however it comes
JPEG_MAGIC = b"\xff\xd8\xff"
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

log = logging.getLogger(__name__)


class UploadRefusedError(PictureError):
    """One upload is not taken: HTTP status and a sentence for the node's log."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def routes(folder: PictureFolder, store: Store, max_bytes: int) -> APIRouter:
    """The two addresses above; `max_bytes` bounds a picture, thumbnails have their own bound."""
    router = uploads(folder, store, max_bytes)

    @router.get("/pictures/{sha256}.jpg")
    def get_picture(sha256: Sha256) -> FileResponse:
        if not folder.has(sha256):
            raise HTTPException(404)
        headers = {**FOREVER, "etag": f'"{sha256}"'}
        return FileResponse(folder.path(sha256), media_type="image/jpeg", headers=headers)

    return router


def uploads(folder: PictureFolder, store: Store, max_bytes: int) -> APIRouter:
    """The first of the two alone, for where nodes come and nobody else."""
    router = APIRouter()

    @router.put("/pictures/{sha256}")
    async def put_picture(sha256: Sha256, request: Request) -> JSONResponse:
        try:
            node = await run_in_threadpool(_node_of, store, request.headers.get("authorization"))
            if node is None:
                await _unwanted(request)
                raise UploadRefusedError(401, "no node has this token")
            jpeg = await _body(request, max_bytes)
            status = await run_in_threadpool(_take, folder, store, node, sha256, jpeg)
        except UploadRefusedError as refused:
            # What is left of a body is not read any more; a kept connection would go on taking it.
            headers = {"connection": "close"} if refused.status in (401, 408, 413) else None
            return JSONResponse({"error": str(refused)}, refused.status, headers)
        except PictureError as wrong:
            log.error("picture %s: %s; %s", sha256[:8], wrong, wrong.hint)
            return JSONResponse({"error": "the picture could not be stored"}, 503)
        return JSONResponse({"sha256": sha256}, status)

    return router


def _node_of(store: Store, authorization: str | None) -> str | None:
    """The node whose token this is. The database compares hashes, so its timing tells nothing."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    digest = hashlib.sha256(token.strip().encode()).hexdigest()
    row = store.first("node_by_token", token_hash=digest)
    return None if row is None else str(row["node"])


async def _body(request: Request, max_bytes: int) -> bytes:
    """The body.

    Raises:
        UploadRefusedError: larger than `max_bytes`, or not here in time.
    """
    try:
        body, whole = await _read(request, max_bytes)
    except (ClientDisconnect, asyncio.TimeoutError) as gone:
        raise UploadRefusedError(408, "the picture did not come to its end") from gone
    if not whole:
        raise UploadRefusedError(413, f"larger than {max_bytes} bytes")
    return body


async def _unwanted(request: Request) -> None:
    """Read the beginning of a body all the same: else most senders see a reset, not the answer."""
    with contextlib.suppress(ClientDisconnect, asyncio.TimeoutError):
        await _read(request, MAX_UNWANTED_BYTES)


async def _read(request: Request, max_bytes: int) -> tuple[bytes, bool]:
    """The body and True; b"" and False if it is larger than `max_bytes`, of which no more is read.

    Raises:
        ClientDisconnect: the sender is gone. asyncio.TimeoutError: not here in time.
    """
    in_time_s = PATIENCE_S + max_bytes / SLOWEST_BYTES_PER_S
    return await asyncio.wait_for(_chunks(request, max_bytes), in_time_s)


async def _chunks(request: Request, max_bytes: int) -> tuple[bytes, bool]:
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            return b"", False
        chunks.append(chunk)
    return b"".join(chunks), True


def _take(folder: PictureFolder, store: Store, node: str, sha256: str, jpeg: bytes) -> int:
    """Check and keep one upload; the HTTP status of success.

    Raises:
        UploadRefusedError: the upload is not taken. PictureError, StoreError: try again later.
    """
    named = store.first("picture", sha256=sha256, node=node)
    if named is None:
        raise UploadRefusedError(
            409, f"no committed row of {node} names this picture yet; try again later"
        )
    if named["purged_at"] is not None:  # it was here, and its time is over
        return 200
    here = folder.has(sha256)
    if here and named["received_at"] is not None:
        return 200
    if named["kind"] == "thumbnail" and len(jpeg) > MAX_THUMBNAIL_BYTES:
        raise UploadRefusedError(413, f"a thumbnail has at most {MAX_THUMBNAIL_BYTES} bytes")
    if not jpeg.startswith(JPEG_MAGIC):
        raise UploadRefusedError(415, "expected a JPEG")
    if hashlib.sha256(jpeg).hexdigest() != sha256:
        raise UploadRefusedError(422, "the bytes do not have this sha256")
    if not folder.mounted and store.rows("pictures_known")[0]["known"]:
        raise PictureError("the folder is empty, though pictures came: is its disk mounted?")
    if not here:
        folder.put(sha256, jpeg)
    with store.transaction("picture_arrived") as connection:
        # A purge of the same bytes of another node either sees this row or has deleted the file.
        session.rows(connection, "picture_locked", sha256=sha256)
        if not folder.has(sha256):
            folder.put(sha256, jpeg)
        # File first: a row that says "received" has its file, also after a power cut between.
        session.rows(connection, "picture_arrived", sha256=sha256, node=node, bytes=len(jpeg))
    return 201
