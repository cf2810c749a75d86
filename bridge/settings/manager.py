"""Who started the service, and what he wants to be told."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """What a service manager left in the environment.

    ``notify_socket`` is where it wants to be told how the service is (sd_notify(3)), empty for
    nowhere. ``watchdog`` is within how many seconds it wants a sign of life each time
    (sd_watchdog_enabled(3)), 0 for never. ``journal_stream`` is device and inode of the stream to
    its journal (systemd.exec(5)), empty for none.
    """

    notify_socket: str = ""
    watchdog: float = 0.0
    journal_stream: str = ""


def service_manager(environ: Mapping[str, str], pid: int) -> ServiceManager:
    """Read what it left for the process ``pid``: a watchdog may be meant for another one."""
    meant = environ.get("WATCHDOG_PID") in (None, "", str(pid))
    microseconds = environ.get("WATCHDOG_USEC", "")
    watchdog = int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0
    socket, stream = environ.get("NOTIFY_SOCKET", ""), environ.get("JOURNAL_STREAM", "")
    return ServiceManager(socket, watchdog, stream)
