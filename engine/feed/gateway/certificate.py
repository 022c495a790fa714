"""A certificate for one's own machine: the vendor's client speaks HTTPS only, so the loopback gateway must."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.files import write_atomic

LOOPBACK: Final = "127.0.0.1"
_VALID: Final = timedelta(days=7)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a fresh certificate for 127.0.0.1 and localhost, and its key, which only its owner reads; their paths.

    It can sign no other certificate, so that to trust it is to trust this gateway and nothing else.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spymaster loopback gateway")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK)), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "gateway.pem", folder / "gateway.key"
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomic(key_path, plain, 0o600)
    write_atomic(certificate_path, certificate.public_bytes(pem))
    return certificate_path, key_path
