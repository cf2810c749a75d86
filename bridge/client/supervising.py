"""Who is on call, and who takes part in it as a supervisor, read off the views of a call."""

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.client.errors import ClientError
from bridge.uapi import PhoneCallBody, PhoneCallViewBody

_ON_CALL = "5"


@dataclass(frozen=True, slots=True)
class Target:
    """A call that an extension talks in, and its own view of it."""

    call: PhoneCallBody
    view: PhoneCallViewBody


class Ambiguous(ClientError):
    """A short number that may be that of several."""


def is_number(written: str, extended: str) -> bool:
    """Whether what somebody wrote, extended or short, is this extended number."""
    return extended == written or ("*" not in written and extended.endswith(f"*{written}"))


def targets(calls: Iterable[PhoneCallBody], number: str) -> list[Target]:
    """The calls that an extension talks in now. Raises Ambiguous."""
    found = [Target(call, view) for call in calls if (view := own_view(call, number)) is not None]
    numbers = sorted({target.view.extension for target in found})
    if len(numbers) > 1:
        raise Ambiguous(f"{number} may be {' or '.join(numbers)}: write which")
    return found


def own_view(call: PhoneCallBody, number: str) -> PhoneCallViewBody | None:
    """The view of an extension that talks, None where it does not.

    Whoever whispers to it came later than it did, and ids of views rise (UnifiedAPI,
    PhoneCallView): of several the first is its own.
    """
    own = (view for view in _talking(call) if is_number(number, view.extension))
    return next(own, None)


def supervisors_view(call: PhoneCallBody, target: Target, number: str) -> PhoneCallViewBody | None:
    """The view by which a supervisor takes part in the call of a target, None where he does not."""
    return next((view for view in _talking(call) if _is_of(view, target, number)), None)


def _is_of(view: PhoneCallViewBody, target: Target, number: str) -> bool:
    later = int(view.id) > int(target.view.id) and view.extension == target.view.extension
    return later and len(view.source) == 1 and is_number(number, view.source[0])


def _talking(call: PhoneCallBody) -> list[PhoneCallViewBody]:
    talking = (view for view in call.phone_call_view or [] if view.status == _ON_CALL)
    return sorted(talking, key=lambda view: int(view.id))
