"""Keys and certificates, made by openssl.

Keys are on the curve P-256 unless somebody asks for RSA: every browser takes them, and a small board makes one in
milliseconds, so that what waits for it hardly waits.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence

# openssl reads no configuration but this: the system's may say anything.
BASE = "[req]\ndistinguished_name = name\nprompt = no\nstring_mask = utf8only\n[name]\n"


# Pairs of a field's short name and its text, in order.
Subject = Sequence[tuple[str, str]]


class Failed(Exception):
    """openssl could not do it."""


def openssl(*words: str, data: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["openssl", *words], input=data, capture_output=True, timeout=600)
    except FileNotFoundError:
        raise Failed("openssl is not installed") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"openssl {words[0]} took longer than 10 minutes") from None
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(f"openssl {words[0]}: {last[-1] if last else f'exit code {done.returncode}'}")
    return done.stdout


def make_key(algorithm: str = "ec", bits: int = 2048) -> bytes:
    """A private key in PEM."""
    if algorithm == "rsa":
        return openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                   "-pkeyopt", "ec_param_enc:named_curve")


def _configuration(subject: Subject, extensions: str) -> str:
    fields = "".join(f"{index}.{field} = {text}\n" for index, (field, text) in enumerate(subject))
    return f"{BASE}{fields}[extensions]\n{extensions}"


def _for_server(names: list[str]) -> str:
    alternatives = ",".join(f"DNS:{name}" for name in names)
    return ("basicConstraints = CA:FALSE\nkeyUsage = digitalSignature,keyEncipherment\nextendedKeyUsage = serverAuth\n"
            f"subjectKeyIdentifier = hash\nsubjectAltName = {alternatives}\n")


# openssl takes keys and configurations as files. In memory: a key is on the card only where it belongs.
def _directory() -> tempfile.TemporaryDirectory[str]:
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="clic-first-boot-", dir=place)


def _write(directory: str, name: str, data: bytes) -> str:
    path = os.path.join(directory, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return path


def self_signed(key: bytes, names: list[str], days: int) -> bytes:
    """A server's certificate that vouches for itself, in PEM."""
    with _directory() as directory:
        conf = _write(directory, "conf", _configuration([("CN", names[0][:64])], _for_server(names)).encode())
        return openssl("req", "-new", "-x509", "-sha256", "-config", conf, "-extensions", "extensions",
                       "-key", _write(directory, "key", key), "-days", str(days), "-set_serial", _serial())


def authority(key: bytes, subject: Subject, days: int) -> bytes:
    """The certificate of a certification authority, in PEM."""
    extensions = "basicConstraints = CA:TRUE\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid:always\n"
    with _directory() as directory:
        conf = _write(directory, "conf", _configuration(subject, extensions).encode())
        return openssl("req", "-new", "-x509", "-sha256", "-config", conf, "-extensions", "extensions",
                       "-key", _write(directory, "key", key), "-days", str(days), "-set_serial", _serial())


def signed(key: bytes, names: list[str], days: int, authority_key: bytes, authority_certificate: bytes) -> bytes:
    """A server's certificate that an authority vouches for, in PEM."""
    extensions = f"{_for_server(names)}authorityKeyIdentifier = keyid,issuer\n"
    with _directory() as directory:
        conf = _write(directory, "conf", _configuration([("CN", names[0][:64])], extensions).encode())
        request = openssl("req", "-new", "-sha256", "-config", conf, "-key", _write(directory, "key", key))
        return openssl(
            "x509", "-req", "-sha256", "-in", _write(directory, "request", request), "-days", str(days),
            "-CA", _write(directory, "ca", authority_certificate), "-CAkey", _write(directory, "ca-key", authority_key),
            "-set_serial", _serial(), "-extfile", conf, "-extensions", "extensions")


def _serial() -> str:
    # At least 64 random bits (CA/Browser Forum, Baseline Requirements 7.1), at most 20 bytes and positive (RFC 5280).
    return f"0x{os.urandom(16).hex()}"
