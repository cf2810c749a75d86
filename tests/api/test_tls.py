"""HTTPS by real handshakes: what is spoken, what is refused, and another certificate on the way."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from bridge.api import CertificateError, Tls, read_certificate

from .house import LIMIT, TOKENS, served


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    @classmethod
    def issued(cls, folder: Path, name: str, leaf: trustme.LeafCert) -> "Pair":
        pair = cls(folder / f"{name}.crt", folder / f"{name}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(pair.key)
        return pair


@dataclass
class Shop:
    """A service over TLS, with a certificate and another of the same authority."""

    authority: trustme.CA
    first: Pair
    second: Pair
    tls: Tls
    url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    async def shake(self, context: ssl.SSLContext) -> "Hand":
        """Shake hands."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname="localhost"
        )
        return Hand(reader, writer)


@dataclass
class Hand:
    """A connection over TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def serial(self) -> str:
        """The serial number of the certificate shown."""
        return str(self.writer.get_extra_info("peercert")["serialNumber"])

    @property
    def end(self) -> ssl.SSLObject:
        found = self.writer.get_extra_info("ssl_object")
        assert isinstance(found, ssl.SSLObject)
        return found

    async def status(self, token: str) -> int:
        """The answer to a list request."""
        self.writer.write(
            b"GET /uapi/phoneCalls/@me/@self HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + token.encode() + b"\r\n\r\n"
        )
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")]
        await self.reader.readexactly(int(length[0].split(b":")[1]))
        return int(head.split()[1])

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    authority = trustme.CA()
    first = Pair.issued(tmp_path, "first", authority.issue_cert("localhost"))
    second = Pair.issued(tmp_path, "second", authority.issue_cert("localhost"))
    tls = Tls(read_certificate(first.certificate, first.key))
    found = Shop(authority, first, second, tls)
    async with served(tls=tls) as (found.url, _, _):
        yield found


def token() -> str:
    return TOKENS.issue("lab-app", time.time())


# Spoken


async def test_a_client_that_trusts_the_authority_is_served(shop: Shop) -> None:
    connector = aiohttp.TCPConnector(ssl=shop.trusting())
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        aiohttp.ClientSession(connector=connector, timeout=LIMIT, headers=headers) as http,
        http.get(shop.url + "/uapi/phoneCalls/@me/@self") as answer,
    ):
        assert answer.status == 503


async def test_a_client_that_does_not_is_not(shop: Shop) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await shop.shake(ssl.create_default_context())


@pytest.mark.parametrize(
    ("version", "spoken"),
    [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
async def test_both_modern_versions(shop: Shop, version: ssl.TLSVersion, spoken: str) -> None:
    context = shop.trusting()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    hand = await shop.shake(context)
    cipher = hand.end.cipher()
    assert cipher is not None
    assert cipher[1] == spoken
    assert hand.end.selected_alpn_protocol() == "http/1.1"
    assert await hand.status(token()) == 503
    await hand.close()


@pytest.mark.parametrize("cipher", ["ECDHE+AES128+AESGCM", "ECDHE+AES256+AESGCM", "ECDHE+CHACHA20"])
async def test_suites_of_tls_1_2_with_forward_secrecy(shop: Shop, cipher: str) -> None:
    context = shop.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    hand = await shop.shake(context)
    await hand.close()


# Refused


def lenient(pair: Pair) -> ssl.SSLContext:
    """A server that speaks whatever OpenSSL can, to show that a client can as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def shakes(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Have both shake hands in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(4):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            ends.remove(end)
    return not ends


async def refused(shop: Shop, context: ssl.SSLContext) -> None:
    """Nobody speaks with that client here, though somebody else would."""
    assert shakes(context, lenient(shop.first))
    assert not shakes(context, shop.tls.context)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await shop.shake(context)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_versions_of_the_past_are_refused(shop: Shop, version: ssl.TLSVersion) -> None:
    context = shop.trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    await refused(shop, context)


@pytest.mark.parametrize(
    "cipher",
    ["AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA"],
)
async def test_suites_without_forward_secrecy_or_authenticated_encryption_are_refused(
    tmp_path: Path, shop: Shop, cipher: str
) -> None:
    leaf = shop.authority.issue_cert("localhost", key_type=trustme.KeyType.RSA)
    shop.first = Pair.issued(tmp_path, "rsa", leaf)
    shop.tls.take(read_certificate(shop.first.certificate, shop.first.key))
    context = shop.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    await refused(shop, context)


@pytest.mark.parametrize(
    "words", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x00\x00", b"\x00" * 100]
)
async def test_what_is_no_tls_is_turned_away_without_a_word_in_the_log(
    shop: Shop, words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(words)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    assert b"HTTP" not in answer
    writer.close()
    hand = await shop.shake(shop.trusting())
    assert await hand.status(token()) == 503
    await hand.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Another certificate


async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(shop: Shop) -> None:
    old = await shop.shake(shop.trusting())
    assert await old.status(token()) == 503
    shop.tls.take(read_certificate(shop.second.certificate, shop.second.key))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = shop.trusting()
        context.minimum_version = context.maximum_version = version
        new = await shop.shake(context)
        assert new.serial != old.serial
        assert await new.status(token()) == 503
        await new.close()
    assert await old.status(token()) == 503
    await old.close()
    shop.tls.take(read_certificate(shop.first.certificate, shop.first.key))
    again = await shop.shake(shop.trusting())
    assert again.serial == old.serial
    await again.close()


async def test_also_for_clients_that_name_no_server(shop: Shop) -> None:
    shop.tls.take(read_certificate(shop.second.certificate, shop.second.key))
    named = await shop.shake(shop.trusting())
    context = shop.trusting()
    context.check_hostname = False
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", shop.port, ssl=context, server_hostname=""
    )
    assert Hand(reader, writer).serial == named.serial
    writer.close()
    await named.close()


async def test_a_session_of_the_old_certificate_is_not_resumed_as_the_new_ones(shop: Shop) -> None:
    context = shop.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    hand = await shop.shake(context)
    assert hand.end.session is None or not hand.end.session.has_ticket
    await hand.close()


# As files


def test_a_certificate_and_its_key_may_be_one_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(both)
    assert read_certificate(both, None)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.issued(tmp_path, "pair", trustme.CA().issue_cert("localhost"))


def refusal(pair: Pair) -> str:
    with pytest.raises(CertificateError) as caught:
        read_certificate(pair.certificate, pair.key)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_key_of_another_certificate(pair: Pair, tmp_path: Path) -> None:
    other = Pair.issued(tmp_path, "other", trustme.CA().issue_cert("localhost"))
    said = refusal(Pair(pair.certificate, other.key))
    assert said == f"{other.key}: is not the private key of the certificate in {pair.certificate}"


def test_files_that_are_not_there(pair: Pair, tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert refusal(Pair(none, pair.key)) == f"{none}: No such file or directory"
    assert refusal(Pair(pair.certificate, none)) == f"{none}: No such file or directory"
    assert refusal(Pair(tmp_path, pair.key)) == f"{tmp_path}: Is a directory"


def test_files_that_hold_something_else(pair: Pair) -> None:
    said = refusal(Pair(pair.key, pair.certificate))
    assert said == f"{pair.key}: holds no certificate in PEM"
    said = refusal(Pair(pair.certificate, pair.certificate))
    assert said == f"{pair.certificate}: holds no private key in PEM"
    key = pair.key.read_text()
    pair.key.write_text(key[:100] + "!" + key[101:])
    assert refusal(pair).startswith(f"{pair.certificate} and {pair.key}: no certificate and priv")


def test_a_key_with_a_password(pair: Pair) -> None:
    text = pair.key.read_text().replace("EC PRIVATE", "ENCRYPTED PRIVATE")
    pair.key.write_text(text.replace("RSA PRIVATE", "ENCRYPTED PRIVATE"))
    assert refusal(pair) == f"{pair.key}: the private key has a password; it must have none"
