"""The extensions there are: those with a line of their own, and those that a pattern makes known.

A pattern says whose an endpoint is and what its number is, by its name alone. Whether there is such
an endpoint the PBX is asked when it matters: with the rights of the bridge it lists no endpoints
(PJSIPShowEndpoints needs ``system``), yet knows the state of each one it is asked for.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from bridge.callerid import parse_caller_id
from bridge.directory.kinds import LONGEST, PLACE
from bridge.model import CallerId, Extension, ExtensionType, SipHeader, User

KEPT = 4096
"""Numbers and endpoints for which the patterns need not be tried again."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Endpoints that need no line of their own: ``PJSIP/{number}`` and which numbers these are."""

    endpoint: str
    numbers: re.Pattern[str]
    user: User
    type: ExtensionType
    protected: bool
    caller_id: str | None
    auto_answer: SipHeader | None = None

    def extension(self, number: str) -> Extension | None:
        """The extension of an extended number, if it is one of these."""
        prefix, _, short = number.partition("*")
        if prefix != self.user.organization.prefix or not self._fits(short):
            return None
        return Extension(
            number=number,
            user=self.user,
            type=self.type,
            endpoint=self.endpoint.replace(PLACE, short),
            caller_id=self._shown_as(number, short),
            protected=self.protected,
            discovered=True,
            auto_answer=self.auto_answer,
        )

    def number_of(self, endpoint: str) -> str | None:
        """The extended number of an endpoint, if it is one of these."""
        before, _, after = self.endpoint.partition(PLACE)
        short = endpoint.removeprefix(before).removesuffix(after)
        if self.endpoint.replace(PLACE, short) != endpoint or not self._fits(short):
            return None
        return f"{self.user.organization.prefix}*{short}"

    def _fits(self, short: str) -> bool:
        return len(short) <= LONGEST and self.numbers.fullmatch(short) is not None

    def _shown_as(self, number: str, short: str) -> CallerId:
        if self.caller_id is None:
            return CallerId("", number)
        return parse_caller_id(self.caller_id.replace(PLACE, short))


class Extensions:
    """Finds extensions by number and by endpoint. A line of its own wins over every pattern.

    The first pattern that fits a number says what its endpoint is. No two extensions ever have the
    same number, or the same endpoint.
    """

    def __init__(self, listed: Iterable[Extension], patterns: Iterable[Pattern]) -> None:
        self._listed: Mapping[str, Extension] = {one.number: one for one in listed}
        self._endpoints = {one.endpoint: one for one in self._listed.values()}
        self._patterns = tuple(patterns)
        self._assumed = lru_cache(maxsize=KEPT)(self._assume)
        self._owner = lru_cache(maxsize=KEPT)(self._find_owner)

    def listed(self) -> Iterable[Extension]:
        """Those with a line of their own."""
        return self._listed.values()

    @property
    def discovers(self) -> bool:
        """Whether there are patterns."""
        return bool(self._patterns)

    def answering(self) -> Iterable[str]:
        """The endpoints, or the forms of them, whose phones are to answer by themselves."""
        every: list[Extension | Pattern] = [*self._listed.values(), *self._patterns]
        return [one.endpoint for one in every if one.auto_answer is not None]

    def by_number(self, number: str) -> Extension | None:
        """The extension with an extended number."""
        listed = self._listed.get(number)
        if listed is not None or not self._patterns:
            return listed
        assumed = self._assumed(number)
        return None if assumed is None or assumed.endpoint in self._endpoints else assumed

    def by_endpoint(self, endpoint: str) -> Extension | None:
        """The extension whose channels carry exactly that endpoint."""
        listed = self._endpoints.get(endpoint)
        if listed is not None or not self._patterns:
            return listed
        owner = self._owner(endpoint)
        # Its number may have a line that says its endpoint is another one.
        return None if owner is None or owner.number in self._listed else owner

    def of_user(self, number: str, user: User) -> Extension | None:
        """What a user may take for his extension, if anything.

        Whatever the number, the same is done: the time it takes does not tell whether somebody else
        has it. A number may look like his by a pattern while somebody else has a line for it: only
        ``by_number`` tells, which is to be asked once the PBX has been, as for one of his own.
        """
        listed, assumed = self._listed.get(number), self._assumed(number)
        if listed is not None and listed.user.id == user.id:
            return listed
        return assumed if assumed is not None and assumed.user.id == user.id else None

    def _assume(self, number: str) -> Extension | None:
        """Whose a number is by the patterns alone."""
        found = self._first(number)
        return found if found is not None and self._owner(found.endpoint) == found else None

    def _find_owner(self, endpoint: str) -> Extension | None:
        """Whose an endpoint is by the patterns alone."""
        for pattern in self._patterns:
            number = pattern.number_of(endpoint)
            found = self._first(number) if number is not None else None
            if found is not None and found.endpoint == endpoint:
                return found
        return None

    def _first(self, number: str) -> Extension | None:
        fitting = (pattern.extension(number) for pattern in self._patterns)
        return next((one for one in fitting if one is not None), None)


@dataclass(frozen=True, slots=True)
class Named:
    """The extensions that a path names: ``one``, or all of a user, of whom there may be none."""

    one: Extension | None = None
    user: User | None = None

    def __contains__(self, extension: object) -> bool:
        if self.user is None:
            return extension == self.one
        return isinstance(extension, Extension) and extension.user.id == self.user.id
