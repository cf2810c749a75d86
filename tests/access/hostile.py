"""Requests of somebody who means harm, drawn by lot from a seed: the same ones each time."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import quote

INJECTIONS: Final = (
    "\r\nAction: Originate\r\nChannel: Local/x@y\r\nApplication: System\r\nData: id",
    "\r\n\r\nAction: Command\r\nCommand: core stop now\r\n\r\n",
    *("\nAction: Logoff", "\n\nAction: Logoff\n\n", "\rAction: Ping", "\r", "\n", "\r\n"),
    *("\u2028Action: Ping", "\u2029", "\x85Action: Ping", "\x0bAction: Ping", "\x0c", "\x1e"),
    *("\x00", "\x00Action: Ping", "\x7f", "\x9b", "\u00a0", "\ufeff", "\u202e", "\u200b", "\ud800"),
    *("\udfff", "\ud83d", "\U0001f600", "\uffff", "e\u0301" * 9, "\u0665", "\uff11", "\u0130"),
    *(",WHISPER_BRIDGE_LEG=x", ";tag=1", "${SHELL(id)}", "&PJSIP/0003*211", "|", "^", "~", "@"),
    *("\\", '"', "<", ">", "<1>", "'", "--", "%", "%s%n", "{0}", "{}", "$(id)", "`id`", "../", "/"),
    *("%0d%0aAction: Ping", "\\r\\nAction: Ping", "\\u000d\\u000aAction: Ping", "&#13;&#10;"),
    *("A" * 81, "A" * 300, "A" * 5000, "9" * 41, "9" * 5000, " ", "\t", "", " " * 90, "é" * 41),
)
"""What might end a header of AMI and begin another, or mean something to whoever reads it."""

NUMBERS: Final = (
    *("0003*024", "024", "0003*025", "25", "0003*210", "210", "0003*2100", "0003*650", "0003*099"),
    *("0004*410", "0004*999", "0003*999", "7778888", "3334444", "0003*", "*", "+1", "00", "1e3"),
)
URLS: Final = (
    *("http://x.invalid/", "https://x.invalid/a?b=c", "http://localhost:1/", "http://10.0.0.1/"),
    *("http://127.0.0.1:8480/uapi/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "file:///etc"),
    *("http://169.254.169.254/latest/", "http://u:p@x.invalid/", "http://0x7f.1/", "//x.invalid"),
    *("http://2130706433/", "gopher://127.0.0.1:5038/_Action", "http://x.invalid#@127.0.0.1/"),
)
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "LOCK")
LIST_PARAMETERS: Final = (
    *("count", "startIndex", "filterBy", "filterOp", "filterValue", "sortOrder", "fields"),
    *("accessRequestToken", "phoneNumber", "COUNT", "x", ""),
)
LIST_VALUES: Final = (
    *("0", "1", "5000", "5001", "-1", "1.5", "1e3", "020", "9" * 30, "id", "published", "equals"),
    *("contains", "startsWith", "present", "inArray", "greaterThan", "lessThan", "ascending"),
    *("descending", "id,extension", "id,,", "phoneCallView", "2012-06-27T16:08:55+03:00"),
    *("0000-00-00T00:00:00Z", "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-14:00"),
)
BREAKERS: Final = (
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x"),
    *(b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 99999999", b"Host: y"),
    *(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: websocket", b"Upgrade: h2c"),
    *(b"Sec-WebSocket-Key1: x", b"Expect: 100-continue", b"Expect: \xff", b"X: \x00", b": x", b"x"),
    *(b"X: a\r\n b", b"X : a", b"X: " + b"a" * 9000, b"\r\n".join([b"X: a"] * 200), b"X:\x0b"),
    *(b"Authorization: Bearer x", b"Content-Encoding: gzip", b"Content-Encoding: br"),
)
"""Lines of a head that change where a request ends, or are none."""

FIRST_LINES: Final = (
    *(b"PUT %b HTTP/1.0", b"PUT %b HTTP/0.9", b"PUT %b HTTP/2.0", b"PUT %b", b"%b", b"PUT  %b"),
    *(b"PUT http://x:99999999%b HTTP/1.1", b"PUT http://[::%b HTTP/1.1", b"PUT //%b HTTP/1.1"),
    *(
        b"PUT http://x%b HTTP/1.1",
        b"CONNECT x:1 HTTP/1.1 %b",
        b"OPTIONS * HTTP/1.1 %b",
        b"GET %b\x00",
    ),
    *(
        b"PUT %b\xff HTTP/1.1",
        b"PUT \xe2\x80\xa8%b HTTP/1.1",
        b"PUT :%b HTTP/1.1",
        b"HEAD %b HTTP/1.1",
    ),
    *(b"PUT %b/../x HTTP/1.1", b"PUT /.%b HTTP/1.1", b"PUT %b#x HTTP/1.1", b"pUT %b HTTP/1.1"),
    b"PUT %b" + b"a" * 9000 + b" HTTP/1.1",
)

_NO_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Case:
    """One request: ``raw`` is all of it, ``body`` what it says if it is a PUT in JSON.

    A ``tame`` one is HTTP, and leaves its connection as it was.
    """

    raw: bytes
    method: str
    path: str
    body: bytes = b""
    tame: bool = True


@dataclass(frozen=True)
class Target:
    """What there is to be attacked: a call, as its path names it, and tokens that are good."""

    call_id: str
    tokens: Sequence[str]

    @property
    def call(self) -> str:
        """The path of the call."""
        return f"/uapi/phoneCalls/12/0003*210/{self.call_id}"


class Hostile:
    """Draws requests."""

    def __init__(self, seed: int, target: Target) -> None:
        self._dice = Random(seed)
        self._target = target
        self._kinds: tuple[tuple[Callable[[], Case], int], ...] = (
            (self._bent_whisper, 38),
            (self._bent_body, 14),
            (self._bent_path, 16),
            (self._bent_query, 7),
            (self._bent_headers, 6),
            (self._bent_token_request, 4),
            (self._bent_hook, 6),
            (self._broken, 9),
        )

    def draw(self, count: int) -> list[Case]:
        """That many requests."""
        kinds, weights = zip(*self._kinds, strict=True)
        return [kind() for kind in self._dice.choices(kinds, weights, k=count)]

    # What is sent

    def _bent_whisper(self) -> Case:
        """A whisper with a fault in a field or two, or in none."""
        return self._put(self._written(self._fields()))

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "action": self._one("Whisper", "Whisper", "Whisper", "Monitor", "BargeIn"),
            "sendCallTo": self._one("0003*024", "0003*024", "0003*025", "024", 24),
            "private": self._one(0, 1, "0", "1"),
            "callerId": f"{self._name()} <{self._one('42420042', '+3334444', '0003*024')}>",
            "waitForPickup": self._one("1", 1, 2, "2"),
            "phoneCallViewId": "01",
        }
        for _ in range(self._one(0, 1, 1, 1, 2)):
            name = self._one(*fields)
            fields[name] = self._bent(name, fields[name])
        for name in self._one((), (), (), ("private",), ("callerId",), ("waitForPickup",)):
            fields.pop(name, None)
        return fields

    def _bent(self, name: str, right: object) -> Any:
        text, injected = str(right), self._injection()
        if name == "callerId" and self._dice.random() < 0.5:
            return f"{self._name()}{injected}{self._name()} <{self._one(*NUMBERS)}>"
        return self._one(
            injected,
            text + injected,
            injected + text,
            text[: len(text) // 2] + injected + text[len(text) // 2 :],
            self._one(*NUMBERS),
            self._value(3),
            None,
        )

    def _name(self) -> str:
        return str(
            self._one("John Doe", "Zoë", "名前", "O'Neil, J.", "Иван", "J" * 80, "a.b-c (d)")
        )

    def _bent_body(self) -> Case:
        """A body that is any JSON, or nearly."""
        body = json.dumps(self._value(5)).encode()
        if self._dice.random() < 0.4:
            body = self._damaged(self._written(self._fields()))
        extreme = (b"[" * 50_000, b'{"a":' * 9_000, b"9" * 5_000, b"x" * 70_000, b" " * 66_000)
        return self._put(self._dice.choice(extreme) if self._dice.random() < 0.01 else body)

    def _bent_path(self) -> Case:
        users = ("12", "@me", "@viewer", "@owner", "24", "40", "99", "%40me", "@self")
        extensions = (*NUMBERS, "@self", "0003%2A210")
        calls = (self._target.call_id, "0123456789abcdef0123", "no-call", "")
        parts = [self._part(users), self._part(extensions), self._part(calls)]
        path = "/uapi/phoneCalls/" + "/".join(parts[: self._one(2, 3, 3, 1, 0)])
        path = str(
            self._one(path, path, path, path + "/", path.replace("uapi", "oauth"), "/" + path)
        )
        method = str(self._one("GET", "GET", "PUT", *METHODS))
        return self._case(method, path, body=self._written(self._fields()))

    def _part(self, right: Sequence[str]) -> str:
        part = str(self._one(*right))
        if self._dice.random() < 0.6:
            return part
        bent = self._one(part + self._injection(), self._injection(), self._injection() + part)
        return _in_path(str(bent), self._dice)

    def _bent_query(self) -> Case:
        pairs = [
            f"{self._one(*LIST_PARAMETERS)}="
            + _in_path(str(self._one(*LIST_VALUES, self._injection())), self._dice)
            for _ in range(self._dice.randint(1, 4))
        ]
        path = str(self._one(self._target.call, "/uapi/phoneCalls/@me/@self", "/openapi.json"))
        query = "&".join(pairs) + str(self._one("", "&", "&&=", ";", "%ff=%ff", "?"))
        return self._case("GET", f"{path}?{query}")

    def _bent_hook(self) -> Case:
        """A request to be told of call events, where nothing should be sent or nearly right."""
        fields: dict[str, Any] = {
            "type": self._one(0, "1", 2, 3, "4"),
            "method": self._one(0, 1, "0", "1"),
            "url": self._one(*URLS),
            "status": self._one(0, 1, "1"),
            "note": self._name(),
        }
        if self._dice.random() < 0.5:
            name = self._one(*fields)
            fields[name] = self._one(
                self._injection(), str(fields[name]) + self._injection(), self._value(3), None
            )
        parts = [self._part(("12", "@me", "@owner")), self._part(("0003*210", "210", "@self"))]
        more = [self._part(("0", "1", "5", "x")), self._part(("0123456789abcdef0123", "no-id"))]
        path = "/".join(
            ["/uapi/extensions", *parts, "phoneCallEvents", *more[: self._one(0, 1, 2)]]
        )
        method = str(self._one("POST", "POST", "GET", "PUT", "DELETE", *METHODS))
        query = f"?count={self._one(*LIST_VALUES)}" if method == "GET" else ""
        return self._case(method, quote(path + query, safe="/%*@?=&"), body=self._written(fields))

    def _bent_headers(self) -> Case:
        """Headers that are none of this service's business, and some that are."""
        value = _NO_CONTROLS.sub(b" ", self._injection().encode("utf-8", "surrogatepass"))
        name = self._one(
            *("X-Forwarded-For", "Forwarded", "Cookie", "User-Agent", "Accept", "Range", "Prefer"),
            *("Content-Type", "Content-Encoding", "If-None-Match", "Origin", "Referer", "Via"),
            *("X-HTTP-Method-Override", "X-Original-URL", "Authorization", "Accept-Encoding"),
        )
        if name == "Prefer":
            value = b"wait=1, " + value
        headers = b"%b: %b\r\n" % (str(name).encode(), value[:4000])
        if self._dice.random() < 0.2:
            headers += b"Expect: %b\r\n" % self._one(b"100-continue", b"200-ok")
        body = self._written(self._fields())
        return self._case(self._one("GET", "PUT"), self._target.call, headers=headers, body=body)

    def _bent_token_request(self) -> Case:
        """Never with both id and secret: to compare them takes its time, on purpose."""
        fields = {"grant_type": "client_credentials", self._one("client_id", "client_secret"): "x"}
        name = str(self._one(*fields))
        fields[name] = str(self._one(fields[name], fields[name] + self._injection()))
        body = "&".join(f"{key}={_in_path(value, self._dice)}" for key, value in fields.items())
        kind = self._one(
            b"application/x-www-form-urlencoded", b"application/json", b"text/plain", b""
        )
        return self._case(
            "POST",
            "/oauth/token.php",
            headers=b"Content-Type: %b\r\n" % kind,
            body=str(self._one(body, body + "&" + body, self._injection())).encode(
                "utf-8", "surrogatepass"
            ),
        )

    def _broken(self) -> Case:
        """A good request, damaged as bytes."""
        good = self._put(self._written(self._fields())).raw
        head, blank, body = good.partition(b"\r\n\r\n")
        lot = self._dice.random()
        if lot < 0.4:
            head = self._damaged(head)
        elif lot < 0.6:
            body = self._damaged(body)
        elif lot < 0.9:
            head += b"\r\n" + self._dice.choice(BREAKERS)
        else:
            first, _, rest = head.partition(b"\r\n")
            head = self._dice.choice(FIRST_LINES) % first.split(b" ")[1] + b"\r\n" + rest
        return Case(head + blank + body, "", "", body, tame=False)

    # Of what it is made

    def _put(self, body: bytes) -> Case:
        path = str(
            self._one(self._target.call, self._target.call.replace("12/0003*210", "@me/@self"))
        )
        return self._case("PUT", path, body=body)

    def _case(self, method: str, path: str, headers: bytes = b"", body: bytes = b"") -> Case:
        token = self._one(*self._target.tokens)
        raw = (
            b"%b %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%bContent-Length: %d\r\n\r\n"
        )
        head = raw % (method.encode(), path.encode(), str(token).encode(), headers, len(body))
        return Case(head + body, method, path.partition("?")[0], body)

    def _written(self, fields: Mapping[str, Any]) -> bytes:
        """JSON as one may write it, with one name twice now and then, in some encoding."""
        text = json.dumps(fields, ensure_ascii=self._dice.random() < 0.5)
        if self._dice.random() < 0.02:
            text = text[:-1] + ', "action": "Whisper"}'
        encoding = "utf-8" if self._dice.random() < 0.97 else self._one("utf-16", "utf-32", "utf-7")
        return text.encode(str(encoding), "surrogatepass")

    def _value(self, depth: int) -> Any:
        """Any JSON."""
        if depth == 0 or self._dice.random() < 0.4:
            return self._one(
                *(
                    None,
                    True,
                    False,
                    0,
                    1,
                    -1,
                    10**40,
                    1.5,
                    -0.0,
                    1e308,
                    float("nan"),
                    float("inf"),
                ),
                *("", "Whisper", "Monitor", "BargeIn", "Park", "0003*024", self._injection()),
            )
        if self._dice.random() < 0.4:
            return [self._value(depth - 1) for _ in range(self._dice.randint(0, 3))]
        names = ("action", "sendCallTo", "private", "callerId", "phoneCallViewId", "x", "")
        return {
            str(self._one(*names, self._injection())): self._value(depth - 1)
            for _ in range(self._dice.randint(0, 4))
        }

    def _damaged(self, good: bytes) -> bytes:
        at = self._dice.randrange(len(good) + 1)
        to = min(len(good), at + self._dice.randint(1, 9))
        injected = self._injection().encode("utf-8", "surrogatepass")
        noise = self._dice.randbytes(self._dice.randint(1, 9))
        return bytes(
            self._one(
                good[:at],
                good[:at] + good[to:],
                good[:at] + good[at:to] + good[at:],
                good[:at] + injected + good[at:],
                good[:at] + noise + good[to:],
                good.replace(b"\r\n", b"\n", 1),
                good.replace(b" ", b"  ", 1),
                good.swapcase(),
            )
        )

    def _injection(self) -> str:
        return self._dice.choice(INJECTIONS)

    def _one(self, *values: Any) -> Any:
        return self._dice.choice(values)


def _in_path(text: str, dice: Random) -> str:
    """Percent-encoded, as one may do it right or wrong; never a byte that is not HTTP."""
    raw = text.encode("utf-8", "surrogatepass")[:400]
    style = dice.randrange(5)
    if style == 0:
        return "".join(f"%{byte:02x}" for byte in raw)
    if style == 1:
        return quote(quote(raw))
    if style == 2:
        return quote(raw, safe="*@,:;=+&$!'()~|^{}[]\\\"<>`") or "%"
    if style == 3:
        return quote(raw) + dice.choice(("%", "%0", "%zz", "%c0%af", "%ed%a0%80", "%ff", "%00"))
    return quote(raw)
