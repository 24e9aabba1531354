"""edge.toml as frozen settings: the wiring of one node. Read once; a change needs a restart.

Every mistake in the file is reported at once. What may change while running is a recipe.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from edge import sections
from edge.errors import SettingsError
from edge.mqtt.message import Name, Sha256
from edge.profiled import fill
from edge.terms import TriggerMode
from edge.upstream_settings import Hub as Hub
from edge.upstream_settings import Node as Node
from edge.upstream_settings import Port, upstream, upstream_resolved
from edge.wiring import crossed
from edge.wiring_io import INPUTS as INPUTS
from edge.wiring_io import OUTPUTS as OUTPUTS
from edge.wiring_io import by_wire

DEFAULT_PATH = Path("/etc/quanjian/edge.toml")

CameraKind = (
    Literal["shared_memory", "folder", "video", "rtsp", "v4l2", "gstreamer", "csi"]
    | Literal["gige", "usb3", "gentl"]
)

BusProtocol = Literal[
    "modbus_rtu", "modbus_ascii", "modbus_tcp", "mitsubishi_fx", "host_link", "mewtocol"
]
"""How a bus speaks; the codecs are the rows of edge/plc/codecs.py."""

Positive = Annotated[float, Meta(gt=0)]
Pixels = Annotated[int, Meta(ge=1, le=100_000)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


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
    """[[bus]] one line with the PLCs on it: a serial port (`port` or `usb`), or TCP (`host`)."""

    name: Name
    profile: str | None = None  # family of its PLCs: what is not said here, and device names
    protocol: BusProtocol = "modbus_rtu"
    port: str | None = None  # e.g. "/dev/serial/by-id/usb-...": survives a re-plug
    usb: str | None = None  # serial number of the adapter, else its USB path, e.g. "1-1.4"
    host: str | None = None  # modbus_tcp: the PLC's IP address
    tcp_port: Annotated[int, Meta(ge=1, le=65535)] = 502
    baudrate: Literal[9600, 19200, 38400, 57600, 115200] = 115200
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] | None = None  # None: as the protocol has them, ascii 7, else 8
    rs485: bool = False  # the kernel switches the line's driver
    rs485_before_ms: Annotated[int, Meta(ge=0, le=100)] = 0  # driver on before the first bit
    rs485_after_ms: Annotated[int, Meta(ge=0, le=100)] = 0  # and after the last
    echo: bool = False  # the adapter hears what it sends
    reply_timeout_s: Annotated[float, Meta(gt=0, le=5)] = 0.15  # reply plus two PLC scans
    gap_ms: Annotated[float, Meta(ge=0, le=100)] = 0.0  # PLC's own silence, if above 3.5 characters

    @property
    def place(self) -> str:
        """Where the line is, for messages."""
        if self.host is not None:
            return f"{self.host}:{self.tcp_port}"
        return self.port or f"usb {self.usb}"


class Slave(Section, frozen=True, kw_only=True):
    """[[slave]] another unit on a bus, such as an energy meter: only its tags are read."""

    name: Name
    bus: Name
    unit: Annotated[int, Meta(ge=1, le=247)]
    profile: str | None = None  # its family: device names of its tags, their word order
    answer_ms: Annotated[float, Meta(gt=0, le=1000)] = 50.0  # it begins to answer within this


class Tag(Section, frozen=True, kw_only=True):
    """[[tag]] one figure of the line that becomes rows: a quantity, speed, energy, stop cause."""

    name: Name
    station: Name | None = None  # read from its PLC ...
    slave: Name | None = None  # ... or from this unit
    title: Annotated[str, Meta(max_length=40)] = ""  # on screens, in place of the name
    area: Literal["holding", "input", "coil", "discrete"] = "holding"  # a device says it itself
    address: Port  # a number, or a device of the profile, such as "D100"
    type: Literal["bit", "u16", "i16", "u32", "i32", "f32"] = "u16"
    bit: Annotated[int, Meta(ge=0, le=15)] | None = None  # type bit in a register: which one
    # of 32 bits; as the profile of its PLC says
    word_order: Literal["low_first", "high_first"] = "low_first"
    scale: float = 1.0  # what one count is, in `unit`
    decimals: Annotated[int, Meta(ge=0, le=6)] = 3  # f32: kept of the figure in `unit`
    unit: Annotated[str, Meta(max_length=16)] = ""  # e.g. "kWh", "mm/s"
    counts: bool = False  # it only goes up: pieces, kWh; what matters is its growth
    dead_band: Annotated[float, Meta(ge=0)] = 0.0  # a change beyond this is a row, in `unit`
    period_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0  # a row at least this often
    role: Literal["value", "stop_cause", "line_state"] = "value"
    words: dict[str, str] = {}  # names of values, such as {"3" = "no material"}

    @property
    def size(self) -> int:
        """Registers or bits that it takes."""
        return 2 if self.type in ("u32", "i32", "f32") else 1

    @property
    def factor(self) -> tuple[int, int]:
        """The scale as whole number x 10 ** exponent: 0.05 is (5, -2)."""
        sign, digits, exponent = Decimal(repr(self.scale)).normalize().as_tuple()
        assert isinstance(exponent, int)  # no NaN in TOML settings: line_wiring refuses it
        return (-1) ** sign * int("".join(map(str, digits))), exponent


LineNumber = Annotated[
    str,
    Meta(pattern=r"^!?[0-9]{1,4}\Z", description='a line as text, "17", or "!17" = on when low'),
]


class Io(Section, frozen=True, kw_only=True):
    """[[io]] contacts and outputs of one station: lines of this computer, or a module."""

    name: Name
    kind: Literal["gpio", "modbus"]
    port: str  # gpio: e.g. "/dev/gpiochip0"; modbus: "/dev/serial/by-id/usb-...", of its own
    baudrate: Literal[9600, 19200, 38400, 57600, 115200] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    reply_timeout_s: Annotated[float, Meta(gt=0, le=1)] = 0.1
    unit: Annotated[int, Meta(ge=1, le=247)] = 1
    inputs_base: Annotated[int, Meta(ge=0, le=65000)] = 0  # FC02 address of line 0
    outputs_base: Annotated[int, Meta(ge=0, le=65000)] = 0  # FC15 address of line 0
    # holding register of the module's own watchdog, and what one of it means
    watchdog_register: Annotated[int, Meta(ge=0, le=65535)] | None = None
    watchdog_unit_ms: Annotated[int, Meta(ge=1, le=1000)] = 100
    # outputs are dead so long after the node: by the module, or by who watches the beat of `ready`
    watchdog_ms: Annotated[int, Meta(ge=100, le=10_000)] = 1000
    part_present: LineNumber | None = None
    gate_eye: LineNumber | None = None
    bypass_key: LineNumber | None = None
    reset_button: LineNumber | None = None
    ok: LineNumber | None = None
    ready: LineNumber | None = None
    stop: LineNumber | None = None
    warning: LineNumber | None = None  # stack light
    buzzer: LineNumber | None = None
    debounce_ms: Annotated[float, Meta(ge=0, le=1000)] = 5.0
    # window of the OK pulse, from the part's own edge at this input
    ok_from: Literal["part_present", "gate_eye"] = "part_present"
    ok_delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 400
    ok_width_ms: Annotated[int, Meta(ge=5, le=10_000)] = 50
    # by whoever uses OK; a rising edge is no second one while a hung node leaves OK on
    ok_taken: Literal["level", "rising_edge"] = "level"
    # from the part-present edge to the gate eye, give or take
    gate_after_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    gate_tolerance_ms: Annotated[int, Meta(ge=1, le=10_000)] | None = None


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
    bus: Name | None = None  # none where the station counts for itself
    io: Name | None = None  # the verdict goes by wire; beside a bus, or alone
    unit: Annotated[int, Meta(ge=0, le=247)] = 1  # of the PLC; 0 only where the protocol has it
    read_base: Annotated[int, Meta(ge=0, le=65000)] = 0  # first of the 12 registers PLC -> node
    write_base: Annotated[int, Meta(ge=0, le=65000)] = 100  # first of the 10 registers node -> PLC
    counters_base: Annotated[int, Meta(ge=0, le=65000)] | None = (
        None  # second law; None = no sensors
    )
    # camera, interval: no PLC, the station counts for itself
    trigger: TriggerMode | Literal["camera", "interval"]
    cameras: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    recipe: Annotated[int, Meta(ge=1, le=65535)] | None = None  # camera, interval: number of it
    # camera: of the picture of the first camera, covered by a part at the least
    part_share: Annotated[float, Meta(gt=0, le=1)] = 0.05
    interval_ms: Annotated[int, Meta(ge=20, le=3_600_000)] | None = None  # interval: the next piece
    deadline_ms: Annotated[int, Meta(ge=20, le=60_000)] = (
        400  # sensor edge to verdict, at the latest
    )
    # of the part under the cameras; 0 = parts stand still; None = nobody has said so
    speed_mm_s: Annotated[float, Meta(ge=0, le=20_000)] | None = None
    scan_ms: Annotated[float, Meta(gt=0, le=1000)] = 10.0  # of the PLC's program
    # from the part sensor to the rejector along the belt; None = nobody has said so
    gate_mm: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    valve_ms: Annotated[float, Meta(ge=0, le=10_000)] = 50.0  # output of the PLC to gate moved
    # latest exposure after edge and offset; None: 60 for hardware, else 1000 / max_rate_per_s
    frame_tolerance_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    # parts; a faster counter is not believed
    max_rate_per_s: Annotated[float, Meta(gt=0, le=200)] = 10.0

    @property
    def self_counted(self) -> bool:
        """No PLC counts its parts."""
        return self.trigger in ("camera", "interval")

    @property
    def exposure(self) -> TriggerMode:
        """What starts an exposure: the sensor, the node, or the camera itself."""
        if self.trigger == "camera":
            return "free_run"
        return "software" if self.trigger == "interval" else self.trigger

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
    bus: tuple[Bus, ...] = ()
    io: tuple[Io, ...] = ()
    camera: Annotated[tuple[Camera, ...], Meta(min_length=1)]
    light: tuple[Light, ...] = ()
    recipe: Annotated[tuple[Recipe, ...], Meta(min_length=1)]
    station: Annotated[tuple[Station, ...], Meta(min_length=1)]
    slave: tuple[Slave, ...] = ()
    tag: tuple[Tag, ...] = ()

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
        hint = "Name the right file with --config; this user must be allowed to read it."
        raise SettingsError(str(path), [f"cannot be read: {wrong}"], hint) from wrong
    settings, problems = sections.parse(
        content, Settings, lambda s: [*crossed(s), *by_wire(s), *upstream(s.hub)], fill
    )
    if settings is None:
        raise SettingsError(str(path), problems)
    return resolve(settings, path.resolve().parent)


def resolve(settings: Settings, folder: Path) -> Settings:
    """The same settings with every relative file name made absolute from `folder`."""
    files = {"shared_memory", "folder", "video", "gentl"}
    data_dir = folder / settings.node.data_dir
    pictures_dir = folder / (settings.node.pictures_dir or data_dir / "pictures")
    engine_dir = data_dir / "engines"
    if settings.runtime.engine_dir is not None:
        engine_dir = folder / settings.runtime.engine_dir
    return replace(
        settings,
        node=replace(settings.node, data_dir=str(data_dir), pictures_dir=str(pictures_dir)),
        hub=settings.hub and upstream_resolved(settings.hub, folder),
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
