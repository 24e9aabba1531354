"""Modbus RTU's master: the frames that it keeps."""

from hypothesis import given
from hypothesis import strategies as st

from edge.plc import modbus, modbus_rtu
from edge.plc.transaction import Request, read_registers

reads = st.builds(read_registers, st.integers(1, 3), st.integers(0, 9), st.integers(1, 125))


@given(polled=st.lists(reads, min_size=1, max_size=5))
def test_what_is_polled_again_goes_out_as_the_first_time_and_never_for_another(
    polled: list[Request],
) -> None:
    codec = modbus_rtu.Rtu()
    for request in polled * 2:
        pdu = modbus.encode_request(request)
        assert codec.encode(request) == modbus_rtu.sealed(request.unit, pdu)
