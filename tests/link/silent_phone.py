"""A SIP phone without sound that rings, answers and hangs up: many calls cost next to nothing."""

import re
import secrets
from dataclasses import dataclass

from bridge.lab.asterisk import PHONE_PASSWORD
from bridge.lab.refusal import RefusingPhone

_SDP = "\r\n".join(
    (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=audio 40000 RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "",
    )
)


@dataclass(frozen=True)
class Rung:
    """A call that made the phone ring: its Call-ID and the caller's number on the display."""

    call_id: str
    number: str


class SilentPhone(RefusingPhone):
    """A registered phone that rings, and picks up by itself if it ``answers``.

    Attributes:
        rung: every call there was, each once.
    """

    def __init__(self, number: str, sip_port: int, *, answers: bool = True) -> None:
        super().__init__(number=number, password=PHONE_PASSWORD, sip_port=sip_port, code=0)
        self.answers = answers
        self.rung: list[Rung] = []
        self._ringing: dict[str, str] = {}
        self._talking: dict[str, str] = {}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take in a SIP message (called by asyncio)."""
        text = data.decode(errors="replace")
        method, call_id = text.partition(" ")[0], _header(text, "Call-ID")
        if method == "INVITE":
            self._invited(call_id, text)
            return
        super().datagram_received(data, addr)
        if method == "CANCEL" and call_id in self._ringing:
            self._send(self._answer(self._ringing.pop(call_id), 487, "Request Terminated"))
        elif method == "BYE":
            self._talking.pop(call_id, None)

    def pick_up(self) -> None:
        """Answer every call that rings."""
        for call_id, invite in self._ringing.items():
            self._talking[call_id] = invite
            self._send(self._with_sound(invite))
        self._ringing.clear()

    def hang_up(self) -> None:
        """End every call; one that rings is refused as busy."""
        for invite in self._ringing.values():
            self._send(self._answer(invite, 486, "Busy Here"))
        for invite in self._talking.values():
            self._send(self._bye(invite))
        self._ringing.clear()
        self._talking.clear()

    def _invited(self, call_id: str, invite: str) -> None:
        known = call_id in self._talking
        if not known and call_id not in self._ringing:
            number = re.search(r"sips?:([^@>;]*)", _header(invite, "From"))
            self.rung.append(Rung(call_id, number.group(1) if number else ""))
        if known:
            self._send(self._with_sound(invite))
            return
        self._ringing[call_id] = invite
        self._send(self._answer(invite, 180, "Ringing"))
        if self.answers:
            self.pick_up()

    def _with_sound(self, invite: str) -> str:
        host, port = self._address()
        head = self._answer(invite, 200, "OK").removesuffix("Content-Length: 0\r\n\r\n")
        contact = f"Contact: <sip:{self.number}@{host}:{port}>\r\n"
        kind = f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n\r\n"
        return head + contact + kind + _SDP

    def _bye(self, invite: str) -> str:
        host, port = self._address()
        contact = re.search(r"<([^>]*)>", _header(invite, "Contact"))
        lines = (
            f"BYE {contact.group(1) if contact else ''} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards: 70",
            f"From: {_header(invite, 'To')};tag={self._tag}",
            f"To: {_header(invite, 'From')}",
            f"Call-ID: {_header(invite, 'Call-ID')}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
        )
        return "\r\n".join((*lines, "", ""))


def _header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *([^\r\n]*)", message, re.MULTILINE | re.IGNORECASE)
    return found.group(1) if found else ""
