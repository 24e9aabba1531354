"""The certificates of one hub: what an authority signs, and what it will not. Pure.

Owns cryptography at the hub.

    authority   P-256, 10 years      signs certificates and the revocation list, nothing else
    server      P-256, 2 years       broker and gate: the names they are reached by
    node        P-256, 90 days       clientAuth, CN = the node's id; its key never leaves the node

Every certificate begins a day before it is signed, so that a node whose clock is some hours behind
can use it. Keys, certificates, requests and the list are PEM. Times are aware UTC.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.mqtt.message import NAME
from hub.errors import AuthorityError

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=730)
NODE_LIFE = timedelta(days=90)
BACKDATED = timedelta(days=1)
LIST_LIFE = timedelta(days=30)
"""A broker refuses every node once its revocation list is older, so it is signed anew each day."""

MAX_REQUEST_BYTES = 4096
_HASH = hashes.SHA256()
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion)
"""What cryptography raises for bytes of strangers; InvalidVersion is none of the others' kind."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says."""

    serial: str  # hex
    name: str  # CN
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """One certificate that is worth nothing any more."""

    serial: str  # hex
    at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """What a revocation list says."""

    serials: frozenset[str]  # hex
    signed_at: datetime


class Authority:
    """A certificate authority with its key in memory."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        """Raises AuthorityError: not a certificate, not its key."""
        self._certificate = _certificate(certificate)
        self._key = _private_key(key)
        if _public_key(self._certificate) != self._key.public_key():
            raise AuthorityError("the authority's key does not belong to its certificate")
        self.certificate = certificate

    @classmethod
    def made(
        cls, name: str, now: datetime, key_pem: bytes | None = None
    ) -> tuple["Authority", bytes]:
        """A new authority, and its key, which must not leave this computer: a new one or `key_pem`.

        Raises:
            AuthorityError: `key_pem` is none on the curve P-256.
        """
        key = ec.generate_private_key(ec.SECP256R1()) if key_pem is None else _private_key(key_pem)
        subject = _named(name)
        builder = (
            _begun(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        pem, key_pem = _pem(builder.sign(key, _HASH)), private_pem(key)
        return cls(pem, key_pem), key_pem

    def node(self, request: bytes, node: str, now: datetime) -> bytes:
        """The certificate of a node for the key in its request.

        Raises:
            AuthorityError: none for this node: see `requested`; or the authority has ended.
        """
        public_key = _requested(request, node)
        builder = self._client_or_server(node, public_key, now, NODE_LIFE, server=False)
        return _pem(builder.sign(self._key, _HASH))

    def server(self, names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
        """Certificate and key for a server that is reached by these host names and addresses.

        Raises:
            AuthorityError: no names, or one that is neither; or the authority has ended.
        """
        known = [alternative(name) for name in names]
        if not known:
            raise AuthorityError("a server's certificate needs the names it is reached by")
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._client_or_server(
            str(known[0].value), key.public_key(), now, SERVER_LIFE, server=True
        ).add_extension(x509.SubjectAlternativeName(known), critical=False)
        return _pem(builder.sign(self._key, _HASH)), private_pem(key)

    def check(self, now: datetime) -> None:
        """Raises AuthorityError: it has ended, nothing that it signs is worth anything."""
        end = self._certificate.not_valid_after_utc
        if end <= now:
            raise AuthorityError(f"the authority ended at {end:%Y-%m-%d %H:%M} UTC")

    def revocation_list(self, revoked: Iterable[Revoked], now: datetime) -> bytes:
        """The signed list of what is worth nothing any more; good for `LIST_LIFE`."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + LIST_LIFE)
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(one.serial, 16))
                .revocation_date(one.at)
                .build()
            )
        return builder.sign(self._key, _HASH).public_bytes(serialization.Encoding.PEM)

    def listed(self, revocation_list: bytes) -> Listed | None:
        """What a list of this authority says; None if it is none, or another's."""
        try:
            read = x509.load_pem_x509_crl(revocation_list)
            end = read.next_update_utc
            if not read.is_signature_valid(self._key.public_key()) or end is None:
                return None
            return Listed(frozenset(f"{one.serial_number:x}" for one in read), end - LIST_LIFE)
        except _UNREADABLE:
            return None

    def _client_or_server(
        self,
        name: str,
        public_key: ec.EllipticCurvePublicKey,
        now: datetime,
        life: timedelta,
        server: bool,
    ) -> x509.CertificateBuilder:
        self.check(now)
        # None outlives the authority: a chain is judged by its shortest life.
        life = min(life, self._certificate.not_valid_after_utc - now)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            _begun(_named(name), self._certificate.subject, public_key, now, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(issuer, critical=False)
        )


def facts(certificate: bytes) -> Facts:
    """What a certificate says.

    Raises:
        AuthorityError: it is none.
    """
    read = _certificate(certificate)
    with _reading("certificate"):
        names = read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return Facts(
            serial=f"{read.serial_number:x}",
            name=str(names[0].value) if names else "",
            not_before=read.not_valid_before_utc,
            not_after=read.not_valid_after_utc,
        )


def fingerprint(certificate: bytes) -> str:
    """sha256 of a certificate, hex: what a person compares and a node pins.

    Raises:
        AuthorityError: it is none.
    """
    return _certificate(certificate).fingerprint(_HASH).hex()


def requested(request: bytes, node: str) -> None:
    """Refuse what is no request of this node.

    Raises:
        AuthorityError: no request, not signed by its own key, not P-256, another name in it.
    """
    _requested(request, node)


def signed_by(certificate: bytes, content: bytes, signature: bytes) -> bool:
    """Did the key of this certificate sign these bytes (ECDSA over sha256, DER)?"""
    try:
        key = _p256(_public_key(_certificate(certificate)))
        key.verify(signature, content, ec.ECDSA(_HASH))
    except (AuthorityError, InvalidSignature):
        return False
    return True


def proof(token_hash: str, request: bytes) -> str:
    """What shows that the sender of a request knows the token: hex HMAC-SHA256, keyed by the
    token's sha256, over the request's sha256. Only the token's hash is kept anywhere."""
    digest = hashlib.sha256(request).digest()
    return hmac.new(bytes.fromhex(token_hash), digest, hashlib.sha256).hexdigest()


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as PEM, without a password: the file's mode guards it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(timezone.utc) - BACKDATED)
        .not_valid_after(now.astimezone(timezone.utc) + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def alternative(name: str) -> x509.DNSName | x509.IPAddress:
    """A name or address that a server is reached by, as its certificate says it.

    Raises:
        AuthorityError: it is neither; digits and dots alone are an address or nothing.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if re.fullmatch(r"(?![0-9.]*\Z)[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?", name) is None:
            raise AuthorityError(f"{name!r} is neither a host name nor an address") from None
        return x509.DNSName(name)


def _requested(request: bytes, node: str) -> ec.EllipticCurvePublicKey:
    if re.fullmatch(NAME, node) is None:
        raise AuthorityError(f"{node!r} is not the name of a node")
    if len(request) > MAX_REQUEST_BYTES:
        raise AuthorityError(f"a certificate request has at most {MAX_REQUEST_BYTES} bytes")
    with _reading("certificate request"):
        read = x509.load_pem_x509_csr(request)
        own = read.is_signature_valid
        names = [str(attribute.value) for attribute in read.subject]
        public_key = read.public_key()
    if not own:
        raise AuthorityError("the certificate request is not signed by its own key")
    if names != [node]:
        raise AuthorityError(f"the certificate request is for {names}, expected {[node]}")
    return _p256(public_key)


def _p256(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise AuthorityError("expected a key on the curve P-256")
    return key


def _certificate(pem: bytes) -> x509.Certificate:
    with _reading("certificate"):
        return x509.load_pem_x509_certificate(pem)


def _public_key(certificate: x509.Certificate) -> object:
    with _reading("certificate"):  # its key is looked at only now: a curve nobody knows, no point
        return certificate.public_key()


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    with _reading("key"):
        key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError("expected a key on the curve P-256")
    return key


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raises AuthorityError: what is read inside is none."""
    try:
        yield
    except _UNREADABLE as wrong:
        raise AuthorityError(f"not a {what}: {wrong}") from wrong


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
