"""``whisper-bridge selftest``: a whisper on the operator's own PBX, proven by ear."""

import argparse
import asyncio
import getpass
import logging
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge import actions
from bridge.cli.common import Commands, UsageError, read_directory, read_directory_text
from bridge.cli.linking import NoLink, linked
from bridge.client_secrets import SALT, hash_secret
from bridge.directory import Directory
from bridge.errors import PbxUnavailable
from bridge.lab.selftest import Account, Bridge, Cast, Place, run_selftest
from bridge.model import Extension
from bridge.settings import NAMES, Settings, load

SIP_PORT = 5060
ROLES = ("agent", "customer", "supervisor")
_GIVEN = {
    *("BRIDGE_AMI_PORT", "BRIDGE_AMI_SECRET"),
    *("BRIDGE_DIRECTORY", "BRIDGE_STATE_DIR", "BRIDGE_HTTP_PORT"),
}
"""Settings that whoever starts a bridge gives it."""

_STATES = {
    "UNAVAILABLE": "",
    "INVALID": "the PBX does not know {endpoint}",
    "": "the PBX does not tell whether a phone is registered as {endpoint}",
}
"""What the state of an account's device means for a phone of ours."""

_TAKEN = (
    "a phone is registered as {endpoint} already, and might be rung in place of ours:"
    " take an account without one"
)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "selftest",
        help="prove a whisper on the PBX that is configured, with three of its accounts",
        description="Register three softphones with accounts of the configured PBX, have CUSTOMER"
        " call AGENT and SUPERVISOR whisper, and print who hears whom. Their SIP passwords are"
        " asked for, or read from a pipe, a line for each: agent, customer, supervisor. No phone"
        " may be registered with these accounts. Exit code 0 is proven.",
    )
    for role in ROLES:
        parser.add_argument(
            f"--{role}", required=True, metavar="NUMBER[=USER]", help="and its SIP user name"
        )
    parser.add_argument("--sip", metavar="HOST[:PORT]", help="default: the AMI's host, 5060")
    parser.add_argument("--dial", help="what reaches the agent; default: his SIP user name")
    parser.add_argument("--private", action="store_true", help="the supervisor hears nothing")
    parser.set_defaults(run=_selftest)


def _selftest(arguments: argparse.Namespace) -> int:
    settings = load(os.environ)
    directory = read_directory(settings)
    chosen = {role: _chosen(directory, getattr(arguments, role)) for role in ROLES}
    # What the link would log is told as what is wrong.
    logging.getLogger("bridge").addHandler(logging.NullHandler())
    asyncio.run(_require_free(settings, [extension for extension, _ in chosen.values()]))
    passwords = _passwords([extension.number for extension, _ in chosen.values()])
    agent, customer, supervisor = (
        Account(extension.number, user, password)
        for (extension, user), password in zip(chosen.values(), passwords, strict=True)
    )
    place = _place(arguments.sip or settings.ami_host, arguments.dial or agent.user)
    bridge = _bridge(settings, chosen["agent"][0])
    return run_selftest(Cast(agent, customer, supervisor), place, bridge, private=arguments.private)


def _chosen(directory: Directory, text: str) -> tuple[Extension, str]:
    number, _, user = text.partition("=")
    extension = directory.written(number, None)
    if extension is None:
        raise UsageError(f"{number} is no extension of the directory")
    return extension, user or extension.endpoint.partition("/")[2]


def _place(sip: str, dial: str) -> Place:
    host, _, port = sip.partition(":")
    if not host or not (port or "1").isdecimal():
        raise UsageError("--sip must be a host, or a host and a port: pbx.example.com:5060")
    return Place(host, int(port or SIP_PORT), dial)


async def _require_free(settings: Settings, extensions: Sequence[Extension]) -> None:
    try:
        async with linked(settings) as (link, _):
            for extension in extensions:
                answer = await link.send(actions.device_state(extension.endpoint))
                wrong = _STATES.get(answer.headers.get("Value", ""), _TAKEN)
                if wrong:
                    raise UsageError(wrong.format(endpoint=extension.endpoint))
    except (NoLink, PbxUnavailable) as error:
        raise UsageError(str(error)) from error


def _passwords(numbers: Sequence[str]) -> list[str]:
    if sys.stdin.isatty():
        return [getpass.getpass(f"SIP password of {number}: ") for number in numbers]
    lines = sys.stdin.read().splitlines()
    if len(lines) != len(numbers):
        raise UsageError(
            "three lines with the SIP passwords are wanted: agent, customer, supervisor"
        )
    return lines


def _bridge(settings: Settings, agent: Extension) -> Bridge:
    """A bridge beside the one that may be running, with an app of its own for one whisper."""
    app = f"selftest-{secrets.token_hex(8)}"
    secret_hash = hash_secret(secrets.token_urlsafe(32), secrets.token_bytes(SALT))
    more = (
        f'\n[[apps]]\nclient_id = "{app}"\nclient_secret_hash = "{secret_hash}"\n'
        f'user = "{agent.user.id}"\nreach = "organization"\n'
    )
    secret = settings.ami_secret.get_secret_value()
    text = read_directory_text(settings) + more
    return Bridge(settings.ami_port, secret, text, app, _settings(settings))


def _settings(settings: Settings) -> Mapping[str, str]:
    """Those of the PBX; whatever else is set for the running bridge counts as not set."""
    unset = dict.fromkeys({*NAMES, "BRIDGE_CONFIG"} - _GIVEN, "")
    kept = {
        "BRIDGE_AMI_HOST": settings.ami_host,
        "BRIDGE_AMI_USERNAME": settings.ami_username,
        "BRIDGE_AMI_TLS": str(settings.ami_tls).lower(),
        "BRIDGE_AMI_CA": str(Path(settings.ami_ca).resolve()) if settings.ami_ca else "",
        "BRIDGE_PBX_NAME": settings.pbx_name,
    }
    return {**unset, **kept}
