"""A PBX that only talks: accepts an AMI login, lists nothing, and streams events when pinged.

``python -m tests.bench.source EVENTS`` prints its port and serves until it is ended.
"""

import re
import socket
import sys

from tests.bench.stream import stream

_ACTION = re.compile(rb"(?im)^Action: (\w+)\r$")
_ACTION_ID = re.compile(rb"(?im)^ActionID: (\S+)\r$")
_LISTS = {b"status": b"StatusComplete", b"bridgelist": b"BridgeListComplete"}


def main(events: int) -> None:
    """Serve one client after the other."""
    blocks = list(stream(events))
    total = sum(block.count(b"\r\n\r\n") for block in blocks)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], total, flush=True)
        while True:
            client, _ = server.accept()
            with client:
                try:
                    _serve(client, blocks)
                except OSError:
                    continue


def _serve(client: socket.socket, blocks: list[bytes]) -> None:
    client.sendall(b"Asterisk Call Manager/11.0.0\r\n")
    rest = b""
    while data := client.recv(65536):
        *actions, rest = (rest + data).split(b"\r\n\r\n")
        for action in actions:
            _answer(client, action + b"\r\n", blocks)


def _answer(client: socket.socket, action: bytes, blocks: list[bytes]) -> None:
    if action.lower().startswith(b"action: ping\r"):
        for block in blocks:
            client.sendall(block)
    client.sendall(reply(action))


def reply(action: bytes) -> bytes:
    """What a PBX without a channel says to an action, which ends with its last line's end."""
    name, found = _ACTION.search(action), _ACTION_ID.search(action)
    if name is None:
        return b""
    action_id = b"ActionID: " + found[1] + b"\r\n" if found else b""
    said = b"Response: Success\r\n" + action_id + b"Message: fine\r\n\r\n"
    if end := _LISTS.get(name[1].lower()):
        said += b"Event: " + end + b"\r\n" + action_id + b"ListItems: 0\r\n\r\n"
    return said


if __name__ == "__main__":
    main(int(sys.argv[1]))
