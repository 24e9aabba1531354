"""A [[camera]] for tests: the keys of edge.toml with their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Source:
    """What `open_camera` and `Capture` take."""

    kind: str
    source: str
    name: str = "c1"
    loop: bool = False
    delay_ms: int | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    password_file: str | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    device: str | None = None
    pixel_format: str | None = None
    trigger_line: str | None = None
    strobe_line: str | None = None
    controls: Mapping[str, int] = field(default_factory=dict)
