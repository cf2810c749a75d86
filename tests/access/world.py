"""Three organizations whose numbers are easily mixed up, and calls among them."""

import json
import re
from dataclasses import dataclass
from typing import Final

from tests.support import recordings
from tests.support.clients import SECRET_HASH

END: Final = b"\r\n\r\n"
OUTSIDE: Final = "7778888"


@dataclass(frozen=True)
class Owner:
    """A user: his id and the prefix of his organization."""

    id: str
    prefix: str


@dataclass(frozen=True)
class Line:
    """An extension: its number, its owner, whether it is a phone."""

    number: str
    owner: Owner
    phone: bool = True

    @property
    def short(self) -> str:
        """Its number inside the organization."""
        return self.number.partition("*")[2]


@dataclass(frozen=True)
class Client:
    """An app: its id, its user, and how far it reaches."""

    id: str
    owner: Owner
    reach: str


@dataclass(frozen=True)
class Talk:
    """A call: who calls and who was called, extended numbers or somebody outside."""

    caller: str
    callee: str

    def parties(self) -> set[str]:
        """Both."""
        return {self.caller, self.callee}


PREFIXES: Final = ("0003", "0004", "00030")
"""The last one begins with the first, and with a star in the wrong place would be it."""

OWNERS: Final = tuple(
    Owner(id, prefix)
    for prefix, ids in zip(PREFIXES, (("12", "24"), ("40", "41"), ("120", "m.5")), strict=True)
    for id in ids
)

LINES: Final = tuple(
    Line(f"{owner.prefix}*{short}", owner, phone)
    for owner, shorts in zip(
        OWNERS,
        (
            (("210", True), ("2100", True), ("650", False)),
            (("024", True), ("026", True)),
            (("210", True), ("650", False)),
            (("024", True), ("025", True)),
            (("210", True), ("0210", True)),
            (("024", True),),
        ),
        strict=True,
    )
    for short, phone in shorts
)

CLIENTS: Final = tuple(
    Client(f"{reach}-of-{owner.id}", owner, reach)
    for owner in OWNERS
    for reach in ("user", "organization", "system")
)
PROBE: Final = Client("lab-app", OWNERS[0], "user")
"""The app whose token the process is asked with whether it is up."""

TALKS: Final = (
    Talk(OUTSIDE, "0003*210"),
    Talk("0003*024", "0003*2100"),
    Talk(OUTSIDE, "0004*210"),
    Talk("00030*210", "0004*025"),
    Talk(OUTSIDE, "00030*024"),
)
"""From outside, inside an organization, and between two of them."""


def directory() -> str:
    """All of it as the directory's document."""
    return "\n".join(
        [
            *(
                _table("organizations", id=prefix, name=f"Organization {prefix}", prefix=prefix)
                for prefix in PREFIXES
            ),
            *(_table("users", id=owner.id, organization=owner.prefix) for owner in OWNERS),
            *(
                _table(
                    "extensions",
                    number=line.number,
                    user=line.owner.id,
                    type="phone" if line.phone else "queue",
                )
                for line in LINES
            ),
            *(
                _table(
                    "apps",
                    client_id=client.id,
                    client_secret_hash=SECRET_HASH,
                    user=client.owner.id,
                    reach=client.reach,
                    actions=["list", "whisper", "monitor", "barge", "hangup"],
                )
                for client in (*CLIENTS, PROBE)
            ),
        ]
    )


def _table(table: str, /, **row: str | list[str]) -> str:
    return "\n".join(
        [f"[[{table}]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items()), ""]
    )


def told() -> bytes:
    """What a real PBX told of such calls, until all of them talk."""
    return b"".join(
        _retold(talk, second=str(1_800_000_000 + number)) for number, talk in enumerate(TALKS)
    )


def _retold(talk: Talk, second: str) -> bytes:
    """A recording until the parties talk: of other parties, and at another time."""
    name, caller = ("answered", OUTSIDE) if talk.caller == OUTSIDE else ("extensions", "0003*211")
    text = b"".join(message + END for message in recordings.messages(name, "talking")).decode()
    recorded = re.findall(r"^Uniqueid: (\d+)\.", text, re.MULTILINE)[0]
    # By way of marks: who calls in one may be called in the other.
    for old, new in ((caller, "<caller>"), ("0003*210", "<callee>"), (recorded, second)):
        text = text.replace(old, new)
    text = text.replace("<caller>", talk.caller).replace("<callee>", talk.callee)
    return text.replace("BridgeUniqueid: ", f"BridgeUniqueid: {second}").encode()
