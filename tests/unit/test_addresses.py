"""Whose request it is, behind proxies that are trusted and proxies that are not."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.addresses import Proxies, parsed

NOBODY = Proxies()
TRUSTED = Proxies([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("127.0.0.1")])

ADDRESSES = st.ip_addresses().filter(lambda address: not address.is_private).map(str)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, 10.2.3.4,10.0.0.9"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.7, 10.0.0.9"], "192.0.2.7"),
        ("10.0.0.1", ["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        ("10.0.0.1", ["192.0.2.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, nonsense, 10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["192.0.2.7, "], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7:50123"], "192.0.2.7"),
        ("10.0.0.1", ["[2001:DB9::1]:50123"], "2001:db9::1"),
        ("10.0.0.1", ["2001:db9::1"], "2001:db9::1"),
        ("10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7"),
        ("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("2001:db8::5", ["192.0.2.7"], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_last_who_is_no_trusted_proxy(peer: str, forwarded: list[str], client: str) -> None:
    assert TRUSTED.client(peer, forwarded) == client


@pytest.mark.parametrize(
    ("peer", "client"), [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("::1", "::1")]
)
def test_without_trusted_proxies_nobodys_word_counts(peer: str, client: str) -> None:
    assert NOBODY.client(peer, ["198.51.100.1"]) == client


@given(ADDRESSES, st.lists(st.text(max_size=40), max_size=5))
def test_what_a_client_writes_before_its_own_address_is_no_matter(
    client: str, made_up: list[str]
) -> None:
    header = ", ".join([*made_up, client])
    assert TRUSTED.client("10.0.0.1", [header, "10.0.0.9"]) == TRUSTED.client("10.0.0.1", [client])


@given(ADDRESSES, st.lists(st.text(max_size=40), max_size=5))
def test_who_connects_himself_cannot_be_anybody_else(client: str, made_up: list[str]) -> None:
    direct = str(parsed(client))
    assert TRUSTED.client(direct, made_up) == direct


@given(st.text(max_size=60))
def test_garbage_is_no_address(garbage: str) -> None:
    found = parsed(f"x{garbage}")
    assert found is None
