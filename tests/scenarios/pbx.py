"""The PBX of a world: the lab's configuration, and in it the phones and services of every cast."""

from dataclasses import dataclass
from pathlib import Path

from bridge.lab import packages
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, render
from bridge.lab.ports import Ports
from tests.support.clients import SECRET_HASH

CASTS = (3, 4, 5)
"""The casts that play side by side; the number is a digit in all their extensions."""

ROLES = {
    "agent": "0003*{}10",
    "colleague": "0003*{}100",
    "supervisor": "0003*{}24",
    "deputy": "0003*{}25",
    "busy": "0003*{}26",
    "customer": "777{}001",
    "stranger": "777{}002",
}
"""Who is who in a cast. The colleague's number begins with the agent's: never to be mixed up.
Customer and stranger are outside: behind a trunk, or on peers of their own with chan_sip."""

INSIDE = ("agent", "colleague", "supervisor", "deputy", "busy")
OUTSIDE = ("customer", "stranger")
NAMES = (
    "Анна Каренина",
    "محمد بن عبد الله",
    "王小明",
    'Joe "Big" O\'Brien',
    "C:\\temp\\new \\\\ end",
)
"""Caller names that make trouble."""


@dataclass(frozen=True)
class Kind:
    """A version of Asterisk and a channel technology."""

    asterisk: str
    technology: str

    def __str__(self) -> str:
        return f"{self.asterisk}-{self.technology.lower()}"

    def trunk(self, cast: int, number: str) -> str:
        """The endpoint through which somebody outside comes and is reached."""
        return f"itsp-{cast}" if self.technology == "PJSIP" else number


KINDS = (Kind("22", "PJSIP"), Kind("16", "PJSIP"), Kind("16", "SIP"))


def number(role: str, cast: int) -> str:
    """The number of somebody in a cast."""
    return ROLES[role].format(cast)


async def a_pbx(kind: Kind, run_dir: Path, secret: str) -> Asterisk:
    """Start an Asterisk with every cast's phones and services."""
    build = await packages.asterisk(kind.asterisk, print)
    pbx = Asterisk(build, run_dir, Ports.free())
    render(build, pbx.run_dir, pbx.ports, secret)
    for name, text in _added(kind).items():
        with (pbx.run_dir / "etc" / name).open("a") as file:
            file.write(f"\n{text}")
    await pbx.boot()
    return pbx


def directory(kind: Kind) -> str:
    """The bridge's directory: per cast a user with the agents and one with the supervisors."""
    people = _ORGANIZATION + "".join(_people(kind, cast) for cast in CASTS)
    return people.replace("@HASH@", SECRET_HASH)


def client_id(cast: int) -> str:
    """The app of a cast."""
    return f"cast-{cast}"


def _people(kind: Kind, cast: int) -> str:
    text = _USERS.format(cast=cast)
    for role in INSIDE:
        user = f"{cast}1" if role in ("agent", "colleague") else f"{cast}2"
        text += _EXTENSION.format(
            number=number(role, cast), user=user, kind=kind.technology, name=role.title()
        )
        text += AUTO_ANSWER if role == "deputy" else ""
    return text


def _added(kind: Kind) -> dict[str, str]:
    phones = _PJSIP if kind.technology == "PJSIP" else _SIP
    return {
        "modules.conf": _MODULES,
        "extensions.conf": _DIALPLAN.replace("@TECH@", kind.technology).replace(
            "@TRUNK@", _TRUNK if kind.technology == "PJSIP" else "SIP/${EXTEN}"
        ),
        "queues.conf": "".join(_QUEUES.format(tech=kind.technology, cast=c) for c in CASTS),
        "pjsip.conf" if phones is _PJSIP else "sip.conf": "".join(phones(c) for c in CASTS),
    }


def _pjsip(cast: int) -> str:
    inside = (_PJSIP_PHONE.format(number=number(role, cast), name=role.title()) for role in INSIDE)
    customers = [number(role, cast) for role in OUTSIDE]
    outside = "".join(f"[{customer}](location)\n" for customer in customers)
    return "".join(inside) + _PJSIP_TRUNK.format(cast=cast, aors=",".join(customers)) + outside


def _sip(cast: int) -> str:
    rows = [(number(role, cast), "cast-phones", role.title()) for role in INSIDE]
    rows += [(number(role, cast), "cast-trunk", "") for role in OUTSIDE]
    return "".join(
        _SIP_PHONE.format(number=phone, context=context, password=PHONE_PASSWORD)
        + (f'callerid = "{name}" <{phone}>\n' if name else "")
        for phone, context, name in rows
    )


_PJSIP, _SIP = _pjsip, _sip

_ORGANIZATION = """
[[organizations]]
id = "3"
name = "Default Organization"
prefix = "0003"

[[users]]
id = "1"
organization = "3"

[[apps]]
client_id = "lab-app"
client_secret_hash = "@HASH@"
user = "1"
reach = "organization"
actions = ["list", "whisper", "monitor", "barge", "hangup"]
"""

_USERS = """
[[users]]
id = "{cast}1"
organization = "3"

[[users]]
id = "{cast}2"
organization = "3"

[[apps]]
client_id = "cast-{cast}"
client_secret_hash = "@HASH@"
user = "{cast}1"
reach = "organization"
actions = ["list", "whisper", "monitor", "barge", "hangup"]
"""

_EXTENSION = """
[[extensions]]
number = "{number}"
user = "{user}"
endpoint = "{kind}/{number}"
caller_id = "{name} <{number}>"
"""

AUTO_ANSWER = 'auto_answer = "snom"\n'
"""What the directory says of every deputy."""

_MODULES = """
load = res_pjsip_endpoint_identifier_ip.so
load = func_pjsip_aor.so
load = func_pjsip_contact.so
load = app_read.so
"""

_TRUNK = "PJSIP/itsp-${EXTEN:3:1}/${PJSIP_CONTACT(${PJSIP_AOR(${EXTEN},contact)},uri)}"

_DIALPLAN = """
[cast-phones]
exten => _0003*X!,1,Dial(@TECH@/${EXTEN},30)
 same => n,Hangup()
exten => _777XXXX,1,Dial(@TRUNK@,30)
 same => n,Hangup()
include => cast-services
include => parkedcalls

[cast-trunk]
exten => _0003*X!,1,Dial(@TECH@/${EXTEN},30)
 same => n,Hangup()
include => cast-services

; X is the cast.
[cast-services]
; Agent and colleague ring; the first to answer has the call.
exten => _X10,1,Dial(@TECH@/0003*${EXTEN:0:1}10&@TECH@/0003*${EXTEN:0:1}100,30)
; The agent through a Local channel that goes away once he answers, and through one that stays.
exten => _X20,1,Dial(Local/0003*${EXTEN:0:1}10@cast-phones,30)
exten => _X21,1,Dial(Local/0003*${EXTEN:0:1}10@cast-phones/n,30)
; Queues whose member is the agent's phone, a Local channel, and a Local channel that stays.
exten => _X5X,1,Answer()
 same => n,Queue(cast-${EXTEN},,,,60)
 same => n,Hangup()
exten => _X60,1,Answer()
 same => n,ConfBridge(cast-${EXTEN})
; A voice menu, or a mailbox: it speaks and listens for keys.
exten => _X70,1,Answer()
 same => n(again),Read(KEYS,tt-monkeys,4,,1,30)
 same => n,Goto(again)
; To the agent, with a caller name that a global variable has.
exten => _X8X,1,Set(CALLERID(name)=${NAME${EXTEN}})
 same => n,Goto(cast-phones,0003*${EXTEN:0:1}10,1)
"""

_QUEUES = """
[cast-{cast}50]
strategy = ringall
timeout = 15
retry = 1
member => {tech}/0003*{cast}10

[cast-{cast}51]
strategy = ringall
timeout = 15
retry = 1
member => Local/0003*{cast}10@cast-phones

[cast-{cast}52]
strategy = ringall
timeout = 15
retry = 1
member => Local/0003*{cast}10@cast-phones/n
"""

_PJSIP_PHONE = """
[{number}](phone)
context = cast-phones
auth = {number}
aors = {number}
callerid = "{name}" <{number}>
[{number}](login)
username = {number}
[{number}](location)
"""

_PJSIP_TRUNK = """
[itsp-{cast}](phone)
context = cast-trunk
aors = {aors}
identify_by = header,username
[itsp-{cast}]
type = identify
endpoint = itsp-{cast}
match_header = From: /sip:777{cast}/
"""

_SIP_PHONE = """
[{number}]
type = friend
host = dynamic
secret = {password}
directmedia = no
context = {context}
"""
