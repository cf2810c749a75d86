"""How the service listens, by the settings: over TLS, or in plain HTTP where that is safe."""

import logging
import resource
import sys
from collections.abc import Iterator
from functools import partial
from ssl import SSLContext

from bridge.addresses import Proxies, is_loopback
from bridge.api import Allowance, Gate, Manners, Site, Tls, Watch, read_certificate
from bridge.cli.common import UsageError
from bridge.cli.reloading import Reloadable
from bridge.hooks import Hooks
from bridge.service import Service
from bridge.settings import Settings
from bridge.tokens import TokenBook

log = logging.getLogger(__name__)

OTHER_FILES = 160
"""What is open besides connections of clients.

The link to the PBX, webhooks and their file, the audit, Python's own.
"""


def site_of(
    settings: Settings, service: Service, tokens: TokenBook, watch: Watch, hooks: Hooks | None
) -> Site:
    """What the API works with."""
    allowance = Allowance(
        settings.rate_per_app, settings.rate_per_address, settings.failures_per_minute
    )
    return Site(
        service,
        tokens,
        settings.public_url,
        proxies=Proxies(settings.trusted_proxies),
        gate=Gate(allowance),
        watch=watch,
        manners=Manners(settings.max_connections, settings.request_timeout, settings.keepalive),
        hooks=hooks,
    )


def tls_of(settings: Settings) -> Tls | None:
    """The TLS to listen with, None for plain HTTP.

    Raises UsageError where plain HTTP would leave the machine unasked, and CertificateError.
    """
    if settings.tls_cert is not None:
        return Tls(read_certificate(settings.tls_cert, settings.tls_key))
    if settings.tls_key is not None:
        raise UsageError("BRIDGE_TLS_KEY is set without BRIDGE_TLS_CERT")
    if is_loopback(settings.http_host):
        return None
    if not settings.plain_http_behind_proxy:
        raise UsageError(
            f"BRIDGE_HTTP_HOST is {settings.http_host}: beyond loopback tokens need TLS; set"
            " BRIDGE_TLS_CERT and BRIDGE_TLS_KEY, or, behind a proxy that speaks TLS,"
            " BRIDGE_PLAIN_HTTP_BEHIND_PROXY=true"
        )
    log.warning("plain HTTP on %s: only a proxy that speaks TLS may reach it", settings.http_host)
    return None


def make_room(settings: Settings) -> None:
    """Let this process open as many files as it may have connections, and say so if it may not."""
    wanted = settings.max_connections + OTHER_FILES
    possible = _files(wanted)
    if possible < wanted:
        said = "BRIDGE_MAX_CONNECTIONS is %d, but this process may open only %d files"
        log.warning(said, settings.max_connections, possible)


def _files(wanted: int) -> int:
    """Have this process be allowed so many files or more, and return how many it is."""
    soft, hard = (
        sys.maxsize if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if soft >= wanted:
        return soft
    most = min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # as where the service manager does not let it
        return soft
    return most


def certificates(settings: Settings, tls: Tls | None) -> Iterator[Reloadable[SSLContext]]:
    """What of it SIGHUP reads anew."""
    if tls is not None and settings.tls_cert is not None:
        read = partial(read_certificate, settings.tls_cert, settings.tls_key)
        yield Reloadable("the certificate", read, tls.take)
