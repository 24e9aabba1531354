"""Seals the head of the ledger's chain once a UTC day: when it begins, or at its first start.

A seal is a row, so the hub has it too, and whoever keeps one from there can show what the ledger
was. With an identity it is signed by the node's own key; without one it has no signature.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timezone

from edge import clock
from edge.errors import EdgeError
from edge.mqtt.message import SealRow, seal_content
from edge.outbox import Outbox

log = logging.getLogger(__name__)

RETRY_MS = 60_000  # after a seal that the ledger did not take

Sign = Callable[[bytes], tuple[str, bytes]]
"""Signs bytes: the certificate of the key, PEM, and the signature, DER. Raises EdgeError."""


class Sealer:
    """The seals of one node, for its housekeeping thread."""

    def __init__(self, node: str, ledger: Outbox, sign: Sign | None) -> None:
        self._node, self._ledger, self._sign = node, ledger, sign
        self._day: str | None = None  # known to be sealed
        self._retry_ms = 0  # monotonic

    def tend(self, at_ms: int, mono_ms: int) -> None:
        """Seal if a day has begun that is not sealed; costs nothing else.

        Args:
            at_ms: UTC now, ms; as good as the clock is, which the row says.
            mono_ms: monotonic now, ms.
        """
        day = f"{datetime.fromtimestamp(at_ms / 1000, timezone.utc):%Y-%m-%d}"
        if day == self._day or mono_ms < self._retry_ms:
            return
        try:
            stream, sealed, head, newest = self._ledger.last()
            if newest != day:
                self._ledger.seal(self._row(day, stream, sealed, head, at_ms, mono_ms))
            self._day = day
        except EdgeError as wrong:
            self._retry_ms = mono_ms + RETRY_MS
            log.warning("day %s is not sealed yet: %s %s", day, wrong, wrong.hint)

    def _row(
        self, day: str, stream: str, sealed: int, head: str, at_ms: int, mono_ms: int
    ) -> SealRow:
        certificate, signature = self._signed(seal_content(self._node, day, stream, sealed, head))
        return SealRow(
            station=self._node,
            epoch=0,
            at_ms=at_ms,
            mono_ms=mono_ms,
            boot=clock.BOOT,
            clock=clock.quality(),
            day=day,
            stream=stream,
            sealed=sealed,
            head=head,
            certificate=certificate,
            signature=signature,
        )

    def _signed(self, content: bytes) -> tuple[str | None, str | None]:
        if self._sign is None:
            return None, None
        try:
            certificate, signature = self._sign(content)
        except EdgeError as wrong:
            log.error("the day's seal is not signed: %s %s", wrong, wrong.hint)
            return None, None
        return certificate, signature.hex()
