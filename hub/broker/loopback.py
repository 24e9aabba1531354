"""A small MQTT 5 broker for the demo and for tests, on this computer's loopback only.

    python -m hub.broker.loopback PORT FOLDER

It has no access control and keeps everything in memory, so it never listens anywhere else; a plant
runs mosquitto or a cluster. Owns iotcore (rumqttd inside), which has no way to stop: it runs in a
process of its own, which ends by SIGTERM.
"""

import logging
import socket
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hub.errors import BrokerError

_SETTINGS = """
id = 0
[router]
id = 0
max_connections = 200
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "loopback"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def program(port: int, folder: Path) -> list[str]:
    """The command line that runs the broker; `folder` gets its settings file.

    Raises:
        BrokerError: iotcore is not installed.
    """
    if find_spec("iotcore") is None:
        raise BrokerError("no broker here: install the demo extra, `pip install quanjian[demo]`")
    return [sys.executable, "-m", "hub.broker.loopback", str(port), str(folder)]


def wait_ready(port: int, timeout_s: float = 15.0) -> None:
    """Wait until the broker takes connections.

    Raises:
        BrokerError: it does not within `timeout_s`.
    """
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as wrong:
            if time.monotonic() > give_up_at:
                raise BrokerError(f"broker 127.0.0.1:{port} does not answer: {wrong}") from wrong
        time.sleep(0.05)


def main(arguments: Sequence[str]) -> None:
    """Run until a signal ends the process."""
    from iotcore.iotcore import IotCoreBroker  # only this process needs it

    port, folder = int(arguments[0]), Path(arguments[1])
    settings = folder / "broker.toml"
    settings.write_text(_SETTINGS.format(port=port), encoding="utf-8")
    # rumqttd reports every packet as an error record
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    IotCoreBroker(config_path=str(settings)).run_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
