"""HTTPS as an operator sets it up: refused where it is missing, read anew on SIGHUP."""

import re
import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.support.operator import Operator, Serving

AUTHORITY = trustme.CA()


def write(operator: Operator, certificate: str = "tls.crt", key: str = "tls.key") -> None:
    """Write a certificate and a key of its own, under the names they are to have."""
    leaf = AUTHORITY.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    (operator.home / certificate).write_bytes(chain)
    leaf.private_key_pem.write_to_path(operator.home / key)


def set_up(operator: Operator) -> None:
    write(operator)
    operator.settings |= {
        "BRIDGE_TLS_CERT": str(operator.home / "tls.crt"),
        "BRIDGE_TLS_KEY": str(operator.home / "tls.key"),
    }


@pytest.fixture
def secure(operator: Operator) -> Iterator[Serving]:
    set_up(operator)
    with operator.serving() as serving:
        yield serving


def serial(operator: Operator) -> str:
    """The serial number of the certificate the service shows."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    port = int(operator.settings["BRIDGE_HTTP_PORT"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        shown = secured.getpeercert()
    assert shown
    return str(shown["serialNumber"])


def test_it_says_that_it_listens_over_tls(operator: Operator) -> None:
    set_up(operator)
    with operator.serving() as serving:
        assert serving.said.endswith(" over TLS\n")
        assert serial(operator)


def test_a_new_certificate_is_shown_after_sighup(operator: Operator, secure: Serving) -> None:
    first = serial(operator)
    write(operator)
    assert serial(operator) == first
    assert "the certificate is in force" in secure.hang_up("the certificate")
    assert serial(operator) != first


def test_a_broken_pair_keeps_the_old_certificate_and_says_so(
    operator: Operator, secure: Serving
) -> None:
    first = serial(operator)
    write(operator, key="other.key")
    said = secure.hang_up("the certificate")
    assert " ERROR " in said
    key, certificate = operator.home / "tls.key", operator.home / "tls.crt"
    assert f"{key}: is not the private key of the certificate in {certificate}; what" in said
    assert serial(operator) == first
    (operator.home / "other.key").rename(key)
    assert "is in force" in secure.hang_up("the certificate")
    assert serial(operator) != first


@pytest.mark.parametrize("missing", ["tls.crt", "tls.key"])
def test_a_file_that_is_missing_stops_the_start(operator: Operator, missing: str) -> None:
    set_up(operator)
    (operator.home / missing).unlink()
    assert operator.told("serve") == [
        f"whisper-bridge: {operator.home / missing}: No such file or directory"
    ]


def test_a_key_without_a_certificate_stops_the_start(operator: Operator) -> None:
    operator.settings["BRIDGE_TLS_KEY"] = "/key"
    assert operator.told("serve") == [
        "whisper-bridge: BRIDGE_TLS_KEY is set without BRIDGE_TLS_CERT"
    ]


# Beyond loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pbx.example.com"])
def test_plain_http_does_not_leave_the_machine_unasked(operator: Operator, host: str) -> None:
    operator.settings["BRIDGE_HTTP_HOST"] = host
    (line,) = operator.told("serve")
    assert line == (
        f"whisper-bridge: BRIDGE_HTTP_HOST is {host}: beyond loopback tokens need TLS; set"
        " BRIDGE_TLS_CERT and BRIDGE_TLS_KEY, or, behind a proxy that speaks TLS,"
        " BRIDGE_PLAIN_HTTP_BEHIND_PROXY=true"
    )


@pytest.mark.parametrize("secured", [True, False])
def test_behind_a_proxy_or_over_tls_it_may(operator: Operator, secured: bool) -> None:
    """192.0.2.1 is nobody's (RFC 5737): listening there is tried, and fails for that alone."""
    if secured:
        set_up(operator)
    else:
        operator.settings["BRIDGE_PLAIN_HTTP_BEHIND_PROXY"] = "true"
    operator.settings["BRIDGE_HTTP_HOST"] = "192.0.2.1"
    code, _, err = operator.run("serve")
    assert code == 2
    assert "whisper-bridge: cannot listen on 192.0.2.1:8480: " in err
    assert ("only a proxy that speaks TLS may reach it" in err) is not secured


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost"])
def test_on_loopback_plain_http_needs_no_word(operator: Operator, host: str) -> None:
    operator.settings["BRIDGE_HTTP_HOST"] = host
    with operator.serving() as serving:
        assert re.search(r"listening on 127\.[08]\.[08]\.[18]:\d+$", serving.said.rstrip())
