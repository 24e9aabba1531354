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
import hashlib
import logging
from collections.abc import AsyncIterator
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
STALLED_S = 20.0  # a sender that is silent for so long is given up
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
            jpeg = await _body(request, max_bytes, keep=node is not None)
            if node is None:
                raise UploadRefusedError(401, "no node has this token")
            status = await run_in_threadpool(_take, folder, store, node, sha256, jpeg)
        except UploadRefusedError as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
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


async def _body(request: Request, max_bytes: int, keep: bool) -> bytes:
    """The body, or b"" when it is not wanted: read all the same, else the sender sees a reset.

    Raises:
        UploadRefusedError: larger than `max_bytes`, or the sender went silent.
    """
    size = 0
    chunks: list[bytes] = []
    stream = request.stream()
    while (chunk := await _next_chunk(stream)) is not None:
        size += len(chunk)
        if size > max_bytes:
            raise UploadRefusedError(413, f"larger than {max_bytes} bytes")
        if keep:
            chunks.append(chunk)
    return b"".join(chunks)


async def _next_chunk(stream: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await asyncio.wait_for(anext(stream), STALLED_S)
    except StopAsyncIteration:
        return None
    except (ClientDisconnect, asyncio.TimeoutError) as gone:
        raise UploadRefusedError(408, "the picture did not come to its end") from gone


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
