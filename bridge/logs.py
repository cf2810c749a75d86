"""The log: lines for people, or JSON for machines, each with the request it is of.

A line of a request has the request's id wherever it is logged, by the context it runs in. What is
logged with ``extra={"data": {…}}`` stands in JSON as fields of its own.
"""

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, TextIO

TEXT: Final = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"

_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)


def set_up(
    level: str, form: str, journal_stream: str, request_id: ContextVar[str], to: TextIO = sys.stderr
) -> None:
    """Log from ``level`` on as ``form`` says: ``text``, ``json``, or ``auto``.

    ``auto`` is JSON where the log goes to systemd's journal, which ``journal_stream`` (the variable
    JOURNAL_STREAM, systemd.exec(5)) tells, and text elsewhere.
    """
    journal = goes_to(journal_stream, to)
    in_json = form == "json" or (form == "auto" and journal)
    formatter: logging.Formatter = JsonFormatter() if in_json else TextFormatter()
    handler = logging.StreamHandler(to)
    handler.setFormatter(JournalFormatter(formatter) if journal else formatter)
    handler.addFilter(OfRequest(request_id))
    logging.basicConfig(level=level, handlers=[handler])


def goes_to(journal_stream: str, stream: TextIO) -> bool:
    """Whether a stream is the one to the journal: the variable may be of another process's."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


class OfRequest(logging.Filter):
    """Notes on each record which request it is of."""

    def __init__(self, request_id: ContextVar[str]) -> None:
        super().__init__()
        self._request_id = request_id

    def filter(self, record: logging.LogRecord) -> bool:
        """Note it, and let the record pass."""
        record.request = _request(record) or self._request_id.get("")
        return True


class TextFormatter(logging.Formatter):
    """Lines for people; the request's id stands at the end."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, before what is known of an exception."""
        line, request = super().formatMessage(record), _request(record)
        return f"{line} [{request}]" if request and request not in line else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = {
            "time": _iso(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _request(record):
            fields["request"] = _request(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps({**_data(record), **fields}, ensure_ascii=False)


class JournalFormatter(logging.Formatter):
    """Lines with the priority in front that the journal takes them at (sd-daemon(3))."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The lines."""
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), 7)
        lines = self._inner.format(record).splitlines()
        return "\n".join(f"<{priority}>{line}" for line in lines)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch).astimezone().isoformat(timespec="milliseconds")


def _data(record: logging.LogRecord) -> dict[str, Any]:
    data = getattr(record, "data", None)
    return data if isinstance(data, dict) else {}


def _request(record: logging.LogRecord) -> str:
    return str(getattr(record, "request", "") or _data(record).get("request", ""))
