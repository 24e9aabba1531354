"""What the authority signs and what it refuses; OpenSSL is asked whether it is right."""

import contextlib
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt import enrol, identity
from hub import authority as authorities
from hub.authority import Authority, Revoked, facts, signed_by
from hub.errors import AuthorityError
from hub.registry import token_hash
from tests.identity_peer import of_version_7, spoiled, utc

NOW = utc().replace(microsecond=0)
AUTHORITY, KEY = Authority.made("test", NOW)
NODE_KEY = identity.new_key()
REQUEST = identity.request(NODE_KEY, "n1")
CERTIFICATE = AUTHORITY.node(REQUEST, "n1", NOW)


def openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def asked_for(subject: x509.Name, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def name(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in names])


def test_a_nodes_certificate_is_for_a_client_for_90_days_from_yesterday() -> None:
    said = facts(CERTIFICATE)
    assert said.name == "n1"
    assert said.not_before == NOW - timedelta(days=1)
    assert said.not_after == NOW + timedelta(days=90)
    read = x509.load_pem_x509_certificate(CERTIFICATE)
    assert identity.fits(read, NODE_KEY)
    usage = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [one.dotted_string for one in usage] == ["1.3.6.1.5.5.7.3.2"]  # clientAuth
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.needs_openssl
def test_openssl_believes_the_chain_for_its_purpose_and_the_list(tmp_path: Path) -> None:
    certificate, _ = AUTHORITY.server(["hub.plant", "10.1.2.3"], NOW)
    here = {
        "ca": AUTHORITY.certificate,
        "node": CERTIFICATE,
        "server": certificate,
        "none": AUTHORITY.revocation_list([], NOW),
        "list": AUTHORITY.revocation_list([Revoked(facts(CERTIFICATE).serial, NOW)], NOW),
    }
    for file, content in here.items():
        (tmp_path / file).write_bytes(content)
    verify = ["verify", "-x509_strict", "-CAfile", str(tmp_path / "ca"), "-crl_check", "-CRLfile"]
    good, revoked = ([*verify, str(tmp_path / crl)] for crl in ("none", "list"))
    node, server = str(tmp_path / "node"), str(tmp_path / "server")
    assert openssl(*good, "-purpose", "sslclient", node).endswith("node: OK\n")
    assert openssl(*good, "-purpose", "sslserver", server).endswith("server: OK\n")
    assert "unsuitable certificate purpose" in openssl(*good, "-purpose", "sslserver", node)
    assert "unsuitable certificate purpose" in openssl(*good, "-purpose", "sslclient", server)
    assert "certificate revoked" in openssl(*revoked, node)
    told = openssl("x509", "-in", server, "-noout", "-text")
    assert "DNS:hub.plant, IP Address:10.1.2.3" in told


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"", "not a certificate request"),
        (CERTIFICATE, "not a certificate request"),
        (identity.request(NODE_KEY, "n2"), r"is for \['n2'\], expected \['n1'\]"),
        (asked_for(name("n1", "n2"), NODE_KEY), "is for"),
        (asked_for(name(), NODE_KEY), "is for"),
        (asked_for(name("n1"), ec.generate_private_key(ec.SECP384R1())), "curve P-256"),
        (asked_for(name("n1"), rsa.generate_private_key(65537, 2048)), "curve P-256"),
        (REQUEST + b"#" * 5000, "at most 4096 bytes"),
    ],
)
def test_what_is_no_request_of_this_node_is_not_signed(request_: bytes, why: str) -> None:
    with pytest.raises(AuthorityError, match=why):
        AUTHORITY.node(request_, "n1", NOW)


def test_a_request_that_another_key_signed_is_refused() -> None:
    der = x509.load_pem_x509_csr(REQUEST).public_bytes(serialization.Encoding.DER)
    spoiled = x509.load_der_x509_csr(der[:-1] + bytes([der[-1] ^ 1]))
    with pytest.raises(AuthorityError, match="not signed by its own key"):
        AUTHORITY.node(spoiled.public_bytes(serialization.Encoding.PEM), "n1", NOW)


@given(st.binary(max_size=300), st.integers(0, len(REQUEST) - 1))
def test_any_bytes_are_a_request_or_refused(noise: bytes, at: int) -> None:
    for request in (noise, REQUEST[:at] + noise + REQUEST[at:]):
        try:
            authorities.requested(request, "n1")
        except AuthorityError:
            continue


@pytest.mark.parametrize("node", ["", "N1", "n1/x", "+", "#", "n" * 33])
def test_a_name_that_no_topic_may_hold_gets_no_certificate(node: str) -> None:
    with pytest.raises(AuthorityError, match="is not the name of a node"):
        AUTHORITY.node(REQUEST, node, NOW)


def test_no_certificate_outlives_the_authority() -> None:
    late = NOW + timedelta(days=3650 - 10)
    end = facts(AUTHORITY.certificate).not_after
    assert facts(AUTHORITY.node(REQUEST, "n1", late)).not_after == end


@pytest.mark.parametrize("names", [[], ["*"], ["a b"], ["-hub"], ["hub", ""], ["300.1.1.1"], ["7"]])
def test_a_server_needs_names_that_are_names(names: list[str]) -> None:
    with pytest.raises(AuthorityError):
        AUTHORITY.server(names, NOW)


def test_a_list_says_what_is_on_it_and_when_and_another_authoritys_is_none() -> None:
    listed = AUTHORITY.listed(AUTHORITY.revocation_list([Revoked("ab12", NOW)], NOW))
    assert listed is not None
    assert listed.serials == frozenset({"ab12"})
    assert listed.signed_at == NOW
    other, _ = Authority.made("test", NOW)
    assert AUTHORITY.listed(other.revocation_list([], NOW)) is None
    assert AUTHORITY.listed(b"nothing") is None


def test_a_key_of_another_authority_is_noticed() -> None:
    _, key = Authority.made("test", NOW)
    with pytest.raises(AuthorityError, match="does not belong to its certificate"):
        Authority(AUTHORITY.certificate, key)


def test_a_signature_holds_for_its_bytes_and_key_alone() -> None:
    signature = identity.signed(NODE_KEY, b"content")
    assert signed_by(CERTIFICATE, b"content", signature)
    assert not signed_by(CERTIFICATE, b"other", signature)
    assert not signed_by(CERTIFICATE, b"content", signature[:-1])
    assert not signed_by(AUTHORITY.certificate, b"content", signature)


POINT = NODE_KEY.public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
)
NO_POINT = POINT[:-1] + bytes([POINT[-1] ^ 1])
P256, NO_CURVE = "06082a8648ce3d030107", "06082a8648ce3d030163"
SIGNED, NO_SIGNED = "06082a8648ce3d040302", "06082a8648ce3d040363"


@pytest.mark.parametrize(
    "certificate",
    [
        of_version_7(CERTIFICATE),
        spoiled(CERTIFICATE, P256, NO_CURVE),
        spoiled(CERTIFICATE, POINT.hex(), NO_POINT.hex()),
        spoiled(CERTIFICATE, SIGNED, NO_SIGNED),
        spoiled(CERTIFICATE, "0c026e31", "0c02ff31"),
    ],
)
def test_a_certificate_that_cannot_be_read_signed_nothing_and_is_never_another_error(
    certificate: bytes,
) -> None:
    signed_by(certificate, b"content", identity.signed(NODE_KEY, b"content"))
    for read in (facts, authorities.fingerprint, lambda pem: Authority(pem, KEY)):
        with contextlib.suppress(AuthorityError):
            read(certificate)
    with pytest.raises(AuthorityError):
        Authority(certificate, KEY)


@pytest.mark.parametrize(
    "request_",
    [
        spoiled(REQUEST, "020100", "020107"),
        spoiled(REQUEST, P256, NO_CURVE),
        spoiled(REQUEST, POINT.hex(), NO_POINT.hex()),
        spoiled(REQUEST, SIGNED, NO_SIGNED),
        spoiled(REQUEST, "0c026e31", "0c02ff31"),
    ],
)
def test_a_request_that_cannot_be_read_is_told_as_none(request_: bytes) -> None:
    with pytest.raises(AuthorityError, match=r"not a certificate request|not signed by its own"):
        authorities.requested(request_, "n1")


@pytest.mark.parametrize(("old", "new"), [("020101", "020107"), (SIGNED, NO_SIGNED)])
def test_a_list_that_cannot_be_read_is_none(old: str, new: str) -> None:
    assert AUTHORITY.listed(spoiled(AUTHORITY.revocation_list([], NOW), old, new)) is None


def test_an_authority_that_has_ended_signs_nothing() -> None:
    late = facts(AUTHORITY.certificate).not_after
    with pytest.raises(AuthorityError, match="the authority ended at "):
        AUTHORITY.node(REQUEST, "n1", late)
    with pytest.raises(AuthorityError, match="the authority ended at "):
        AUTHORITY.server(["hub"], late)


def test_both_ends_agree_on_the_proof_of_a_token() -> None:
    assert authorities.proof(token_hash("secret"), REQUEST) == enrol.proof_of("secret", REQUEST)
    assert authorities.proof(token_hash("other"), REQUEST) != enrol.proof_of("secret", REQUEST)
