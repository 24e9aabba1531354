"""Times of rows: milliseconds since 1970 as aware UTC, exact. No IO."""

from datetime import datetime, timedelta, timezone

_START = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(at_ms: int) -> datetime:
    """Milliseconds since 1970 as aware UTC, exact."""
    return _START + timedelta(milliseconds=at_ms)


def minute_of(at: datetime) -> datetime:
    """The minute a time lies in."""
    return at.replace(second=0, microsecond=0)


def milliseconds(at: datetime) -> int:
    """A time as whole milliseconds since 1970."""
    return (at - _START) // timedelta(milliseconds=1)
