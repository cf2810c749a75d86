"""The directory: what is looked up in it, and how far each app reaches."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from bridge.client_secrets import decoy
from bridge.directory.extensions import Extensions, Named
from bridge.directory.kinds import EXTENDED
from bridge.directory.policy import Decision, Policy, decide
from bridge.directory.reach import absent, prefix_of, reaches, reaches_form
from bridge.directory.reading import app_of, extension_of, pattern_of
from bridge.directory.supervision import policy_of
from bridge.directory.tables import Misplaced, read_tables
from bridge.errors import AccessDenied, ApiError, ExtensionInvalid, SendCallToInvalid, UserInvalid
from bridge.model import (
    App,
    Extension,
    Organization,
    Permission,
    Principal,
    Reach,
    User,
)
from bridge.toml_lines import line_of, syntax_error

_SHORT: Final = re.compile("[0-9]+")


class DirectoryError(Exception):
    """The document is no directory: ``reason``, and the ``line`` (from 1) where it is known.

    As text it is one line, ``directory.toml:14: extension 0003*210: user "13" does not exist``.
    """

    def __init__(self, line: int | None, reason: str, source: str = "directory.toml") -> None:
        """Take the place and the reason; ``source`` is what the document is called."""
        self.line = line
        self.reason = reason
        place = source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {reason}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Directory:
    """Every organization, user, extension and app of one PBX; immutable."""

    _organizations: Sequence[Organization]
    _users: Mapping[str, User]
    _apps: Mapping[str, App]
    _extensions: Extensions
    _policy: Policy
    _decoy: str

    @classmethod
    def parse(cls, text: str, source: str = "directory.toml") -> Self:
        """Take the text of a TOML document and return the directory it describes.

        ``source`` is what error messages call the document.
        Raises DirectoryError for the first mistake found.
        """
        try:
            return cls._build(tomllib.loads(text))
        except Misplaced as mistake:
            raise DirectoryError(line_of(text, mistake.path), mistake.reason, source) from None
        except ValueError as error:
            raise DirectoryError(*syntax_error(text, error), source) from error

    @classmethod
    def _build(cls, document: Mapping[str, Any]) -> Self:
        tables = read_tables(document)
        organizations = {
            row["id"]: Organization(row["id"], row["name"], row["prefix"], row.values.get("notice"))
            for row in tables["organizations"]
        }
        users = {
            row["id"]: User(row["id"], row.refer("organization", organizations))
            for row in tables["users"]
        }
        return cls(
            _organizations=tuple(organizations.values()),
            _users=users,
            _apps={row["client_id"]: app_of(row, users) for row in tables["apps"]},
            _extensions=Extensions(
                (extension_of(row, users) for row in tables["extensions"]),
                (pattern_of(row, users) for row in tables["discovery"]),
            ),
            _policy=policy_of(tables["supervision"], organizations.values(), users),
            _decoy=decoy(row["client_secret_hash"] for row in tables["apps"]),
        )

    def app(self, client_id: str) -> App | None:
        """Return the app registered under ``client_id``."""
        return self._apps.get(client_id)

    def secret_hash(self, client_id: str) -> str:
        """Return the hash that the secret of ``client_id`` must match.

        For an unknown client it is one that nothing matches, as costly to compare with.
        """
        app = self._apps.get(client_id)
        return self._decoy if app is None else app.secret_hash

    def by_endpoint(self, endpoint: str) -> Extension | None:
        """Return the extension whose channels carry exactly ``endpoint`` (``PJSIP/0003*210``)."""
        return self._extensions.by_endpoint(endpoint)

    def extension(self, number: str) -> Extension | None:
        """Return the extension with the extended ``number`` (``0003*210``)."""
        return self._extensions.by_number(number)

    def extensions(self) -> Iterable[Extension]:
        """Every extension that is written down."""
        return self._extensions.listed()

    def discovers(self) -> bool:
        """Return whether some pattern makes extensions known that have no line of their own."""
        return self._extensions.discovers

    def sends_pjsip_headers(self) -> bool:
        """Return whether some phone of chan_pjsip is to answer by itself."""
        return any(endpoint.startswith("PJSIP/") for endpoint in self._extensions.answering())

    def notices(self) -> list[str]:
        """Return the sounds that organizations have played to their people, each once."""
        return sorted({each.notice for each in self._organizations if each.notice is not None})

    def written(self, number: str, organization: Organization | None) -> Extension | None:
        """Return the extension with a number: extended, or short inside ``organization``.

        Where there is one organization only, a short number is of that one.
        """
        if organization is None and len(self._organizations) == 1:
            organization = self._organizations[0]
        extended = _extended(number, organization) if organization else number
        return self.extension(extended or "")

    def resolve(self, principal: Principal, user_id: str, extension: str) -> Named:
        """Return the extensions that ``{userId}/{extension}`` of a path name for ``principal``.

        One extension, or with ``@self`` all those of the user, which may be none.
        ``@owner`` asks nothing of the owner; ``@owner`` with ``@self`` names no extension to
        be owned, so it means the token's own user. For one that is discovered see ``missing``.

        Raises, checked in this order (UnifiedAPI, Types and Errors): UserInvalid for a user
        unknown or out of reach, ExtensionInvalid for a malformed number, AccessDenied for one
        whose form is out of reach, ExtensionInvalid for one unknown or not that user's.
        """
        user = self._named_user(principal, user_id)
        if extension == "@self":
            return Named(user=user or principal.user)
        found = self._reachable(principal, extension)
        if user is not None and found.user.id != user.id:
            raise ExtensionInvalid
        return Named(found)

    def missing(self, app: App, named: Extension, *, known: bool) -> ApiError | None:
        """Return what to answer if an extension that was discovered is not there after all.

        ``named`` is what ``resolve`` gave, and ``known`` whether the PBX knows its endpoint.
        """
        there = known and self._extensions.by_number(named.number) == named
        return None if there else absent(app)

    def may(
        self,
        app: App | None,
        permission: Permission,
        target: Extension | None = None,
        supervisor: Extension | None = None,
        others: Iterable[Extension] = (),
    ) -> Decision:
        """Decide whether something may be done, and why or why not; see policy.decide."""
        return decide(self._policy, app, permission, target, supervisor, others)

    def terminal_for(
        self, principal: Principal, permission: Permission, target: Extension, number: str
    ) -> Extension:
        """Return the phone terminal that may do this with ``target``: the rule of ``sendCallTo``.

        ``number`` is extended, or short inside the organization of ``principal``.
        Raises SendCallToInvalid with the rule that is broken; a number that is unknown and one
        of another organization are not told apart. What else ``may`` forbids raises its error.
        """
        extended = _extended(number, principal.user.organization) or ""
        # Decided by the form: nothing, not even the time, tells what another organization has.
        ours = prefix_of(extended) == target.organization.prefix
        found = self.extension(extended) if ours else None
        if found is None:
            raise SendCallToInvalid
        self.may(principal.app, permission, target, found).require()
        return found

    def _named_user(self, principal: Principal, user_id: str) -> User | None:
        """Return the user, or None for ``@owner``: whoever owns the extension."""
        if user_id == "@owner":
            return None
        if user_id in ("@me", "@viewer"):
            return principal.user
        user = self._users.get(user_id)
        if user is None or not reaches(principal.app, user):
            raise UserInvalid
        return user

    def _reachable(self, principal: Principal, extension: str) -> Extension:
        app, number = principal.app, _extended(extension, principal.user.organization)
        if number is None:
            raise ExtensionInvalid
        if not reaches_form(app, number):
            raise AccessDenied
        own = app.reach is Reach.USER
        found = self._extensions.of_user(number, app.user) if own else self.extension(number)
        if found is None:
            raise absent(app)
        return found


def _extended(number: str, organization: Organization) -> str | None:
    """Return the extended form of a short or extended number, None if it has neither form."""
    if _SHORT.fullmatch(number):
        return f"{organization.prefix}*{number}"
    return number if EXTENDED.fullmatch(number) else None
