"""What is allowed to whom: rules over what the directory says, each refusal with its reason."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bridge.directory.reach import reaches
from bridge.errors import (
    AccessDenied,
    ActionForbidden,
    ApiError,
    SendCallToInvalid,
    ViewInvalid,
)
from bridge.model import SUPERVISION, App, Extension, ExtensionType, Permission


class Refusal(Enum):
    """Why something is not allowed."""

    ACTION = "the app does not have the action"
    REACH = "the extension is outside the app's reach"
    PROTECTED = "the extension is protected"
    PROTECTED_PARTY = "somebody on the call is protected"
    ORGANIZATION = "the supervisor is of another organization"
    NO_PHONE = "the supervisor is no phone"
    ITSELF = "the supervisor is the extension itself"
    NO_RULE = "no rule of the organization lets the supervisor do it"


_ERRORS: Mapping[Refusal, ApiError] = {
    Refusal.ACTION: ActionForbidden(),
    Refusal.REACH: AccessDenied(),
    Refusal.PROTECTED: ViewInvalid("The extension is protected: nobody listens in on it."),
    Refusal.PROTECTED_PARTY: ViewInvalid(
        "An extension that takes part in the call is protected: nobody listens in on it."
    ),
    Refusal.ORGANIZATION: SendCallToInvalid(),
    Refusal.NO_PHONE: SendCallToInvalid(
        "sendCallTo must be a phone terminal, not another extension."
    ),
    Refusal.ITSELF: SendCallToInvalid("sendCallTo must differ from the extension whispered to."),
    Refusal.NO_RULE: SendCallToInvalid(
        "The extension of sendCallTo may not do this with the calls of the other extension."
    ),
}
"""What a client is told; what depends on the directory's rules names no rule and nobody else."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed: true or false, and why.

    ``refusal`` says why it is not; ``rule`` which rule admits the supervisor, counted from 1,
    where his organization has rules.
    """

    refusal: Refusal | None = None
    rule: int | None = None

    def __bool__(self) -> bool:
        return self.refusal is None

    def require(self) -> None:
        """Raise the error of the contract that a refusal is."""
        if self.refusal is not None:
            error = _ERRORS[self.refusal]
            raise type(error)(error.message)


YES = Decision()


@dataclass(frozen=True, slots=True)
class Group:
    """Extensions: those of some users, and those whose numbers match."""

    users: frozenset[str]
    numbers: re.Pattern[str]

    def __contains__(self, extension: Extension) -> bool:
        by_number = self.numbers.fullmatch(extension.number) is not None
        return by_number or extension.user.id in self.users


@dataclass(frozen=True, slots=True)
class Rule:
    """``supervisors`` may do these ``actions`` with the calls of ``targets``; ``number`` from 1."""

    number: int
    supervisors: Group
    targets: Group
    actions: frozenset[Permission]

    def admits(self, supervisor: Extension, target: Extension, permission: Permission) -> bool:
        """Whether it lets the supervisor do this."""
        return (
            permission in self.actions and supervisor in self.supervisors and target in self.targets
        )


Policy = Mapping[str, Sequence[Rule]]
"""The rules of each organization that has any, by its id."""


def decide(
    policy: Policy,
    app: App | None,
    permission: Permission,
    target: Extension | None = None,
    supervisor: Extension | None = None,
    others: Iterable[Extension] = (),
) -> Decision:
    """Decide as far as it is known who asks, on whom, with which phone.

    ``app`` None asks for no app in particular, ``target`` None whether the app has the action at
    all, ``supervisor`` None whether anybody may. ``others`` are who else is heard on the call.
    """
    if app is not None and permission not in app.actions:
        return Decision(Refusal.ACTION)
    if target is None:
        return YES
    if app is not None and not reaches(app, target.user):
        return Decision(Refusal.REACH)
    if permission not in SUPERVISION:
        return YES
    if target.protected:
        return Decision(Refusal.PROTECTED)
    if any(other.protected for other in others):
        return Decision(Refusal.PROTECTED_PARTY)
    return YES if supervisor is None else _supervises(policy, permission, target, supervisor)


def _supervises(
    policy: Policy, permission: Permission, target: Extension, supervisor: Extension
) -> Decision:
    if supervisor.organization.id != target.organization.id:
        return Decision(Refusal.ORGANIZATION)
    if supervisor.type is not ExtensionType.PHONE:
        return Decision(Refusal.NO_PHONE)
    if supervisor.number == target.number:
        return Decision(Refusal.ITSELF)
    rules = policy.get(target.organization.id)
    if rules is None:
        return YES
    admitting = (rule for rule in rules if rule.admits(supervisor, target, permission))
    rule = next(admitting, None)
    return Decision(Refusal.NO_RULE) if rule is None else Decision(rule=rule.number)
