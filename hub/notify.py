"""Tells systemd how the service does (sd_notify); does nothing where nobody listens."""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. "READY=1", "WATCHDOG=1" or "STOPPING=1" to $NOTIFY_SOCKET, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.connect("\0" + address[1:] if address.startswith("@") else address)
            link.sendall(state.encode())
