"""``whisper-bridge check``: whether everything a whisper needs is there, and what to change."""

import argparse
import asyncio
import errno
import http.client
import json
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

from bridge.addresses import is_loopback
from bridge.checking import Finding, Verdict, check_pbx
from bridge.cli.common import MISTAKES, Commands, read_directory
from bridge.cli.linking import NoLink, linked
from bridge.cli.listening import tls_of
from bridge.directory import Directory
from bridge.keyring import signing_keys
from bridge.settings import Settings, load

_WORDS = {
    Verdict.OK: "ok",
    Verdict.WARNING: "WARNING",
    Verdict.FAILURE: "FAILURE",
    Verdict.UNKNOWN: "unknown",
}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="look whether everything a whisper needs is there, and say what to change",
        description="Connect as configured and look at everything a whisper needs. No phone rings."
        " Exit code 0 is fine, perhaps with warnings, 1 is a failure.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    # What the link would log is among the findings.
    logging.getLogger("bridge").addHandler(logging.NullHandler())
    findings = _findings()
    print(_as_json(findings) if arguments.json else _as_table(findings))
    return int(any(finding.verdict is Verdict.FAILURE for finding in findings))


def _findings() -> list[Finding]:
    try:
        settings = load(os.environ)
    except MISTAKES as mistake:
        return [_mistaken("settings", mistake)]
    findings = [Finding("settings", Verdict.OK, "complete")]
    directory = None
    try:
        directory = read_directory(settings)
        extensions = len(list(directory.extensions()))
        findings.append(Finding("directory", Verdict.OK, f"{extensions} extensions"))
    except MISTAKES as mistake:
        findings.append(_mistaken("directory", mistake))
    findings.append(_keys(settings))
    findings.append(_tls(settings))
    findings.append(_port(settings))
    return findings + asyncio.run(_pbx(settings, directory))


def _mistaken(subject: str, mistake: Exception) -> Finding:
    return Finding(subject, Verdict.FAILURE, str(mistake).replace("\n", "; "))


# This machine


def _keys(settings: Settings) -> Finding:
    try:
        signing_keys(settings.state_dir)
    except MISTAKES as mistake:
        return _mistaken("state", mistake)
    return Finding("state", Verdict.OK, f"{settings.state_dir} holds the keys of the tokens")


def _tls(settings: Settings) -> Finding:
    try:
        tls = tls_of(settings)
    except MISTAKES as mistake:
        return _mistaken("TLS", mistake)
    said = f"the certificate in {settings.tls_cert}" if tls else "none: clients speak plain HTTP"
    return Finding("TLS", Verdict.OK, said)


def _port(settings: Settings) -> Finding:
    where = f"{settings.http_host}:{settings.http_port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.http_host, settings.http_port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_bridge(settings):
            return Finding("port", Verdict.OK, f"the bridge listens on {where} already")
        said = f"cannot listen on {where}: {error.strerror or error}"
        return Finding("port", Verdict.FAILURE, said, "set BRIDGE_HTTP_HOST or BRIDGE_HTTP_PORT")
    return Finding("port", Verdict.OK, f"{where} is free")


def _is_bridge(settings: Settings) -> bool:
    """Whether what listens there answers as a bridge does; who it is proves nothing here."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    ways = (
        http.client.HTTPConnection(settings.http_host, settings.http_port, timeout=2),
        http.client.HTTPSConnection(
            settings.http_host, settings.http_port, timeout=2, context=anybody
        ),
    )
    for connection in ways:
        with suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            if isinstance(json.loads(answer.read(4096)), dict):
                return bool(answer.headers["X-Request-Id"])
    return False


# The PBX


async def _pbx(settings: Settings, directory: Directory | None) -> list[Finding]:
    where = f"{settings.ami_host}:{settings.ami_port}"
    try:
        async with linked(settings) as (link, probe):
            found = await check_pbx(link, probe, directory, where, keys=settings.follow_keys)
            return [_privacy(settings), *found]
    except NoLink as trouble:
        return [_no_link(str(trouble))]
    except MISTAKES as mistake:
        return [_mistaken("AMI", mistake)]


def _no_link(said: str) -> Finding:
    remedy = (
        "is Asterisk up, does manager.conf say enabled = yes, and are BRIDGE_AMI_HOST and"
        " BRIDGE_AMI_PORT its bindaddr and port?"
    )
    # Some troubles name the setting to look at themselves.
    return Finding("AMI", Verdict.FAILURE, said, "" if "check BRIDGE_" in said else remedy)


def _privacy(settings: Settings) -> Finding:
    if settings.ami_tls:
        return Finding("AMI TLS", Verdict.OK, "encrypted, and the PBX's certificate is accepted")
    if is_loopback(settings.ami_host):
        return Finding("AMI TLS", Verdict.OK, "not needed: the PBX is on this machine")
    said = "the AMI secret and callers' numbers cross the network unencrypted"
    remedy = "tlsenable = yes in manager.conf, BRIDGE_AMI_TLS=true and BRIDGE_AMI_PORT=5039"
    return Finding("AMI TLS", Verdict.WARNING, said, remedy)


# What is printed


def _as_table(findings: Sequence[Finding]) -> str:
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.subject:<{width}}  {_WORDS[finding.verdict]:<7}  {finding.said}")
        if finding.remedy:
            lines.append(f"{'':<{width}}           change: {finding.remedy}")
    return "\n".join(lines)


def _as_json(findings: Sequence[Finding]) -> str:
    rows = [
        {
            "subject": finding.subject,
            "verdict": finding.verdict.value,
            "said": finding.said,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    return json.dumps({"findings": rows}, indent=2)
