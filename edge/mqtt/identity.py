"""Who this node is to the hub: its key, its certificate, and TLS by them. Owns cryptography here.

    ca_file            the authority whose servers are believed
    certificate_file   signed by it; CN = the node's name
    key_file           0600; made here, never leaves this computer
    key_file + ".new"  the key of a request that is under way

Files and dates are looked at before a connection is tried: with TLS 1.3 a refused certificate shows
only as a connection that breaks off. Dates are judged by this computer's clock, which may be wrong,
and the sentences say so.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge import durable
from edge.errors import LinkError
from edge.upstream_settings import Hub

RENEW_AT = 2 / 3  # of a certificate's life
CLOCK_HINT = "Set the clock of this computer; rows wait on disk meanwhile."
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Files:
    """The three files of [hub], where they are given."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def new_key(self) -> Path:
        """The key of a request that is under way."""
        return self.key.with_name(self.key.name + ".new")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the node's certificate says."""

    name: str
    not_before: datetime
    not_after: datetime

    def due(self, now: datetime) -> bool:
        """Is it time for the next one?"""
        return now >= self.not_before + (self.not_after - self.not_before) * RENEW_AT


class ClockError(LinkError):
    """A certificate is not valid at the time that this computer's clock shows."""

    hint = CLOCK_HINT


class _Closing(ssl.SSLSocket):
    """Closes itself when the greeting fails: paho forgets such a socket and leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


def files_of(hub: Hub) -> Files | None:
    """Where the identity lies; None: the node has none and speaks without TLS."""
    if hub.ca_file is None or hub.certificate_file is None or hub.key_file is None:
        return None
    return Files(Path(hub.ca_file), Path(hub.certificate_file), Path(hub.key_file))


def new_key() -> Key:
    """A fresh key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def request(key: Key, node: str) -> bytes:
    """A certificate request of this node, PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def signed(key: Key, content: bytes) -> bytes:
    """The signature of these bytes: ECDSA over sha256, DER."""
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def signer(files: Files) -> Callable[[bytes], tuple[str, bytes]]:
    """What signs with the pair as it is on disk, also after a renewal: certificate (PEM) and
    signature; raises LinkError.
    """

    def signed_with(content: bytes) -> tuple[str, bytes]:
        certificate = read_certificate(files.certificate)
        key = read_key(files.key)
        if not fits(certificate, key):
            raise LinkError(f"certificate_file {files.certificate}: not of the key {files.key}")
        return pem(certificate).decode("ascii"), signed(key, content)

    return signed_with


def write_key(file: Path, key: Key) -> None:
    """Keep a key for this user alone. Raises LinkError."""
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write(file, content, 0o600)


def write(file: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; after return it survives a power cut. Raises LinkError."""
    try:
        durable.write(file, content, mode)
    except OSError as wrong:
        raise LinkError(f"{file}: cannot be written: {wrong}") from wrong


def read_key(file: Path) -> Key:
    """A key that this user alone can read.

    Raises:
        LinkError: it is not there, others can read it, or it is no key on P-256.
    """
    try:
        mode = file.stat().st_mode & 0o777
        content = file.read_bytes()
    except OSError as wrong:
        raise LinkError(f"key_file {file}: cannot be read: {wrong}") from wrong
    if mode & 0o077:
        raise LinkError(f"key_file {file}: mode is {mode:o}, expected 600: others can read it")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise LinkError(f"key_file {file}: not a key: {wrong}") from wrong
    if not isinstance(key, Key) or key.curve.name != "secp256r1":
        raise LinkError(f"key_file {file}: expected a key on the curve P-256")
    return key


def secret(file: Path) -> str:
    """One line that this user alone can read, such as a token.

    Raises:
        LinkError: it is not there, is empty, or others can read it.
    """
    try:
        mode = file.stat().st_mode & 0o777
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as wrong:
        raise LinkError(f"{file}: cannot be read: {wrong}") from wrong
    if mode & 0o077:
        raise LinkError(f"{file}: mode is {mode:o}, expected 600: others can read the token")
    if not text:
        raise LinkError(f"{file}: holds no token")
    return text


def read_certificate(file: Path, setting: str = "certificate_file") -> x509.Certificate:
    """A certificate; raises LinkError naming the setting."""
    try:
        return x509.load_pem_x509_certificate(_content(file, setting))
    except ValueError as wrong:
        raise LinkError(f"{setting} {file}: not a certificate: {wrong}") from wrong


def _content(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise LinkError(f"{setting} {file}: cannot be read: {wrong}") from wrong


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM, without what stood around it in its file."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def facts(certificate: x509.Certificate) -> Facts:
    """What it says."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Facts(
        str(names[0].value) if names else "",
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def fits(certificate: x509.Certificate, key: Key) -> bool:
    """Is it the certificate of this key?"""
    return certificate.public_key() == key.public_key()


def adopt(files: Files, node: str, certificate: bytes, authority: bytes) -> Facts:
    """Take over a certificate for the key that waits in `new_key`.

    The certificate is the point of no return: cut off before it, the old pair is whole; after it,
    `complete` moves the key.

    Raises:
        LinkError: it is not this node's, not of that key or authority, or cannot be written.
    """
    try:
        given = x509.load_pem_x509_certificate(certificate)
        given.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature) as wrong:
        raise LinkError(f"the hub's answer is no certificate of its authority: {wrong}") from wrong
    said = facts(given)
    if said.name != node or not fits(given, read_key(files.new_key)):
        raise LinkError(f"the hub's answer is a certificate of {said.name!r} or of another key")
    write(files.authority, authority, 0o644)
    write(files.certificate, certificate, 0o644)
    complete(files)
    return said


def complete(files: Files) -> None:
    """Finish a change of keys that was cut off between its two files. Raises LinkError."""
    if not files.new_key.exists():
        return
    if not fits(read_certificate(files.certificate), read_key(files.new_key)):
        return  # its request is under way
    try:
        files.new_key.replace(files.key)
    except OSError as wrong:
        raise LinkError(f"key_file {files.key}: cannot be replaced: {wrong}") from wrong


def examine(files: Files, node: str, now: datetime) -> Facts:
    """Look at all three files as they are now.

    Raises:
        LinkError: one is missing or is none, they do not belong together, another node's name.
        ClockError: not valid yet, or no more, at `now`.
    """
    authority = read_certificate(files.authority, "ca_file")
    if files.certificate.exists():
        complete(files)
    certificate = read_certificate(files.certificate)
    if not fits(certificate, read_key(files.key)):
        raise LinkError(
            f"key_file {files.key}: does not belong to certificate_file {files.certificate}"
        )
    said = facts(certificate)
    if said.name != node:
        raise LinkError(
            f"certificate_file {files.certificate}: is of {said.name!r}, but [node] name is "
            f"{node!r}"
        )
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as wrong:
        raise LinkError(
            f"certificate_file {files.certificate}: not signed by ca_file {files.authority}"
        ) from wrong
    in_time(f"certificate_file {files.certificate}", said, now)
    in_time(f"ca_file {files.authority}", facts(authority), now)
    return said


def fingerprint(certificate: bytes) -> str:
    """sha256 of a certificate (PEM), hex. Raises LinkError: it is none."""
    try:
        return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()
    except ValueError as wrong:
        raise LinkError(f"not a certificate: {wrong}") from wrong


def in_time(what: str, said: Facts, now: datetime) -> None:
    """Raises ClockError unless `now` lies in a certificate's life."""
    clock = f"the clock of this computer says {now:%Y-%m-%d %H:%M} UTC"
    if now < said.not_before:
        raise ClockError(f"{what}: not valid before {said.not_before:%Y-%m-%d %H:%M} UTC; {clock}")
    if now > said.not_after:
        raise ClockError(f"{what}: ended at {said.not_after:%Y-%m-%d %H:%M} UTC; {clock}")


def context(files: Files, node: str, now: datetime) -> ssl.SSLContext:
    """TLS 1.3 with the files as they are now; the server must be the authority's, by its name.

    Raises:
        LinkError: as `examine`.
    """
    examine(files, node, now)
    made = server_context(files.authority)
    try:
        made.load_cert_chain(files.certificate, files.key)
    except (OSError, ValueError) as wrong:
        raise LinkError(f"certificate_file {files.certificate}: {wrong}") from wrong
    return made


def server_context(authority: Path) -> ssl.SSLContext:
    """TLS 1.3 to servers of this authority, without a certificate of our own. Raises LinkError."""
    read_certificate(authority, "ca_file")
    return believing(_content(authority, "ca_file"))


def believing(authority: bytes) -> ssl.SSLContext:
    """TLS 1.3 to servers of an authority: PEM, in which comments may stand. Raises LinkError."""
    try:
        known = x509.load_pem_x509_certificates(authority)
        made = ssl.create_default_context(cadata=b"".join(map(pem, known)).decode("ascii"))
    except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
        raise LinkError(f"the authority's certificate cannot be used: {wrong}") from wrong
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.sslsocket_class = _Closing
    return made


def greet(wire: socket.socket, host: str, files: Files, node: str, wait_s: float) -> None:
    """Try the TLS greeting with a broker; `wire` is connected and used up.

    With TLS 1.3 the broker judges our certificate after its own greeting, so silence for `wait_s`,
    as it waits for MQTT, is the good answer.

    Raises:
        LinkError: a file is wrong, the broker is not believed, or it does not take the certificate.
        OSError: the connection broke off before the greeting was over.
    """
    made = context(files, node, datetime.now(timezone.utc))
    try:
        encrypted = made.wrap_socket(wire, server_hostname=host, do_handshake_on_connect=False)
        with encrypted:
            encrypted.do_handshake()
            encrypted.settimeout(wait_s)
            with contextlib.suppress(TimeoutError):
                encrypted.recv(1)
                raise LinkError("the broker hangs up after the TLS greeting")
    except ssl.SSLCertVerificationError as wrong:
        raise refusal(wrong) from wrong
    except ssl.SSLError as wrong:
        raise LinkError(
            f"the broker does not take this node's certificate: {wrong.reason}"
        ) from wrong


def refusal(wrong: ssl.SSLError) -> LinkError:
    """A TLS failure in words: a date that is judged wrong is most often a clock that is wrong."""
    told = wrong.verify_message if isinstance(wrong, ssl.SSLCertVerificationError) else ""
    now = datetime.now(timezone.utc)
    if "not yet valid" in told or "expired" in told:
        return ClockError(
            f"the server's certificate: {told}; the clock of this computer says "
            f"{now:%Y-%m-%d %H:%M} UTC"
        )
    if told:
        return LinkError(f"the server's certificate: {told}")
    return LinkError(f"TLS: {wrong.reason or wrong}")
