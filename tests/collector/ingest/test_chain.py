"""The company's own authority: taken over with its chain, or refused with the reason."""

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from collector.ingest import ca
from collector.ingest.errors import CaError
from tests.collector.ingest.company import YEAR, Key, Link, link, written
from tests.collector.ingest.test_ca import AT, csr

NOW = dt.datetime.now(dt.UTC)
ROOT = link("Acme root")
SIGNER = link("Acme devices", ROOT)


def adopted(folder: Path, *chain: Link) -> ca.Authority:
    ca.adopt(folder / "ca", *written(folder / "given", *chain))
    return ca.load(folder / "ca")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "RSA"],
)
def test_whoever_believes_the_root_alone_can_check_agents_and_listeners(tmp_path: Path, key: Key) -> None:
    root = link("Acme root", key=key)
    authority = adopted(tmp_path, link("Acme devices", root, key), root)
    (tmp_path / "root.pem").write_bytes(root.pem)
    now = NOW.timestamp()
    agent = authority.sign_agent(csr(ec.generate_private_key(ec.SECP256R1())), "0f3c", now).certificate_pem
    listener = authority.server_certificate(["localhost"], now).chain_pem.decode()
    for name, chain, purpose in (("agent", agent, "sslclient"), ("listener", listener, "sslserver")):
        (tmp_path / name).write_text(chain)
        file, trusted = str(tmp_path / name), str(tmp_path / "root.pem")
        command = ["openssl", "verify", "-CAfile", trusted, "-purpose", purpose, "-untrusted", file, file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_root_is_pinned_and_the_bundle_is_the_whole_chain(tmp_path: Path) -> None:
    authority = adopted(tmp_path, SIGNER, ROOT)
    alone = ca.Authority(ROOT.certificate, ROOT.key)
    assert authority.fingerprint == alone.fingerprint
    assert authority.ca_pem == SIGNER.pem + ROOT.pem
    assert (tmp_path / "ca" / ca.KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_what_ends_first_in_the_chain_is_the_authoritys_end(tmp_path: Path) -> None:
    short = link("Acme root", end=NOW + dt.timedelta(days=10))
    assert adopted(tmp_path, link("Acme devices", short), short).not_after == int((NOW + 10 * YEAR / 365).timestamp())


LIAR = link("Acme root", key=ec.generate_private_key(ec.SECP256R1()))
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ((SIGNER,), r"ends with CN=Acme devices, which CN=Acme root signed; add the certificates up to"),
        ((SIGNER, LIAR), "CN=Acme devices is not signed by CN=Acme root, which follows it"),
        (
            (link("Acme devices", ROOT, ca=False), ROOT),
            r"CN=Acme devices is not a certificate authority's \(CA:FALSE\)",
        ),
        ((link("Acme devices", ROOT, usage=False), ROOT), "CN=Acme devices may not sign certificates"),
        ((link("Acme devices", ROOT, end=NOW - YEAR / 2), ROOT), "CN=Acme devices has ended"),
        ((link("Acme devices", ROOT, key=WEAK), ROOT), "is no key we sign with"),
        ((link("Acme devices", ROOT, key=ec.generate_private_key(ec.SECP521R1())), ROOT), "is no key we sign with"),
        ((SIGNER, *[ROOT] * 6), "holds 7 certificates"),
    ],
)
def test_a_chain_that_would_not_be_believed_is_refused(tmp_path: Path, chain: tuple[Link, ...], reason: str) -> None:
    with pytest.raises(CaError, match=reason):
        adopted(tmp_path, *chain)
    assert not (tmp_path / "ca").exists()


def test_a_root_that_allows_no_authority_below_it_is_refused(tmp_path: Path) -> None:
    narrow = link("Acme root", path_length=0)
    with pytest.raises(CaError, match="CN=Acme root allows only 0 authorities below it"):
        adopted(tmp_path, link("Acme devices", narrow), narrow)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (SIGNER.key_pem(b"secret"), "is encrypted; decrypt it first: openssl pkey -in"),
        (b"rubbish", "is not a private key in PEM"),
        (ROOT.key_pem(), "do not belong together"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(tmp_path: Path, key: bytes, reason: str) -> None:
    with pytest.raises(CaError, match=reason):
        ca.adopt(tmp_path / "ca", *written(tmp_path / "given", SIGNER, ROOT, key=key))


def test_files_that_are_not_there_or_no_certificate_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaError, match=r"Cannot read .*nowhere"):
        ca.adopt(tmp_path / "ca", tmp_path / "nowhere", tmp_path / "nowhere")
    chain, key = written(tmp_path / "given", SIGNER, ROOT)
    chain.write_text("rubbish")
    with pytest.raises(CaError, match="holds no certificate in PEM"):
        ca.adopt(tmp_path / "ca", chain, key)


def test_an_authority_that_stands_is_never_replaced(tmp_path: Path) -> None:
    before = ca.create(tmp_path / "ca", at=AT).fingerprint
    with pytest.raises(CaError, match="exists already"):
        ca.adopt(tmp_path / "ca", *written(tmp_path / "given", SIGNER, ROOT))
    assert ca.load(tmp_path / "ca").fingerprint == before


def test_an_authority_without_a_key_identifier_can_sign(tmp_path: Path) -> None:
    assert not [e for e in SIGNER.certificate.extensions if isinstance(e.value, x509.SubjectKeyIdentifier)]
    made = adopted(tmp_path, SIGNER, ROOT).sign_agent(csr(ec.generate_private_key(ec.SECP256R1())), "0f3c", AT)
    leaf = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    leaf.verify_directly_issued_by(SIGNER.certificate)
