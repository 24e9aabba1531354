"""Tells systemd that the service is ready, alive or stopping (sd_notify). Silent without systemd.

`NOTIFY_SOCKET` is systemd's protocol, not a setting of ours: sd_notify(3).
"""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. "READY=1", "WATCHDOG=1" or "STOPPING=1"; without systemd nothing is sent."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return  # the supervisor is gone; its watchdog will act, not we
