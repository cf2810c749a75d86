"""The TLS that is spoken with clients: modern only, with a certificate that can be replaced.

Modern is what RFC 9325 recommends: TLS 1.3, and of TLS 1.2 the suites with forward secrecy and
authenticated encryption.
"""

import ssl
from pathlib import Path
from typing import Final

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
"""Of TLS 1.2 (those of 1.3 are all good); level 2 refuses keys of less than 112 bits' strength."""

_LONGEST = 1024 * 1024
"""Bytes of a file of certificates or keys that are read."""


class CertificateError(Exception):
    """A certificate cannot be used; as text, one line for the operator without any key."""


def read_certificate(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Read a certificate with its chain, and its key (None: from the same file), all in PEM.

    Raises CertificateError.
    """
    _look(certificate, "CERTIFICATE")
    _look(key or certificate, "PRIVATE KEY")
    context = _modern()
    try:
        # Without a password OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise CertificateError(_why(error, certificate, key or certificate)) from error
    except OSError as error:
        raise CertificateError(f"{certificate}: {error.strerror or error}") from error
    return context


class Tls:
    """The service's end of TLS; ``context`` is what a server listens with.

    Each new connection gets the certificate that is in force at its handshake.
    """

    def __init__(self, certificate: ssl.SSLContext) -> None:
        """Take the first certificate, as read."""
        self._in_force = certificate
        self.context = certificate
        # Called in every handshake, whether the client names a server or not.
        self.context.sni_callback = self._choose

    def take(self, certificate: ssl.SSLContext) -> None:
        """Put another certificate into force."""
        self._in_force = certificate

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        if self._in_force is not self.context:
            connection.context = self._in_force


def _modern() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # A ticket of TLS 1.2 is only as secret as the key of all tickets (RFC 9325, section 3.4).
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    return context


def _look(path: Path, wanted: str) -> None:
    """Check that a file has what it should; OpenSSL would not say which file has not."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("latin-1")
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from error
    if f"{wanted}-----" not in text:
        raise CertificateError(f"{path}: holds no {wanted.lower()} in PEM")
    if wanted == "PRIVATE KEY" and "ENCRYPTED" in text:
        raise CertificateError(f"{path}: the private key has a password; it must have none")


def _why(error: ssl.SSLError, certificate: Path, key: Path) -> str:
    reason = error.reason or ""
    if reason == "KEY_VALUES_MISMATCH":
        return f"{key}: is not the private key of the certificate in {certificate}"
    if reason.endswith(("TOO_SMALL", "TOO_WEAK")):
        return f"{certificate}: {reason.lower().replace('_', ' ')}: too weak for today"
    return f"{certificate} and {key}: no certificate and private key in PEM ({reason or 'damaged'})"
