"""The rules of who may supervise whom, as they are written: rows to a policy."""

import re
from collections.abc import Iterable, Mapping

from bridge.directory.patterns import digits
from bridge.directory.policy import Group, Policy, Rule
from bridge.directory.tables import Row
from bridge.model import SUPERVISION, Organization, Permission, User

OF_USER = "user:"


def policy_of(
    rows: Iterable[Row], organizations: Iterable[Organization], users: Mapping[str, User]
) -> Policy:
    """The rules of each organization. Raises Misplaced for the first mistake found."""
    reading = _Reading({one.prefix: one for one in organizations}, users)
    policy: dict[str, list[Rule]] = {}
    for number, row in enumerate(rows, 1):
        organization, rule = reading.rule(number, row)
        policy.setdefault(organization.id, []).append(rule)
    return policy


class _Reading:
    """Reads rows by what the rest of the document says."""

    def __init__(self, by_prefix: Mapping[str, Organization], users: Mapping[str, User]) -> None:
        self._by_prefix, self._users = by_prefix, users

    def rule(self, number: int, row: Row) -> tuple[Organization, Rule]:
        """One rule, and the organization it is of."""
        written = [(key, entry) for key in ("supervisors", "targets") for entry in row[key]]
        if not written:
            raise row.mistake("supervisors", "it names nobody, so it is a rule of no organization")
        named = [(key, self._organization(row, key, entry)) for key, entry in written]
        organization = named[0][1]
        for key, other in named:
            if other is not organization:
                raise row.mistake(key, "it is of two organizations: nobody supervises across them")
        actions = frozenset(map(Permission, row.values.get("actions", SUPERVISION)))
        groups = _group(row["supervisors"]), _group(row["targets"])
        return organization, Rule(number, *groups, actions)

    def _organization(self, row: Row, key: str, entry: str) -> Organization:
        if entry.startswith(OF_USER):
            user = self._users.get(entry.removeprefix(OF_USER))
            if user is None:
                raise row.mistake(key, f'{key}: "{entry}" does not exist')
            return user.organization
        prefix = entry.partition("*")[0]
        if prefix not in self._by_prefix:
            raise row.mistake(key, f'{key}: no organization has the prefix of "{entry}"')
        return self._by_prefix[prefix]


def _group(entries: Iterable[str]) -> Group:
    users = frozenset(entry.removeprefix(OF_USER) for entry in entries if entry.startswith(OF_USER))
    numbers = (entry.split("*") for entry in entries if not entry.startswith(OF_USER))
    expressions = [rf"{prefix}\*{digits(number)}" for prefix, number in numbers]
    # Without any it must match no number at all.
    return Group(users, re.compile("|".join(expressions) or r"(?!)"))
