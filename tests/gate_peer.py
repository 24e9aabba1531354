"""A hub with its authority, its gate on HTTPS and duties that sign: what a node enrols at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.mqtt.identity import Files
from hub import authority_folder, signing
from hub.authority import Authority as CertificateAuthority
from hub.gate import Gate
from hub.picture_folder import PictureFolder
from hub.registry import enrol
from hub.settings import Authority, Broker, Database, Nodes, Settings, Web
from hub.store import session
from hub.store.pool import Store
from tests.broker_peer import free_port
from tests.identity_peer import Plant, utc


class GateHub:
    """One hub: its settings, and what its operator would do."""

    def __init__(self, dsn: str, folder: Path, broker: Broker) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.dsn = dsn
        self.authority = authority_folder.made(folder / "ca", "test", utc())
        self.serve_by(self.authority, "127.0.0.1", "localhost")
        self.port = free_port()
        self.settings = Settings(
            database=Database(dsn=dsn),
            broker=broker,
            web=Web(port=free_port(), pictures_dir=str(folder / "pictures")),
            nodes=Nodes(
                host="127.0.0.1",
                port=self.port,
                ca_file=str(folder / "ca" / "ca.pem"),
                certificate_file=str(folder / "server.pem"),
                key_file=str(folder / "server.key"),
            ),
            authority=Authority(dir=str(folder / "ca"), crl_file=str(folder / "crl.pem")),
        )
        self.url = f"https://127.0.0.1:{self.port}"

    def serve_by(self, authority: CertificateAuthority, *names: str) -> None:
        certificate, key = authority.server(names, utc())
        (self.folder / "server.pem").write_bytes(certificate)
        (self.folder / "server.key").write_bytes(key)

    def token(self, node: str = "n1") -> str:
        return enrol(self.dsn, node)

    def files(self, name: str = "n1") -> Files:
        place = self.folder / name
        return Files(place / "ca.pem", place / "node.pem", place / "node.key")

    @contextmanager
    def gate(self) -> Iterator[Store]:
        """The gate, answering."""
        store = Store(self.dsn)
        store.open()
        assert self.settings.nodes is not None
        folder = PictureFolder(Path(self.settings.web.pictures_dir))
        gate = Gate(self.settings.nodes, folder, store, 1_000_000)
        try:
            gate.start()
            yield store
        finally:
            gate.close()
            store.close()

    @contextmanager
    def duties(self) -> Iterator[None]:
        """The leader's work on certificates, round after round."""
        stop = threading.Event()

        def rounds() -> None:
            with session.connect(self.dsn, "test") as connection:
                while not stop.wait(0.05):
                    signing.work(connection, self.settings, utc())

        thread = threading.Thread(target=rounds)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)

    def rules(self, plant: Plant) -> None:
        """From now on a broker with this plant's files is one of this hub's authority."""
        (plant.folder / "ca.pem").write_bytes(self.authority.certificate)
        certificate, key = self.authority.server(["127.0.0.1"], utc())
        (plant.folder / "server.pem").write_bytes(certificate)
        (plant.folder / "server.key").write_bytes(key)
        plant.crl.unlink()
        plant.crl.symlink_to(self.folder / "crl.pem")
        with session.connect(self.dsn, "test") as connection:
            signing.work(connection, self.settings, utc())  # signs the list
