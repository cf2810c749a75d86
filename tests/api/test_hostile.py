"""Requests that no client means well: bent, broken, doubled and endless ones, byte for byte."""

import gzip
import json
import logging
import re
from urllib.parse import urlsplit

import pytest

from bridge.api import MAX_BODY
from tests.support.raw_http import RawAnswer, answers, exchange
from tests.support.scene import WHISPER

from .house import DESCRIPTION, House

SECRET = "7778888"
BODY = json.dumps(dict(WHISPER)).encode()
FIRST, LAST = b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n"


async def sent(house: House, *pieces: bytes, leave: bool = False) -> list[RawAnswer]:
    """The answers to bytes on one connection, which ends."""
    where = urlsplit(house.url)
    assert where.hostname
    assert where.port
    return answers(await exchange(where.hostname, where.port, *pieces, leave=leave))


def get(house: House, path: str = "", headers: bytes = b"", last: bytes = LAST) -> bytes:
    """A GET of the agent's calls."""
    return b"GET %b HTTP/1.1\r\n%b%b%b\r\n" % (
        (path or house.path()).encode("latin-1"),
        last,
        token(house),
        headers,
    )


def put(house: House, body: bytes, headers: bytes = b"", *, length: int | None = None) -> bytes:
    """A PUT of the agent's call, with the length of the body unless told otherwise."""
    announced = b"" if length == -1 else b"Content-Length: %d\r\n" % (length or len(body))
    path = house.path(house.call_id).encode()
    return b"PUT %b HTTP/1.1\r\n%b%b%b%b\r\n%b" % (
        path,
        LAST,
        token(house),
        headers,
        announced,
        body,
    )


def token(house: House) -> bytes:
    return b"Authorization: Bearer %b\r\n" % house.token.encode()


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


CHUNKED = b"Transfer-Encoding: chunked\r\n"


def refused(answer: RawAnswer) -> tuple[int, str]:
    """Status and code of an error in the contract's form, with the headers every answer has."""
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
    assert answer.headers["Cache-Control"] == "no-store"
    DESCRIPTION.require(
        DESCRIPTION.document["components"]["schemas"]["Error"], answer.json, "an error"
    )
    return answer.status, answer.code


# What is no HTTP


@pytest.mark.parametrize(
    "raw",
    [
        f"{SECRET}\r\n\r\n".encode(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header 7778888\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: 7778888\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x007778888\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"7778888" * 10_000 + b"\r\n\r\n",
        b"GET /" + b"7778888" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: 7778888\r\n" * 1000 + b"\r\n",
        b"GET 7778888 HTTP/1.1\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: 7778888\r\n\r\n",
        b"GET http://7778888:99999999/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::7778888/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff7778888 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x007778888 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 7778888x\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: -7778888\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 7778888\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    ],
    ids=range(20),
)
async def test_what_is_no_http_is_refused_in_json_and_not_repeated(
    house: House, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (answer,) = await sent(house, raw)
    assert refused(answer) == (400, "request_invalid")
    assert SECRET not in caplog.text + answer.body.decode()
    requests = [vars(record).get("request") for record in caplog.records]
    assert answer.headers["X-Request-Id"] in requests
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("path", ["/uapi/phoneCalls/12/0003*210", "/elsewhere"])
async def test_an_expectation_that_is_unknown(house: House, path: str) -> None:
    (answer,) = await sent(house, get(house, path, b"Expect: the-unexpected\r\n"))
    assert refused(answer) == (417, "request_invalid")


@pytest.mark.parametrize("path", ["/uapi/phoneCalls/12/0003*210", "/elsewhere"])
async def test_an_expectation_that_is_no_text(
    house: House, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    (answer,) = await sent(house, get(house, path, b"Expect: \xed\xa0\xbd\r\n"))
    assert refused(answer) == (400, "request_invalid")
    assert "ERROR" not in caplog.text


# Paths


@pytest.mark.parametrize(
    "bent",
    [
        *("%00", "%0d%0aAction:%20Ping", "%0A", "%u000a", "%zz%f", "%ff", "%c0%af", "%ed%a0%80"),
        *("%E2%80%A8", "%EF%BC%90", "%D9%A0", "%252A210", "*", ";x=1", "'", "%22", "%7B%7D", "%5C"),
    ],
)
async def test_an_extension_that_is_bent(house: House, bent: str) -> None:
    for path in (house.path() + bent, house.path() + bent + "/" + house.call_id):
        (answer,) = await sent(house, get(house, path))
        assert refused(answer) == (400, "extension_invalid")
    assert house.pbx.sent_of_client() == []


@pytest.mark.parametrize(
    "path", ["//x{}", "/.{}", "/uapi/..{}", "/uapi/phoneCalls/../..{}", "{}//", "/%2e%2e{}"]
)
async def test_a_path_that_leads_nowhere(house: House, path: str) -> None:
    (answer,) = await sent(house, get(house, path.format(house.path())))
    assert refused(answer) == (404, "not_found")


@pytest.mark.parametrize("form", ["http://evil.example{}", "{}#fragment", "{}?", "{}?&&=&%ff=%00"])
async def test_a_target_in_another_form(house: House, form: str) -> None:
    (answer,) = await sent(house, get(house, form.format(house.path())))
    assert answer.status == 200


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_old_and_new_clients(house: House, version: bytes) -> None:
    (answer,) = await sent(house, get(house).replace(b"HTTP/1.1", b"HTTP/" + version))
    assert answer.status == 200


async def test_many_requests_at_once_on_one_connection(house: House) -> None:
    each = get(house, last=FIRST)
    got = await sent(house, each * 99 + get(house))
    assert [answer.status for answer in got] == [200] * 100
    *_, last = await sent(house, each, b"garbage\r\n\r\n")
    assert refused(last) == (400, "request_invalid")


# Tokens


async def test_of_two_tokens_none_counts(house: House) -> None:
    good, bad = token(house), b"Authorization: Bearer x\r\n"
    in_query = house.path() + f"?accessRequestToken={house.token}&accessRequestToken=x"
    nobody = b"GET %b HTTP/1.1\r\n%b%b\r\n"
    for raw in (
        nobody % (house.path().encode(), LAST, good + bad),
        nobody % (house.path().encode(), LAST, bad + good),
        nobody % (house.path().encode(), LAST, good + good),
        nobody % (in_query.encode(), LAST, b""),
    ):
        (answer,) = await sent(house, raw)
        assert refused(answer) == (401, "access_denied")


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"\xed\xa0\x80", b"a" * 8000, "\u2028".encode()])
async def test_a_token_that_is_no_text(house: House, bad: bytes) -> None:
    raw = b"GET %b HTTP/1.1\r\n%bAuthorization: Bearer %b\r\n\r\n"
    (answer,) = await sent(house, raw % (house.path().encode(), LAST, bad))
    assert refused(answer) == (401, "access_denied")


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 60_000, b'{"action":' * 6000, b'{"action":"Whisper","x":' + b"9" * 5000 + b"}"),
        *(b"\xef\xbb\xbf" + BODY, BODY.decode().encode("utf-16"), BODY[:-1], BODY + b"\0"),
        *(b'{"action":"Whisper","\\ud800":1}', b'{"action":"Whisper","private":NaN}'),
        b'{"action":"Whisper","callerId":"\xed\xa0\x80 <1>"}',
    ],
    ids=range(10),
)
async def test_a_body_that_is_no_json(house: House, body: bytes) -> None:
    (answer,) = await sent(house, put(house, body))
    assert refused(answer) == (400, "request_invalid")


@pytest.mark.parametrize("huge", ["9" * 4000, "-" + "9" * 4000, "1e999999", "0." + "1" * 4000])
@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("waitForPickup", "pc_timeout_invalid"),
        ("callerId", "pc_callerid_invalid"),
        ("phoneCallViewId", "pc_phonecallview_invalid"),
        ("private", "pc_private_invalid"),
        ("sendCallTo", "pc_sendcallto_invalid"),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
async def test_a_number_that_is_huge(
    house: House, field: str, code: str, huge: str, quote: str
) -> None:
    fields = {**{name: json.dumps(value) for name, value in WHISPER.items()}}
    fields[field] = quote + huge * (2 if quote else 1) + quote
    body = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    (answer,) = await sent(house, put(house, body.encode()))
    assert refused(answer) == (400, code)


async def test_a_body_that_would_unpack_to_gigabytes_is_not_unpacked(house: House) -> None:
    packed = gzip.compress(b" " * 20_000_000)
    assert len(packed) < MAX_BODY
    for body in (packed, gzip.compress(BODY), b"no gzip"):
        (answer,) = await sent(house, put(house, body, b"Content-Encoding: gzip\r\n"))
        assert refused(answer) == (400, "request_invalid")


@pytest.mark.parametrize(
    "kind", [b"text/plain; charset=utf-16", b"multipart/form-data; boundary=x", b"\xff;;=", b""]
)
async def test_whatever_is_said_of_a_body_it_is_read_as_json(house: House, kind: bytes) -> None:
    (answer,) = await sent(house, put(house, BODY, b"Content-Type: %b\r\n" % kind))
    assert answer.status == 202


async def test_a_body_in_chunks(house: House) -> None:
    whole = chunked(BODY[:5], BODY[5:], b"")
    (answer,) = await sent(house, put(house, whole, CHUNKED, length=-1))
    assert answer.status == 202


async def test_a_body_that_is_announced_to_be_too_large_is_not_waited_for(house: House) -> None:
    (answer,) = await sent(house, put(house, b"{", length=MAX_BODY + 1))
    assert refused(answer) == (413, "request_too_large")


async def test_chunks_that_are_none(house: House) -> None:
    head = put(house, b"", CHUNKED, length=-1)
    for pieces in ([head + b"zz\r\n7778888"], [head, b"1\r\n{\r\n", b"zz\r\n7778888"]):
        (answer,) = await sent(house, *pieces)
        assert refused(answer) == (400, "request_invalid")


async def test_a_body_that_ends_before_its_end_is_no_failure_of_ours(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    assert await sent(house, put(house, BODY[:9], length=len(BODY)), leave=True) == []
    assert await sent(house, put(house, b"1000\r\n{", CHUNKED, length=-1), leave=True) == []
    assert (await house.get(house.path())).status == 200
    assert "ERROR" not in caplog.text
    assert "Traceback" not in caplog.text
    assert house.pbx.sent_of_client() == []
