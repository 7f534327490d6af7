import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.ingest import ca
from collector.ingest.errors import CaError, CsrError

AT = 1_800_000_000.0


def csr(key: CertificateIssuerPrivateKeyTypes, *extensions: x509.ExtensionType, name: str = "anything") -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def authority(tmp_path: Path) -> ca.Authority:
    return ca.create(tmp_path / "ca", at=AT)


def issued(authority: ca.Authority, request: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.sign_agent(request, "0f3c", AT).certificate_pem.encode())


def test_an_authority_loads_as_it_was_made(tmp_path: Path, authority: ca.Authority) -> None:
    again = ca.load(tmp_path / "ca")
    assert again.fingerprint == authority.fingerprint
    assert again.fingerprint.startswith("sha256:")
    assert len(again.fingerprint) == 7 + 64
    assert again.not_after == pytest.approx(AT + 3652 * 86400)
    assert (tmp_path / "ca" / "ca-key.pem").stat().st_mode & 0o777 == 0o600


def test_an_authority_is_never_overwritten(tmp_path: Path, authority: ca.Authority) -> None:
    with pytest.raises(CaError, match="exists already"):
        ca.create(tmp_path / "ca", at=AT)
    assert ca.load(tmp_path / "ca").fingerprint == authority.fingerprint


def test_a_key_others_can_read_is_refused(tmp_path: Path, authority: ca.Authority) -> None:
    assert authority.ca_pem
    (tmp_path / "ca" / "ca-key.pem").chmod(0o640)
    with pytest.raises(CaError, match="chmod 600"):
        ca.load(tmp_path / "ca")


def test_a_key_behind_a_symbolic_link_is_refused(tmp_path: Path, authority: ca.Authority) -> None:
    assert authority.ca_pem
    key = tmp_path / "ca" / "ca-key.pem"
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CaError, match="Cannot read"):
        ca.load(tmp_path / "ca")


def test_a_missing_and_a_damaged_authority_are_named(tmp_path: Path, authority: ca.Authority) -> None:
    assert authority.ca_pem
    with pytest.raises(CaError, match="czuwak init"):
        ca.load(tmp_path / "nowhere")
    (tmp_path / "ca" / "ca.pem").write_text("rubbish")
    with pytest.raises(CaError, match="damaged"):
        ca.load(tmp_path / "ca")


def test_a_key_of_another_authority_is_noticed(tmp_path: Path, authority: ca.Authority) -> None:
    assert authority.ca_pem
    ca.create(tmp_path / "other", at=AT)
    (tmp_path / "other" / "ca.pem").replace(tmp_path / "ca" / "ca.pem")
    with pytest.raises(CaError, match="do not belong together"):
        ca.load(tmp_path / "ca")


def test_an_agent_gets_the_fixed_profile(authority: ca.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = authority.sign_agent(csr(key), "0f3c", AT)
    certificate = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    certificate.verify_directly_issued_by(authority.certificate)
    assert ca.agent_of(certificate) == "0f3c"
    assert made.serial == ca.serial_of(certificate)
    assert (made.not_before, made.not_after) == (AT - 86400, AT + 30 * 86400)
    assert certificate.not_valid_after_utc == dt.datetime.fromtimestamp(AT + 30 * 86400, dt.UTC)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_whatever_a_request_asks_for_is_ignored(authority: ca.Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = csr(
        key,
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier("czuwak://agent/another")]),
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        name="czuwak-collector",
    )
    certificate = issued(authority, greedy)
    plain = issued(authority, csr(key))
    assert certificate.subject == plain.subject
    assert list(certificate.extensions) == list(plain.extensions)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    "request_der",
    [
        b"",
        b"rubbish",
        b"\x30" * 9000,
        csr(ec.generate_private_key(ec.SECP384R1())),
        csr(ed25519.Ed25519PrivateKey.generate()),
        csr(rsa.generate_private_key(65537, 2048)),
    ],
)
def test_only_a_p256_key_is_signed(authority: ca.Authority, request_der: bytes) -> None:
    with pytest.raises(CsrError):
        authority.sign_agent(request_der, "0f3c", AT)


def test_a_request_whose_signature_is_wrong_is_refused(authority: ca.Authority) -> None:
    request = bytearray(csr(ec.generate_private_key(ec.SECP256R1())))
    request[-1] ^= 1
    with pytest.raises(CsrError, match="signature"):
        authority.sign_agent(bytes(request), "0f3c", AT)


def test_a_listener_presents_names_addresses_and_the_authority(authority: ca.Authority) -> None:
    made = authority.server_certificate(["czuwak.example", "127.0.0.1", "czuwak.example"], AT)
    leaf, root = x509.load_pem_x509_certificates(made.chain_pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["czuwak.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert root == authority.certificate
    assert made.not_after == AT + 90 * 86400
    assert ca.agent_of(leaf) is None


def test_a_short_certificate_begins_only_a_little_before_it_is_made(tmp_path: Path) -> None:
    ca.create(tmp_path / "ca", at=AT)
    short = ca.load(tmp_path / "ca", agent_seconds=60.0)
    made = short.sign_agent(csr(ec.generate_private_key(ec.SECP256R1())), "0f3c", AT)
    assert (made.not_before, made.not_after) == (AT - 2, AT + 60)


def test_nothing_outlives_the_authority(authority: ca.Authority) -> None:
    late = AT + 3651 * 86400
    made = authority.sign_agent(csr(ec.generate_private_key(ec.SECP256R1())), "0f3c", late)
    assert made.not_after == authority.not_after == authority.server_certificate(["pc1"], late).not_after
