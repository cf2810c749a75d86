"""A raw AMI link that originates exactly what the bridge would, with nothing in between."""

import socket

from bridge.actions import Spy, originate_spy
from bridge.memory import SessionMemo, pack_session
from bridge.model import CallerId, Mode

SECRET = "bench-only"
ENDPOINT = "PJSIP/bench"
CALLER_ID = CallerId("Whisper", "42")
SECONDS = 20


def login(port: int, events: str = "off") -> socket.socket:
    """Open a link as the bridge's AMI user, with these events."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    action = f"Action: Login\r\nUsername: whisper-bridge\r\nSecret: {SECRET}\r\nEvents: {events}"
    link.sendall(action.encode() + b"\r\n\r\n")
    return link


class Raw:
    """Has the supervisor called by a link of its own.

    The PBX gets the bytes that it would get from the bridge, memo included, but for the ids.
    """

    def __init__(self, port: int, target: str, name: str = "raw") -> None:
        self._socket = login(port)
        self._name, self._count = name, 0
        self._headers = _headers(target)

    def call(self) -> None:
        """Have the supervisor called."""
        self._count += 1
        self._socket.sendall(
            f"{self._headers}ChannelId: {self._name}-{self._count}\r\n"
            f"ActionID: {self._name}-{self._count}\r\n\r\n".encode()
        )

    def settle(self) -> None:
        """Read what the PBX said."""
        self._socket.recv(65536)


def _headers(target: str) -> str:
    memo = SessionMemo(
        target=target,
        extension="0003*210",
        supervisor="0003*099",
        caller_name=CALLER_ID.name,
        caller_number=CALLER_ID.number,
        private=False,
        until=1795402470.123,
        others=("1795402445.123",),
        requested=1795402450.123,
        app="lab-app",
        user="12",
        address="127.0.0.1",
        request="0123456789abcdef",
        mode=Mode.WHISPER,
        options="uqwES",
    )
    spy = Spy(target, memo.options)
    action = originate_spy("", ENDPOINT, spy, CALLER_ID, SECONDS, pack_session(memo))
    headers = (item for item in action.headers.items() if item[0] != "ChannelId")
    return "".join(f"{name}: {value}\r\n" for name, value in headers)
