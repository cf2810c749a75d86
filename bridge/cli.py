"""``whisper-bridge``: builds the parts and runs them; the only place that names every part."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from bridge.ami import Address, Link, trusting
from bridge.api import Site, serving
from bridge.directory import Directory, DirectoryError
from bridge.keyring import KeyringError, signing_keys
from bridge.lab.errors import LabError
from bridge.lab.run import Wish, run_lab
from bridge.service import Rules, Service
from bridge.settings import Settings, SettingsError, load
from bridge.tokens import TokenBook

log = logging.getLogger("bridge")


class UsageError(Exception):
    """Something the operator asked for cannot be done, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``whisper-bridge`` with these arguments (default: the process's) to its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (SettingsError, DirectoryError, KeyringError, LabError, UsageError) as error:
        print(f"whisper-bridge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="whisper-bridge", description="Whisper on any Asterisk PBX through one HTTP request."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the API beside the PBX that is configured")
    serve.set_defaults(run=_serve)
    token = commands.add_parser("token", help="print a bearer token for an app of the directory")
    token.add_argument("client_id", metavar="CLIENT_ID")
    token.set_defaults(run=_token)
    lab = commands.add_parser("lab", help="prove a whisper on a real Asterisk with real phones")
    lab.add_argument("--private", action="store_true", help="the supervisor hears nothing")
    lab.add_argument("--asterisk", choices=("16", "22"), default="22", help="default: 22")
    lab.add_argument("--keep", action="store_true", help="keep the run folder for a look")
    lab.set_defaults(run=_lab)
    return parser


def _token(arguments: argparse.Namespace) -> int:
    settings = load(os.environ)
    if _directory(settings).app(arguments.client_id) is None:
        raise UsageError(f"the directory has no app {arguments.client_id!r}")
    tokens = TokenBook(signing_keys(settings.state_dir))
    print(tokens.issue(arguments.client_id, time.time()))
    return 0


def _lab(arguments: argparse.Namespace) -> int:
    wish = Wish(asterisk=arguments.asterisk, private=arguments.private, keep=arguments.keep)
    return asyncio.run(run_lab(wish))


def _serve(arguments: argparse.Namespace) -> int:
    settings = load(os.environ)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s"
    )
    directory = _directory(settings)
    tokens = TokenBook(signing_keys(settings.state_dir))
    asyncio.run(_run(settings, directory, tokens))
    return 0


def _directory(settings: Settings) -> Directory:
    try:
        text = settings.directory.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"BRIDGE_DIRECTORY cannot be read: {error}") from error
    return Directory.parse(text, settings.directory.name)


async def _run(settings: Settings, directory: Directory, tokens: TokenBook) -> None:
    link = Link(_address(settings), silence=settings.ami_silence)
    service = Service(directory, link, _rules(settings))
    site = Site(service, directory, tokens, settings.public_url)
    stop = _stop_signals()
    host, port = settings.http_host, settings.http_port
    try:
        async with serving(site, _linked(link, service), host, port) as (address, number):
            log.info("listening on %s:%d", address, number)
            await stop.wait()
            log.info("stopping: requests under way finish, whispers in force go on in the PBX")
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)};"
            " set BRIDGE_HTTP_HOST and BRIDGE_HTTP_PORT"
        ) from error


def _rules(settings: Settings) -> Rules:
    return Rules(settings.pbx_name, settings.max_whispers_per_view, settings.follow_target)


def _address(settings: Settings) -> Address:
    secret = settings.ami_secret.get_secret_value()
    try:
        tls = trusting(settings.ami_ca) if settings.ami_tls else None
    except OSError as error:
        raise UsageError(f"BRIDGE_AMI_CA: {settings.ami_ca}: {error.strerror or error}") from error
    return Address(settings.ami_host, settings.ami_port, settings.ami_username, secret, tls)


@asynccontextmanager
async def _linked(link: Link, service: Service) -> AsyncIterator[None]:
    """Hold the link to the PBX."""
    task = asyncio.create_task(link.run(service))
    try:
        yield
    finally:
        await service.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
