"""An RTSP server for tests, in a process of its own under Debian's Python: `rtsp_server.py PORT`.

Every frame carries, as black and white blocks that survive compression, the server's generation and
its time of making in ms of the monotonic clock, which all processes of one computer share:

    320 x 240 px = 8 x 6 blocks of 40 px, row by row, highest bit first
    | generation 8 bit | time 40 bit |

Commands on stdin, one a line, each answered by a line on stdout:
    ready       nothing: the answer says that the process is up
    listen      open the port
    hold        the next HELD frames wait until all are made and go out at once, as from a relay
"""

import argparse
import sys
import time
from typing import Any

WIDTH, HEIGHT, BLOCK = 320, 240, 40
FPS = 25
TIME_BITS = 40
HELD = FPS  # a second of them

FAST = "tune=zerolatency speed-preset=ultrafast key-int-max=10"
ENCODERS = {
    "h264": f"x264enc {FAST} sliced-threads=false ! rtph264pay",
    "h265": f"x265enc {FAST} ! rtph265pay",
}


def drawn(generation: int, time_ms: int) -> bytes:
    """One gray picture."""
    word = (generation & 0xFF) << TIME_BITS | time_ms & (1 << TIME_BITS) - 1
    bits = [word >> place & 1 for place in reversed(range(WIDTH // BLOCK * (HEIGHT // BLOCK)))]
    across = WIDTH // BLOCK
    rows = (
        b"".join(bytes([255 * bit]) * BLOCK for bit in bits[start : start + across])
        for start in range(0, len(bits), across)
    )
    return b"".join(row * BLOCK for row in rows)


class Source:
    """Feeds the pipelines of all clients."""

    def __init__(self, gst: Any, generation: int) -> None:
        self._gst, self._generation = gst, generation
        self._appsrc: Any = None
        self._since_s = 0.0
        self._held: list[Any] = []
        self._hold = 1

    def configured(self, _: Any, media: Any) -> None:
        """A client came and the pipeline was built."""
        self._since_s = time.monotonic()
        self._appsrc = media.get_element().get_child_by_name("source")

    def tick(self) -> bool:
        """Make one frame, if the pipeline runs: before that its time is none, or any."""
        if self._appsrc is None:
            return True
        now_ns = self._appsrc.get_current_running_time()
        if now_ns / 1e9 > time.monotonic() - self._since_s + 0.5:
            return True
        image = drawn(self._generation, time.monotonic_ns() // 1_000_000)
        buffer = self._gst.Buffer.new_wrapped(image)
        buffer.pts = now_ns
        self._held.append(buffer)
        if len(self._held) >= self._hold:
            for held in self._held:
                self._appsrc.emit("push-buffer", held)
            self._held, self._hold = [], 1
        return True

    def hold(self) -> None:
        """The next frames wait for each other."""
        self._hold = HELD


def guard(rtsp: Any, kit: Any, server: Any, factory: Any, user: str, password: str) -> None:
    """Let only this user in, by digest."""
    token = kit.RTSPToken()
    token.set_string("media.factory.role", "guest")
    auth = kit.RTSPAuth()
    auth.set_supported_methods(rtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    roles = kit.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        roles.add_permission_for_role("guest", right, True)
    factory.set_permissions(roles)


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--generation", type=int, default=0)
    parser.add_argument("--transport", choices=("tcp", "udp"))
    parser.add_argument("--login", help="user:password, asked for by digest")
    asked = parser.parse_args()

    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    gi.require_version("GstRtsp", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    source = Source(Gst, asked.generation)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( appsrc name=source is-live=true format=time max-bytes=0 caps=video/x-raw,format=GRAY8,"
        f"width={WIDTH},height={HEIGHT},framerate={FPS}/1 ! videoconvert ! "
        f"video/x-raw,format=I420 ! {ENCODERS[asked.codec]} name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)
    if asked.transport:
        lower = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
        factory.set_protocols(lower[asked.transport])
    factory.connect("media-configure", source.configured)
    server = GstRtspServer.RTSPServer()
    if asked.login:
        guard(GstRtsp, GstRtspServer, server, factory, *asked.login.split(":", 1))
    server.set_address("127.0.0.1")
    server.set_service(str(asked.port))
    server.get_mount_points().add_factory("/live", factory)
    GLib.timeout_add(1000 // FPS, source.tick)
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, lambda *_: command())
    loop = GLib.MainLoop()

    def command() -> bool:
        word = sys.stdin.readline().strip()
        if word == "listen":
            server.attach(None)
        elif word == "hold":
            source.hold()
        elif word != "ready":
            loop.quit()
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()
        return True

    loop.run()


if __name__ == "__main__":
    main()
