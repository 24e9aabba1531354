"""edge.toml as frozen settings: the wiring of one node. Read once; a change needs a restart.

Every mistake in the file is reported at once. What may change while running is a recipe.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from edge import sections
from edge.errors import SettingsError
from edge.mqtt.message import Name, Sha256
from edge.wiring import crossed

DEFAULT_PATH = Path("/etc/quanjian/edge.toml")

CameraKind = (
    Literal["shared_memory", "folder", "video", "rtsp", "v4l2", "gstreamer", "csi"]
    | Literal["gige", "usb3", "gentl"]
)

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[float, Meta(gt=0)]
Pixels = Annotated[int, Meta(ge=1, le=100_000)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class Node(Section, frozen=True, kw_only=True):
    """[node] who this computer is and where it keeps its ledger."""

    plant: Name
    line: Name
    name: Name
    data_dir: str  # ledger and pictures, on a local disk
    max_pictures_mb: Annotated[int, Meta(ge=10)] = 2000  # oldest pictures go first beyond this


class Hub(Section, frozen=True, kw_only=True):
    """[hub] where rows and pictures go. Without it the node keeps its rows."""

    broker_host: str
    broker_port: Port = 1883
    pictures_url: str | None = None  # e.g. "http://127.0.0.1:8080"; no pictures are sent without it
    token_file: str | None = None  # file with the node's token, mode 0600


class Page(Section, frozen=True, kw_only=True):
    """[page] the station page on this computer."""

    host: Literal["127.0.0.1", "::1"] = "127.0.0.1"
    port: Port = 8081


class Runtime(Section, frozen=True, kw_only=True):
    """[runtime] how the detector runs."""

    providers: tuple[str, ...] = ("cpu",)  # in order, best first; none silently skipped
    threads: Annotated[int, Meta(ge=0, le=64)] = 0  # inside one inference; 0 = cores - 1
    spinning: bool = False  # threads that spin while waiting: only for a node with idle cores
    workers: Annotated[int, Meta(ge=1, le=16)] = 1  # views judged at once, in one session
    fp16: bool = False  # TensorRT may compute in half precision
    allow_fallback: bool = False  # run on the CPU, with a warning, where a provider fails
    engine_dir: str | None = None  # TensorRT's engines; None: "engines" in data_dir
    # over ours, by provider, such as {"cuda": {"gpu_mem_limit": "2000000000"}}
    provider_options: dict[str, dict[str, str]] | None = None


class Bus(Section, frozen=True, kw_only=True):
    """[[bus]] one serial port with the PLCs on it."""

    name: Name
    port: str  # e.g. "/dev/serial/by-id/usb-...": survives a re-plug
    baudrate: Literal[9600, 19200, 38400, 57600, 115200] = 115200
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1
    reply_timeout_s: Annotated[float, Meta(gt=0, le=5)] = 0.15  # reply plus two PLC scans
    gap_ms: Annotated[float, Meta(ge=0, le=100)] = 0.0  # PLC's own silence, if above 3.5 characters


class Light(Section, frozen=True, kw_only=True):
    """[[light]] one light controller and the cameras that see by it."""

    name: Name
    protocol: Literal["ascii", "modbus"]
    port: str  # e.g. "/dev/serial/by-id/usb-...", of its own
    baudrate: Literal[9600, 19200, 38400, 57600, 115200] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    reply_timeout_s: Annotated[float, Meta(gt=0, le=5)] = 0.3
    unit: Annotated[int, Meta(ge=1, le=247)] = 1  # modbus
    base: Annotated[int, Meta(ge=0, le=65000)] = 0  # modbus: channel n is register base + n
    channels: Annotated[int, Meta(ge=1, le=32)] = 4  # ascii: 9 at the most
    cameras: Annotated[tuple[Name, ...], Meta(min_length=1)]
    lamp_ratio: Annotated[float, Meta(ge=1.1, le=100)] = (
        1.5  # grey with the lamp on / off, at least
    )


class Camera(Section, frozen=True, kw_only=True):
    """[[camera]] one source of frames."""

    name: Name
    kind: CameraKind
    source: str  # file, folder, address, device, pipeline or number, as the kind needs
    loop: bool = False  # folder and video: start again at the end
    # exposure to arrival, at the most, of kinds whose pictures carry no exposure time
    delay_ms: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    transport: Literal["tcp", "udp"] = "tcp"  # rtsp
    password_file: str | None = None  # rtsp, gstreamer: file with user:password, mode 0600
    size: tuple[Pixels, Pixels] | None = None  # v4l2, csi: width, height; None: as it is
    fps: Annotated[float, Meta(gt=0, le=1000)] | None = None  # v4l2, csi
    controls: dict[str, int] = {}  # v4l2: by name, as `v4l2-ctl --list-ctrls` shows them
    mm_per_px: Positive | None = None  # sizes in mm only where this is known
    exposure_us: Positive | None = None  # where no recipe can set it; for `check` on moving parts
    # where the part is when this camera looks, from the sensor on: as time, or as way
    offset_ms: Annotated[float, Meta(ge=0, le=60_000)] | None = None
    offset_mm: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    device: str | None = None  # gentl: serial number or name; None = the producer's only camera
    # v4l2: e.g. "MJPG"; gige, usb3, gentl: e.g. "Mono8"; None = as the camera is set
    pixel_format: str | None = None
    trigger_line: str | None = None  # gige, usb3, gentl: input of the part sensor, e.g. "Line0"
    strobe_line: str | None = None  # gige, usb3, gentl: output that fires the lamp, e.g. "Line1"


class Recipe(Section, frozen=True, kw_only=True):
    """[[recipe]] a product the PLC can ask for by number, with the model that judges it."""

    number: Annotated[int, Meta(ge=1, le=65535)]
    path: str  # recipe TOML
    sha256: Sha256 | None = None  # pins the recipe; without it only --unsigned runs it
    model: str | None = None  # ONNX file; none only where the recipe's [spots] are the detector
    model_sha256: Sha256 | None = None


class Station(Section, frozen=True, kw_only=True):
    """[[station]] one place where parts are judged."""

    name: Name
    bus: Name
    unit: Annotated[int, Meta(ge=1, le=247)] = 1  # Modbus unit of the PLC
    read_base: Annotated[int, Meta(ge=0, le=65000)] = 0  # first of the 12 registers PLC -> node
    write_base: Annotated[int, Meta(ge=0, le=65000)] = 100  # first of the 10 registers node -> PLC
    counters_base: Annotated[int, Meta(ge=0, le=65000)] | None = (
        None  # second law; None = no sensors
    )
    trigger: Literal["hardware", "software", "free_run"]
    cameras: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    deadline_ms: Annotated[int, Meta(ge=20, le=60_000)] = (
        400  # sensor edge to verdict, at the latest
    )
    # of the part under the cameras; 0 = parts stand still; None = nobody has said so
    speed_mm_s: Annotated[float, Meta(ge=0, le=20_000)] | None = None
    scan_ms: Annotated[float, Meta(gt=0, le=1000)] = 10.0  # of the PLC's program
    # latest exposure after edge and offset; None: 60 for hardware, else 1000 / max_rate_per_s
    frame_tolerance_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    # parts; a faster counter is not believed
    max_rate_per_s: Annotated[float, Meta(gt=0, le=200)] = 10.0

    @property
    def tolerance_s(self) -> float:
        """A frame exposed later than this after the sensor edge may show the next part."""
        if self.frame_tolerance_ms is not None:
            return self.frame_tolerance_ms / 1000
        return 0.06 if self.trigger == "hardware" else 1 / self.max_rate_per_s

    @property
    def takt_s(self) -> float:
        """No part follows another faster."""
        return 1 / self.max_rate_per_s

    def offset_s(self, camera: Camera) -> float:
        """From the sensor edge to the part's arrival at this camera."""
        if camera.offset_mm and self.speed_mm_s:
            return camera.offset_mm / self.speed_mm_s
        return (camera.offset_ms or 0.0) / 1000


class Settings(Section, frozen=True, kw_only=True):
    """The whole of edge.toml."""

    node: Node
    hub: Hub | None = None
    page: Page = Page()
    runtime: Runtime = Runtime()
    bus: Annotated[tuple[Bus, ...], Meta(min_length=1)]
    camera: Annotated[tuple[Camera, ...], Meta(min_length=1)]
    light: tuple[Light, ...] = ()
    recipe: Annotated[tuple[Recipe, ...], Meta(min_length=1)]
    station: Annotated[tuple[Station, ...], Meta(min_length=1)]

    @property
    def scales(self) -> dict[str, float | None]:
        """mm per px of each camera; None = not calibrated."""
        return {camera.name: camera.mm_per_px for camera in self.camera}

    @property
    def lit(self) -> dict[str, str]:
        """Light controller of each camera that has one, by their names."""
        return {camera: light.name for light in self.light for camera in light.cameras}


def read(path: Path) -> Settings:
    """Read and check edge.toml; relative paths in it start at its own folder.

    Raises:
        SettingsError: the file cannot be read or parsed, or with every mistake in it.
    """
    try:
        content = path.read_bytes()
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be read: {wrong}"]) from wrong
    settings, problems = sections.parse(content, Settings, crossed)
    if settings is None:
        raise SettingsError(str(path), problems)
    return resolve(settings, path.resolve().parent)


def resolve(settings: Settings, folder: Path) -> Settings:
    """The same settings with every relative file name made absolute from `folder`."""
    files = {"shared_memory", "folder", "video", "gentl"}
    hub = settings.hub
    if hub is not None and hub.token_file is not None:
        hub = replace(hub, token_file=str(folder / hub.token_file))
    data_dir = folder / settings.node.data_dir
    engine_dir = data_dir / "engines"
    if settings.runtime.engine_dir is not None:
        engine_dir = folder / settings.runtime.engine_dir
    return replace(
        settings,
        node=replace(settings.node, data_dir=str(data_dir)),
        hub=hub,
        runtime=replace(settings.runtime, engine_dir=str(engine_dir)),
        camera=tuple(
            replace(
                c,
                source=str(folder / c.source) if c.kind in files else c.source,
                password_file=str(folder / c.password_file) if c.password_file else None,
            )
            for c in settings.camera
        ),
        recipe=tuple(
            replace(r, path=str(folder / r.path), model=r.model and str(folder / r.model))
            for r in settings.recipe
        ),
    )
