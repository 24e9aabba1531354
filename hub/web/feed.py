"""Live boards: the database's NOTIFY in, at most two changes a second per board out.

One thread per process listens. Every board that somebody looks at has one task that renders it when
its line changed (and every 5 s, for what changes by itself: shift, last hour), so that a hundred
screens of a line cost as much as one. Only the blocks that changed go to a screen.
"""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Literal

from starlette.concurrency import run_in_threadpool

from hub.errors import StoreError
from hub.store.pool import Store
from hub.web.words import Language

LEAST_S = 0.5  # between two changes of a board; the first of a burst goes out at once
MOST_S = 5.0  # a board is looked at again after so long, and every screen hears that we live
CHANNEL = "qj_line"

Key = tuple[str, str, Language]  # plant, line, language
Blocks = dict[str, str]
Render = Callable[[str, str, Language], Blocks]
Change = tuple[Literal["blocks", "beat", "away"], Blocks]

log = logging.getLogger(__name__)


class _Channel:
    """One board in one language, as the screens that watch it share it."""

    def __init__(self) -> None:
        self.blocks: Blocks | None = None  # None: the database is away
        self.turn = 0  # how often it was looked at
        self.turned = asyncio.Condition()
        self.dirty = asyncio.Event()
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None


class LineFeed:
    """Boards that render themselves while somebody watches. `start` and `close` from the loop."""

    def __init__(self, store: Store, render: Render) -> None:
        self._store = store
        self._render = render
        self._channels: dict[Key, _Channel] = {}
        self._ending = threading.Event()
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Listen to the database from now on."""
        loop = asyncio.get_running_loop()
        self._listener = threading.Thread(
            target=self._listen, args=(loop,), name="line-feed", daemon=True
        )
        self._listener.start()

    def end(self) -> None:
        """Let every screen go; may be called from a signal handler, and twice."""
        self._ending.set()

    async def close(self) -> None:
        """End, and wait until the listener is gone."""
        self.end()
        if self._listener is not None:
            await run_in_threadpool(self._listener.join)
            self._listener = None

    async def watch(
        self, plant: str, line: str, language: Language
    ) -> AsyncGenerator[Change, None]:
        """Changes of one board, the whole board first; a beat where nothing changed."""
        key = (plant, line, language)
        channel = self._channels.setdefault(key, _Channel())
        channel.watchers += 1
        if channel.task is None:
            channel.task = asyncio.create_task(self._turn(key, channel))
        sent: Blocks = {}
        try:
            turn = 0
            while not self._ending.is_set():
                turn = await self._next_turn(channel, turn)
                if turn == 0 or channel.blocks is None:
                    yield ("beat" if turn == 0 else "away"), {}
                    continue
                changed = {n: html for n, html in channel.blocks.items() if sent.get(n) != html}
                sent.update(changed)
                yield ("blocks" if changed else "beat"), changed
        finally:
            channel.watchers -= 1
            if channel.watchers == 0:
                del self._channels[key]
                channel.task.cancel()

    async def _next_turn(self, channel: _Channel, seen: int) -> int:
        """The channel's turn once it is beyond `seen`."""
        async with channel.turned:
            # Short waits: `end` cannot wake a condition from a signal handler.
            while channel.turn == seen and not self._ending.is_set():
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(channel.turned.wait(), 0.5)
        return channel.turn

    async def _turn(self, key: Key, channel: _Channel) -> None:
        loop = asyncio.get_running_loop()
        while True:
            channel.dirty.clear()
            began_s = loop.time()
            try:
                channel.blocks = await run_in_threadpool(self._render, *key)
            except StoreError as wrong:
                log.warning("board %s/%s: %s; %s", key[0], key[1], wrong, wrong.hint)
                channel.blocks = None
            except Exception:  # top of a service loop: one bad look must not freeze a wall screen
                log.exception("board %s/%s could not be rendered", key[0], key[1])
                channel.blocks = None
            async with channel.turned:
                channel.turn += 1
                channel.turned.notify_all()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(channel.dirty.wait(), MOST_S)
            await asyncio.sleep(max(0.0, began_s + LEAST_S - loop.time()))

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for payload in self._store.notifications(CHANNEL, 0.5):
            if self._ending.is_set():
                return
            if payload is not None:
                loop.call_soon_threadsafe(self._mark, payload)

    def _mark(self, payload: str) -> None:
        """Boards of the line that the payload names want a new look; all if it names none."""
        try:
            told = json.loads(payload)
        except ValueError:
            told = None
        place = (told.get("plant"), told.get("line")) if isinstance(told, dict) else (None, None)
        for (plant, line, _), channel in self._channels.items():
            if None in place or place == (plant, line):
                channel.dirty.set()


def as_sse(change: Change) -> str:
    """One change in the wire format of EventSource."""
    name, blocks = change
    return f"event: {name}\ndata: {json.dumps(blocks, ensure_ascii=False)}\n\n"
