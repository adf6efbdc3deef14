"""Certificates by which the machines of one cloud know each other: two authorities, one for controllers and one for hosts,
so that a host's certificate opens no other host.

Keys are elliptic (P-256) and never leave the machine that made them; what travels is a request (PKCS #10, RFC 2986)."""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 7300
"""How long an authority lives."""
SKEW = datetime.timedelta(hours=1)
"""By how much clocks of machines may differ."""


class BadCertificate(Exception):
    """What was sent is no certificate, key or request that can be used; the message says why."""


class Identity:
    """The files by which a machine proves who it is, in one folder: `key.pem`, `certificate.pem`, and `trusted.pem`, the
    authority by which it knows its peers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.certificate = folder / "key.pem", folder / "certificate.pem"
        self.trusted = folder / "trusted.pem"

    def request(self, name: str) -> bytes:
        """A request for a certificate of this name, PEM. Makes the key at the first call."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.key.exists():
            write_private(self.key, _pem(ec.generate_private_key(ec.SECP256R1())))
        key = _load_key(self.key)
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(_name(name))
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def keep(self, certificate: bytes, trusted: bytes) -> None:
        """Keep what an authority gave. The certificate comes last: where it is, the rest is."""
        write_private(self.trusted, trusted)
        write_private(self.certificate, certificate)

    def expires_at(self) -> float:
        """When the certificate ends, in seconds since the epoch; 0 when there is none."""
        if not self.certificate.exists():
            return 0.0
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).not_valid_after_utc.timestamp()

    def server_context(self, *, strangers: bool = False) -> ssl.SSLContext:
        """For who answers. `strangers`: whether a peer without a certificate may speak at all."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.trusted))
        context.verify_mode = ssl.CERT_OPTIONAL if strangers else ssl.CERT_REQUIRED
        return self._ours(context)

    def client_context(self, trusted: Path | None = None) -> ssl.SSLContext:
        """For who asks; `trusted`: another authority than that of its peers."""
        return self._ours(ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(trusted or self.trusted)))

    def _ours(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Signs requests. Its folder holds `authority.key` (which nobody else has) and `authority.pem`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._key, self.file = folder / "authority.key", folder / "authority.pem"

    def ensure(self, now: float) -> None:
        """Have it. The certificate comes last: where it is, the key is."""
        if self.file.exists():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._key.exists():
            write_private(self._key, _pem(ec.generate_private_key(ec.SECP256R1())))
        key = _load_key(self._key)
        builder = _certificate(self.name, self.name, key.public_key(), now, AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        write_private(self.file, _pem_of(builder.sign(key, hashes.SHA256())))

    def certificate(self) -> bytes:
        """Its own certificate, PEM."""
        return self.file.read_bytes()

    def sign(self, request: bytes, name: str, now: float, days: int) -> bytes:
        """A certificate of `name` for the key in the request, whatever else the request asks for. Raises
        `BadCertificate`."""
        asked = _load_request(request)
        public = asked.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise BadCertificate("The key must be an elliptic one on P-256.")
        builder = _certificate(name, self.name, public, now, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return _pem_of(builder.sign(_load_key(self._key), hashes.SHA256()))


def key_digest(request: bytes) -> str:
    """SHA-256 of the public key in a request, in hexadecimal. Raises `BadCertificate`."""
    public = _load_request(request).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a PEM certificate, in hexadecimal. Raises `BadCertificate`."""
    try:
        return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()
    except ValueError as no:
        raise BadCertificate(f"This is not a certificate: {no}.") from None


def write_private(path: Path, content: bytes) -> None:
    """Have the file with this content, whole or not at all, readable by its owner alone."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _load_request(request: bytes) -> x509.CertificateSigningRequest:
    try:
        asked = x509.load_pem_x509_csr(request)
        valid = asked.is_signature_valid
    except Exception as no:  # whatever its parser says of what a stranger sent
        raise BadCertificate(f"This is not a certificate request: {no}.") from None
    if not valid:
        raise BadCertificate("The request is not signed by its own key.")
    return asked


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # we made it
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, now: float, days: int
) -> x509.CertificateBuilder:
    at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - SKEW)
        .not_valid_after(at + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
