"""What the tests of faulty lines share: the requests, and how a fault must end."""

from contextlib import closing

import pytest

from edge.errors import PlcError
from edge.plc.links import Link
from edge.plc.transaction import read_registers, write_registers
from tests.serial_peers import Script, scripted

TIMEOUT_S = 0.3
READ = read_registers(1, 0, 12)
READ_FAR = read_registers(1, 200, 12)
WRITE = write_registers(1, 105, [1, 2, 3, 4, 5])
VALUES = tuple(range(12))
FAR = tuple(range(200, 212))


def fails_then_is_right(protocol: str, script: Script, cause: str) -> int:
    """The first of three transactions fails and says why, the others are right.

    Returns:
        How many requests the peer heard; a fourth was the sounding.
    """
    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcError, match=cause):
            link.transact(READ)
        assert link.transact(READ_FAR).values == FAR
        assert link.transact(WRITE).values == ()
    return len(peer.requests)
