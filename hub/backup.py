"""quanjian-hub backup DIR, restore DIR: the whole database in a folder, and proof that it is back.

    DIR/database/         pg_dump's directory format, of one moment
    DIR/pictures.sha256   every picture whose file must be there, as `sha256sum --check` reads it
    DIR/manifest.json     written last: without it a folder is no backup

The manifest says where every stream stood, how many rows there were, and the sha256 of every file.
After a restore every chain is followed from its first row and every law is counted again. Nodes
find out by themselves: rows that they no longer hold and that the backup does not have become a
declared gap at their next birth.
"""

from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hub import metrics
from hub.durable import sync
from hub.errors import BackupError
from hub.store import dump, session
from hub.store.migrate import shipped
from hub.store.sealed import digest_of
from hub.store.session import Connection
from hub.store.verify import verify

MANIFEST = "manifest.json"
DATABASE = "database"
PICTURES = "pictures.sha256"

Tell = Callable[[str], None]


class Stream(Struct, frozen=True):
    """Where one stream stood."""

    stream: str
    node: str
    next: int
    hash: str | None


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    quanjian: str  # version of this program
    v: int = 1
    made_at: datetime
    server: int  # major version of PostgreSQL
    written_by: int  # of pg_dump
    timescale: bool
    migrations: dict[str, str]  # file: sha256
    rows: dict[str, int]
    unbalanced: int  # epochs whose law did not balance, as it was
    chain: dict[str, Any]  # the newest entry of the hub's chain: seq, hash
    pictures: int
    streams: list[Stream]
    files: dict[str, str]  # path: sha256


def backup(dsn: str, folder: Path, tell: Tell) -> Manifest:
    """Write a backup of this moment into a new folder, while everything goes on.

    Raises:
        BackupError: the folder is not new, or something could not be written.
        StoreError: the database is away.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # hashes of tokens are in it
        if any(folder.iterdir()):
            raise BackupError(f"{folder}: is not empty; a backup takes a new folder")
        with session.snapshot(dsn, "backup") as connection:
            manifest = _write(connection, dsn, folder, tell)
    except OSError as wrong:
        raise BackupError(f"{folder}: {wrong}") from wrong
    return manifest


def _write(connection: Connection, dsn: str, folder: Path, tell: Tell) -> Manifest:
    server = session.rows(connection, "server_version")[0]
    [counted] = session.rows(connection, "rows_stored")
    tell(f"{sum(counted.values())} rows; every table in turn:")
    [exported] = session.rows(connection, "snapshot_exported")
    snapshot, major = exported["snapshot"], server["major"]
    written_by = dump.dump(dsn, folder / DATABASE, snapshot, major, tell)
    kept = [row["sha256"] for row in session.rows(connection, "pictures_kept")]
    lines = "".join(f"{sha256}  {sha256[:2]}/{sha256}.jpg\n" for sha256 in kept)
    (folder / PICTURES).write_text(lines, encoding="ascii")
    tell("reading everything once more for the manifest")
    files = {str(path.relative_to(folder)): _synced(path) for path in _files(folder)}
    manifest = Manifest(
        quanjian=version("quanjian"),
        made_at=datetime.now(timezone.utc),
        server=major,
        written_by=written_by,
        timescale=server["timescale"],
        migrations=_migrations(connection),
        rows=counted,
        unbalanced=_unbalanced(connection),
        chain=next(iter(session.rows(connection, "hub_chain_head")), {}),
        pictures=len(kept),
        streams=_streams(connection),
        files=files,
    )
    part = folder / f"{MANIFEST}.part"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    _synced(part)
    part.rename(folder / MANIFEST)
    for place in (folder / DATABASE, folder, folder.parent):
        sync(place)
    return manifest


def restore(
    dsn: str, folder: Path, pictures_dir: Path, archive_dir: Path | None, tell: Tell
) -> tuple[Manifest, list[str]]:
    """Restore a backup into an empty database and check what came back.

    Args:
        pictures_dir, archive_dir: where the files are that no backup holds; None = not known.

    Returns:
        The manifest, and a sentence for each thing that is not as it was acknowledged or backed up.

    Raises:
        BackupError: no whole backup, made by another program, or the database is not empty. The
            database is as it was.
        StoreError: the database is away.
    """
    manifest = _read(folder)
    tell(f"backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC: checking {len(manifest.files)} files")
    _whole(folder, manifest)
    _known(manifest)
    with session.connect(dsn, "restore") as connection:
        if session.rows(connection, "relations")[0]["relations"]:
            raise BackupError("the database is not empty: make a new one and name it in hub.toml")
        server = session.rows(connection, "server_version")[0]["major"]
        if server < manifest.server:
            raise BackupError(f"made by PostgreSQL {manifest.server}, this server is {server}")
        with dump.timescale_told(connection, manifest.timescale):
            dump.load(dsn, folder / DATABASE, manifest.written_by, tell)
        tell("restored; following every chain and counting every law again")
        wrong = verify(connection, tell).wrong + _differs(connection, manifest)
        archives = session.rows(connection, "archives")
        tell(f"reading {len(archives)} archives, looking for {manifest.pictures} pictures")
        wrong += _archives_wrong(archives, archive_dir)
    return manifest, wrong + _missing(folder, pictures_dir)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _synced(path: Path) -> str:
    """The sha256 of a file that is on disk for good."""
    sync(path)
    return digest_of(path)


def _migrations(connection: Connection) -> dict[str, str]:
    return {row["name"]: row["sha256"] for row in session.rows(connection, "migrations_applied")}


def _streams(connection: Connection) -> list[Stream]:
    return [Stream(**row) for row in session.rows(connection, "streams")]


def _unbalanced(connection: Connection) -> int:
    laws = session.rows(connection, "laws_all")
    return sum(metrics.first_law(row).state == "unbalanced" for row in laws)


def _read(folder: Path) -> Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as wrong:
        raise BackupError(f"{folder}: no whole backup: {wrong}") from wrong
    except msgspec.MsgspecError as wrong:
        raise BackupError(f"{folder / MANIFEST}: {wrong}") from wrong


def _whole(folder: Path, manifest: Manifest) -> None:
    here = {str(path.relative_to(folder)) for path in _files(folder)} - {MANIFEST}
    if here != manifest.files.keys():
        odd = sorted(here ^ manifest.files.keys())
        raise BackupError(f"{folder}: {', '.join(odd)}: in the folder or in the manifest alone")
    for name, digest in manifest.files.items():
        try:
            found = digest_of(folder / name)
        except OSError as wrong:
            raise BackupError(f"{folder / name}: {wrong}") from wrong
        if found != digest:
            raise BackupError(f"{folder / name}: is not the file that was backed up")


def _known(manifest: Manifest) -> None:
    ours = {migration.name: migration.sha256 for migration in shipped()}
    newer = [name for name, digest in manifest.migrations.items() if ours.get(name) != digest]
    if newer:
        raise BackupError(
            f"made by version {manifest.quanjian}, whose schema has {newer[0]}; this is another"
        )


def _differs(connection: Connection, manifest: Manifest) -> list[str]:
    """What the database says of itself now against what it said when it was backed up."""
    [rows] = session.rows(connection, "rows_stored")
    head = next(iter(session.rows(connection, "hub_chain_head")), {})
    pairs = (
        ("rows", rows, manifest.rows),
        ("streams", _streams(connection), manifest.streams),
        ("migrations", _migrations(connection), manifest.migrations),
        ("newest entry of the hub's chain", head, manifest.chain),
        ("epochs whose law does not balance", _unbalanced(connection), manifest.unbalanced),
    )
    return [f"{what}: {now}, backed up {then}" for what, now, then in pairs if now != then]


def _archives_wrong(archives: list[dict[str, Any]], archive_dir: Path | None) -> list[str]:
    """A sentence for each archive that is not the file that was sealed."""
    if archive_dir is None:
        told = f"{len(archives)} archives: [retention] archive_dir does not say where they are"
        return [told] if archives else []
    wrong = []
    for archive in archives:
        file = archive_dir / archive["file"]
        try:
            if digest_of(file) != archive["sha256"]:
                wrong.append(f"archive {file}: is not the file that was sealed")
        except OSError as gone:
            wrong.append(f"archive {file}: {gone.strerror}")
    return wrong


def _missing(folder: Path, pictures_dir: Path) -> list[str]:
    lines = (folder / PICTURES).read_text(encoding="ascii").splitlines()
    gone = [line for line in lines if not (pictures_dir / line.split("  ")[1]).is_file()]
    return [f"{len(gone)} of {len(lines)} pictures are not in {pictures_dir}"] if gone else []
