"""A SIP phone that refuses every call, with the answer one chooses.

baresip 1.0.0 can refuse as busy (486) only; people also decline (603), are away (480), or have a
phone that knows no common codec (488). This one registers like any phone and speaks SIP over UDP
(RFC 3261), but has no sound.
"""

import asyncio
import hashlib
import re
import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bridge.lab.errors import LabError
from bridge.lab.waiting import Journal

_REASONS = {
    404: "Not Found",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    603: "Decline",
}


@dataclass(frozen=True)
class RefusedCall:
    """A call that was refused: the caller as the INVITE names him, and the Call-ID."""

    name: str
    number: str
    call_id: str


class RefusingPhone(asyncio.DatagramProtocol):
    """A registered phone that answers every INVITE with `code`.

    Use `async with RefusingPhone(…) as phone:`, which registers it and takes it off again.

    Attributes:
        number: its number.
        code: the SIP status it refuses calls with; may be changed at any time.
        calls: the calls it has refused.
    """

    def __init__(self, *, number: str, password: str, sip_port: int, code: int) -> None:
        """Describe the phone; nothing is sent yet.

        Args:
            number: its number, which is also its SIP user name.
            password: its SIP password.
            sip_port: Asterisk's UDP port on 127.0.0.1.
            code: a final SIP status from 400 on, e.g. 603.
        """
        self.number = number
        self.code = code
        self.calls: Journal[RefusedCall] = Journal()
        self._password = password
        self._server = ("127.0.0.1", sip_port)
        self._responses: Journal[str] = Journal()
        self._transport: asyncio.DatagramTransport | None = None
        self._call_id = secrets.token_hex(8)
        self._tag = secrets.token_hex(4)
        self._sent = 0

    async def __aenter__(self) -> Self:
        """Register."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it off again."""
        await self.stop()

    async def start(self) -> None:
        """Register with Asterisk.

        Raises:
            LabError: Asterisk refused or did not answer.
        """
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        await self._register(expires=3600)

    async def stop(self) -> None:
        """Take the registration back and close."""
        if self._transport is None:
            return
        try:
            await self._register(expires=0)
        finally:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take in a SIP message (called by asyncio)."""
        text = data.decode(errors="replace")
        method = text.partition(" ")[0]
        if method == "SIP/2.0":
            self._responses.add(text)
        elif method == "INVITE":
            self._refuse(text)
        elif method != "ACK":
            self._send(self._answer(text, 200, "OK"))

    # Inside

    def _refuse(self, invite: str) -> None:
        name, number = _caller(_header(invite, "From"))
        call = RefusedCall(name, number, _header(invite, "Call-ID"))
        # A retransmission is the same call.
        if call not in self.calls.entries:
            self.calls.add(call)
        self._send(self._answer(invite, self.code, _REASONS.get(self.code, "Refused")))

    def _answer(self, request: str, code: int, reason: str) -> str:
        vias = re.findall(r"^Via: .*$", request.replace("\r", ""), re.MULTILINE)
        return _message(
            f"SIP/2.0 {code} {reason}",
            *vias,
            f"From: {_header(request, 'From')}",
            f"To: {_header(request, 'To')};tag={self._tag}",
            f"Call-ID: {_header(request, 'Call-ID')}",
            f"CSeq: {_header(request, 'CSeq')}",
        )

    async def _register(self, *, expires: int) -> None:
        response = await self._ask(expires, "")
        if response.startswith("SIP/2.0 401"):
            response = await self._ask(expires, self._credentials(response))
        if not response.startswith("SIP/2.0 200"):
            raise LabError(f"{self.number} may not register: {response.partition(chr(13))[0]}")

    async def _ask(self, expires: int, credentials: str) -> str:
        self._sent += 1
        me = f"sip:{self.number}@{self._server[0]}:{self._server[1]}"
        host, port = self._address()
        request = _message(
            f"REGISTER sip:{self._server[0]}:{self._server[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards: 70",
            f"From: <{me}>;tag={self._tag}",
            f"To: <{me}>",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._sent} REGISTER",
            f"Contact: <sip:{self.number}@{host}:{port}>",
            f"Expires: {expires}",
            *([credentials] if credentials else []),
        )
        self._send(request)
        cseq = f"{self._sent} REGISTER"
        return await self._responses.wait(
            lambda r: _header(r, "CSeq") == cseq and not r.startswith("SIP/2.0 1"),
            f"an answer to the registration of {self.number}",
            within=3,
        )

    def _credentials(self, challenge: str) -> str:
        """Return the Authorization header for a challenge (RFC 2617 without qop, as in RFC 2069).

        Asterisk takes that too, though it offers qop.
        """
        asked = dict(re.findall(r'(\w+)="([^"]*)"', _header(challenge, "WWW-Authenticate")))
        uri = f"sip:{self._server[0]}:{self._server[1]}"
        realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
        who = _md5(f"{self.number}:{realm}:{self._password}")
        proof = _md5(f"{who}:{nonce}:{_md5(f'REGISTER:{uri}')}")
        fields = {
            "username": self.number,
            "realm": realm,
            "nonce": nonce,
            "uri": uri,
            "response": proof,
            "opaque": asked.get("opaque", ""),
        }
        return "Authorization: Digest " + ", ".join(f'{k}="{v}"' for k, v in fields.items())

    def _address(self) -> tuple[str, int]:
        if self._transport is None:
            raise LabError(f"{self.number} is not started")
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def _send(self, message: str) -> None:
        if self._transport is not None:
            self._transport.sendto(message.encode(), self._server)


def _message(*lines: str) -> str:
    return "\r\n".join((*lines, "Content-Length: 0", "", ""))


def _header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *([^\r\n]*)", message, re.MULTILINE | re.IGNORECASE)
    return found.group(1) if found else ""


def _caller(sender: str) -> tuple[str, str]:
    """Return name and number of a From header such as `"John Doe" <sip:3334444@host>;tag=1`."""
    name = re.match(r'"((?:[^"\\]|\\.)*)"|([^<"]*)<', sender)
    number = re.search(r"sips?:([^@>;]*)", sender)
    shown = (name.group(1) or name.group(2) or "").strip() if name else ""
    return re.sub(r"\\(.)", r"\1", shown), number.group(1) if number else ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
