"""What every answer of the hub carries: security headers; and whom it answers at all. Plain ASGI.

Until accounts exist the hub serves this computer only. A web site that points its own name at
127.0.0.1 (DNS rebinding) would otherwise read the pages through a visitor's browser, so requests
for any name that is not this computer's are refused.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OWN_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Shield:
    """Wraps the application; refuses foreign host names with 421 and adds the headers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                added = [pair for pair in HEADERS if pair[0] not in given]
                if b"cache-control" not in given:
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        if own_name(scope):
            await self._app(scope, receive, send_with_headers)
            return
        body = "泉检 Quanjian: 421, this hub answers only to this computer's own names\n".encode()
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        start = {"type": "http.response.start", "status": 421, "headers": plain}
        await send_with_headers(start)
        await send({"type": "http.response.body", "body": body})


def own_name(scope: Scope) -> bool:
    """Whether the request's Host header names this computer."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    text = host.decode("latin-1").lower()
    bare = text[1 : text.find("]")] if text.startswith("[") else text.rsplit(":", 1)[0]
    return bare in OWN_NAMES
