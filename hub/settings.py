"""hub.toml as frozen settings: the wiring of the hub. Read once; a change needs a restart.

Every mistake in the file is reported at once. Secrets are paths to files: the database password
stands in the file that `passfile=` names inside the dsn.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from edge import sections
from hub.errors import SettingsError

DEFAULT_PATH = Path("/etc/quanjian/hub.toml")

Port = Annotated[int, Meta(ge=1, le=65535)]
Part = TypeVar("Part", bound=Struct)
Clock = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class Database(Section, frozen=True, kw_only=True):
    """[database] the PostgreSQL that holds the ledger."""

    dsn: Annotated[str, Meta(min_length=1)]  # libpq, e.g. "dbname=quanjian passfile=/etc/..."
    connections: Annotated[int, Meta(ge=1, le=64)] = 4  # kept for the pages


class Broker(Section, frozen=True, kw_only=True):
    """[broker] where nodes publish their rows."""

    host: sections.Host
    port: Port = 1883
    shared: bool = True  # several ingest workers share the work, if the broker can
    username: str | None = None
    password_file: str | None = None  # one line, mode 0600
    ca_file: str | None = None  # turns TLS on
    certificate_file: str | None = None
    key_file: str | None = None


class Web(Section, frozen=True, kw_only=True):
    """[web] pages, API and pictures. Loopback only until accounts exist."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    port: Port = 8080
    pictures_dir: str
    max_picture_kb: Annotated[int, Meta(ge=64, le=65536)] = 4096


class Nodes(Section, frozen=True, kw_only=True):
    """[nodes] the gate: the only port that nodes on other computers reach by HTTPS."""

    host: sections.Host  # address to listen on, e.g. "0.0.0.0"
    port: Port = 8443
    ca_file: str  # the authority's certificate, which nodes compare by its fingerprint
    certificate_file: str  # of this server, signed by the authority
    key_file: str


class Authority(Section, frozen=True, kw_only=True):
    """[authority] signs the certificates of nodes. Its key is read by `duties` and `ca` alone."""

    dir: str  # ca.key, ca.pem
    crl_file: str  # the revocation list, which the broker reads


class Duties(Section, frozen=True, kw_only=True):
    """[duties] what one process does for all."""

    partitions_ahead_days: Annotated[int, Meta(ge=1, le=90)] = 7
    offline_after_s: Annotated[int, Meta(ge=5, le=86_400)] = 60  # silence until a node is offline
    still_after_s: Annotated[int, Meta(ge=1, le=3600)] = 30  # no part for so long: none on its way
    check_rows: Annotated[int, Meta(ge=1, le=100_000)] = 20_000  # re-verified at a time
    round_s: Annotated[float, Meta(gt=0, le=20)] = 5.0  # between two rounds; the watchdog: 30 s


class Pictures(Section, frozen=True, kw_only=True):
    """[pictures] how long pictures stay in [web] pictures_dir; numbers stay as [retention] says."""

    max_gb: Annotated[int, Meta(ge=1, le=1_000_000)] = 200  # of 10^9 bytes; then the oldest go
    ok_days: Annotated[int, Meta(ge=1, le=36_500)] = 30
    not_ok_days: Annotated[int, Meta(ge=1, le=36_500)] = 400
    thumbnail_days: Annotated[int, Meta(ge=1, le=36_500)] = 1125


class Retention(Section, frozen=True, kw_only=True):
    """[retention] how long things stay; the floors are what the law asks of logs."""

    rows_days: Annotated[int, Meta(ge=180, le=36_500)] = 1125  # 36 months and a month to report
    logs_days: Annotated[int, Meta(ge=180, le=36_500)] = 400  # cleared alerts, refused messages
    archive_dir: str | None = None  # sealed archives; without it every row stays


class Settings(Section, frozen=True, kw_only=True):
    """The whole of hub.toml."""

    timezone: str = "Asia/Shanghai"  # cuts days and shifts; stored times are UTC
    database: Database
    broker: Broker
    web: Web
    duties: Duties = Duties()
    retention: Retention = Retention()
    pictures: Pictures = Pictures()
    nodes: Nodes | None = None
    authority: Authority | None = None
    shifts: Annotated[tuple[Clock, ...], Meta(min_length=1)] = ("08:00", "20:00")  # starts, local


def read(path: Path) -> Settings:
    """Read and check hub.toml.

    Raises:
        SettingsError: the file cannot be read or parsed, or with every mistake in it.
    """
    try:
        content = path.read_bytes()
    except OSError as wrong:
        hint = "Name the right file with --config; this user must be allowed to read it."
        raise SettingsError(str(path), [f"cannot be read: {wrong}"], hint) from wrong
    settings, problems = sections.parse(content, Settings, crossed)
    if settings is None:
        raise SettingsError(str(path), problems)
    return resolved(settings, path.absolute().parent)


def resolved(settings: Settings, folder: Path) -> Settings:
    """The settings with every file and folder absolute; relative ones start at hub.toml's own."""
    tls = ("ca_file", "certificate_file", "key_file")
    return msgspec.structs.replace(
        settings,
        broker=_absolute(settings.broker, folder, "password_file", *tls),
        web=_absolute(settings.web, folder, "pictures_dir"),
        nodes=settings.nodes and _absolute(settings.nodes, folder, *tls),
        authority=settings.authority and _absolute(settings.authority, folder, "dir", "crl_file"),
        retention=_absolute(settings.retention, folder, "archive_dir"),
    )


def _absolute(section: Part, folder: Path, *names: str) -> Part:
    given = {name: getattr(section, name) for name in names}
    files = {name: str(folder / file) for name, file in given.items() if file is not None}
    return msgspec.structs.replace(section, **files)


def crossed(settings: Settings) -> list[str]:
    """Mistakes that no single key's type shows; what is missing or wrong is None, told already."""
    problems = []
    try:
        ZoneInfo(settings.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append(
            f"timezone: got {settings.timezone!r}, expected a name such as 'Asia/Shanghai'"
        )
    dsn = (settings.database and settings.database.dsn) or ""
    if "password=" in dsn.replace(" ", ""):
        problems.append(
            "[database] dsn: holds a password; write passfile=FILE and put the password there"
        )
    problems += _paired(settings.broker) if settings.broker else []
    problems += [
        f"shifts: {start!r} is given twice"
        for start in sorted(set(settings.shifts or ()))
        if settings.shifts.count(start) > 1
    ]
    return problems


def _paired(broker: Broker) -> list[str]:
    problems = []
    if (broker.username is None) != (broker.password_file is None):
        problems.append("[broker] username, password_file: give both or neither")
    if (broker.certificate_file is None) != (broker.key_file is None):
        problems.append("[broker] certificate_file, key_file: give both or neither")
    if broker.certificate_file is not None and broker.ca_file is None:
        problems.append("[broker] ca_file: missing; expected text, as a certificate needs it")
    return problems
