"""Rows of the document to who they describe."""

import re
from collections.abc import Mapping

from bridge.callerid import parse_caller_id
from bridge.directory.extensions import Pattern
from bridge.directory.patterns import digits
from bridge.directory.reach import prefix_of
from bridge.directory.tables import Row
from bridge.model import (
    DEFAULT_ACTIONS,
    SIP_TECHNOLOGIES,
    App,
    CallerId,
    Extension,
    ExtensionType,
    Permission,
    Reach,
    SipHeader,
    User,
)


def extension_of(row: Row, users: Mapping[str, User]) -> Extension:
    """An extension with a line of its own. Raises Misplaced."""
    user = row.refer("user", users)
    if prefix_of(row["number"]) != user.organization.prefix:
        prefix = user.organization.prefix
        raise row.mistake("number", f'the organization of user "{user.id}" has prefix {prefix}')
    return Extension(
        number=row["number"],
        user=user,
        type=_type_of(row),
        endpoint=row["endpoint"],
        caller_id=_shown_as(row),
        protected=row.values.get("protected", False),
        auto_answer=_auto_answer(row),
    )


def pattern_of(row: Row, users: Mapping[str, User]) -> Pattern:
    """Extensions that need no line of their own. Raises Misplaced."""
    return Pattern(
        endpoint=row["endpoint"],
        numbers=re.compile("|".join(map(digits, row["numbers"])) or "(?!)"),
        user=row.refer("user", users),
        type=_type_of(row),
        protected=row.values.get("protected", False),
        caller_id=row.values.get("caller_id"),
        auto_answer=_auto_answer(row),
    )


def app_of(row: Row, users: Mapping[str, User]) -> App:
    """An app. Raises Misplaced."""
    return App(
        client_id=row["client_id"],
        secret_hash=row["client_secret_hash"],
        user=row.refer("user", users),
        reach=Reach(row.values.get("reach", Reach.USER)),
        actions=frozenset(map(Permission, row.values.get("actions", DEFAULT_ACTIONS))),
    )


def _type_of(row: Row) -> ExtensionType:
    return ExtensionType(row.values.get("type", ExtensionType.PHONE))


def _auto_answer(row: Row) -> SipHeader | None:
    header: SipHeader | None = row.values.get("auto_answer")
    if header is not None and row["endpoint"].partition("/")[0] not in SIP_TECHNOLOGIES:
        raise row.mistake("auto_answer", "auto_answer takes an endpoint of PJSIP/ or SIP/")
    return header


def _shown_as(row: Row) -> CallerId:
    written = row.values.get("caller_id")
    return CallerId("", row["number"]) if written is None else parse_caller_id(written)
