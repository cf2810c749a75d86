"""``whisper-bridge serve``: the service itself."""

import argparse
import asyncio
import faulthandler
import gc
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

from bridge import logs
from bridge.ami import Address, Link, trusting
from bridge.api import REQUEST_ID, Site, Tls, Watch, serving
from bridge.audit import Recorder
from bridge.cli.common import Commands, UsageError, read_directory
from bridge.cli.listening import certificates, make_room, site_of, tls_of
from bridge.cli.reloading import Reloadable, Reloader, on_sighup
from bridge.cli.supervision import Supervision
from bridge.cli.telling import webhooks_of
from bridge.directory import Directory
from bridge.health import Health
from bridge.keyring import signing_keys
from bridge.metrics import Metrics
from bridge.service import Rules, Service
from bridge.settings import ServiceManager, Settings, load, service_manager
from bridge.systemd import Notifier
from bridge.tokens import TokenBook

log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True)
class _Files:
    """What the files of the service hold, and what writes to them."""

    directory: Directory
    tokens: TokenBook
    audit: Recorder


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="serve the API beside the PBX that is configured")
    parser.add_argument(
        "--check",
        action="store_true",
        help="serve nothing; only say what is wrong with the settings and the files they name",
    )
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    settings = load(os.environ)
    manager = service_manager(os.environ, os.getpid())
    logs.set_up(settings.log_level, settings.log_format, manager.journal_stream, REQUEST_ID)
    directory = read_directory(settings)
    if arguments.check:
        address_of(settings)
        tls_of(settings)
        return 0
    tokens = TokenBook(signing_keys(settings.state_dir))
    # What hangs is ended by systemd's watchdog with SIGABRT, and then says where it hung.
    faulthandler.enable()
    # Modules and all that lasts: with them, a full collection would stop the service for 50 ms.
    gc.freeze()
    with _audit(settings) as audit:
        asyncio.run(_run(settings, manager, _Files(directory, tokens, audit)))
    return 0


@contextmanager
def _audit(settings: Settings) -> Iterator[Recorder]:
    """Keep the audit; at the end what is left is written."""
    recorder = Recorder(settings.audit, numbers=settings.log_numbers)
    try:
        recorder.start()
    except OSError as error:
        raise UsageError(f"BRIDGE_AUDIT cannot be written: {error}") from error
    try:
        yield recorder
    finally:
        recorder.stop()


async def _run(settings: Settings, manager: ServiceManager, files: _Files) -> None:
    """Build the service out of its parts, and serve until a signal has it stop."""
    metrics = Metrics()
    link = _link(settings, metrics)
    health = Health(link, time.time())
    service = Service(
        files.directory, link, _rules(settings), listeners=[files.audit, health, metrics]
    )
    hooks = webhooks_of(settings, service)
    metrics.watch(service, link, files.audit, hooks)
    watch = Watch(health.readiness, metrics.text, settings.metrics_clients)
    site = site_of(settings, service, files.tokens, watch, hooks)
    tls = tls_of(settings)
    make_room(settings)
    notifier = Notifier(manager.notify_socket)
    supervision = Supervision(notifier, link, service, watchdog=manager.watchdog)
    reloader = Reloader(
        [*_parts(settings, service, files), *certificates(settings, tls)],
        begun=supervision.reload_begun,
        done=supervision.reload_done,
    )
    stop = _stop_signals()
    linked = _linked(link, service, supervision, stop)
    async with (
        notifier,
        _measured(metrics),
        hooks or nullcontext(),
        on_sighup(reloader),
        _listening(settings, site, linked, tls),
    ):
        await stop.wait()
        log.info("stopping: requests under way finish, whispers in force go on in the PBX")
        notifier.stopping()


@asynccontextmanager
async def _listening(
    settings: Settings, site: Site, linked: AbstractAsyncContextManager[None], tls: Tls | None
) -> AsyncIterator[None]:
    """Serve the API. Raises UsageError when there is no listening where the settings say."""
    host, port = settings.http_host, settings.http_port
    try:
        async with serving(site, linked, host, port, tls=tls) as place:
            log.info("listening on %s:%d%s", *place, " over TLS" if tls else "")
            yield
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)};"
            " set BRIDGE_HTTP_HOST and BRIDGE_HTTP_PORT"
        ) from error


def _link(settings: Settings, metrics: Metrics) -> Link:
    return Link(
        address_of(settings),
        keys=settings.follow_keys,
        silence=settings.ami_silence,
        on_answer=metrics.answered,
    )


def _parts(settings: Settings, service: Service, files: _Files) -> list[Reloadable[Any]]:
    """What SIGHUP reads anew."""
    return [
        Reloadable("the directory", partial(read_directory, settings), service.replace_directory),
        Reloadable("the keyring", partial(signing_keys, settings.state_dir), files.tokens.take),
        Reloadable("the audit", files.audit.reopen, lambda _: None),
    ]


def _rules(settings: Settings) -> Rules:
    return Rules(
        pbx_name=settings.pbx_name,
        max_whispers_per_view=settings.max_whispers_per_view,
        follow_target=settings.follow_target,
        follow_keys=settings.follow_keys,
    )


def address_of(settings: Settings) -> Address:
    """Where the PBX is. Raises UsageError when what is to be trusted cannot be read."""
    secret = settings.ami_secret.get_secret_value()
    try:
        tls = trusting(settings.ami_ca) if settings.ami_tls else None
    except OSError as error:
        raise UsageError(f"BRIDGE_AMI_CA: {settings.ami_ca}: {error.strerror or error}") from error
    return Address(settings.ami_host, settings.ami_port, settings.ami_username, secret, tls)


@asynccontextmanager
async def _measured(metrics: Metrics) -> AsyncIterator[None]:
    """Measure how late the event loop is."""
    task = asyncio.create_task(metrics.measure_lag())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _linked(
    link: Link, service: Service, supervision: Supervision, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Hold the link to the PBX, and stop the service should its task ever end by itself."""
    task = asyncio.create_task(link.run(service))
    watching = asyncio.create_task(supervision.run(task))
    watching.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        await service.close()
        for owned in (task, watching):
            owned.cancel()
            with suppress(asyncio.CancelledError):
                await owned


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
