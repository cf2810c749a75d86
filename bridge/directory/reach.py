"""How far an app sees (UnifiedAPI, Tokens and Errors)."""

from bridge.model import App, Extension, Reach, User


def prefix_of(number: str) -> str:
    """The organization prefix of an extended number."""
    return number.partition("*")[0]


def reaches_user(app: App, user: User) -> bool:
    """Whether an app reaches a user."""
    match app.reach:
        case Reach.USER:
            return user.id == app.user.id
        case Reach.ORGANIZATION:
            return user.organization.id == app.user.organization.id
        case Reach.SYSTEM:
            return True


def reaches_number(app: App, number: str, found: Extension | None) -> bool:
    """Whether an app reaches an extended number, which is that of ``found`` if anybody's.

    Decided by the number's form where that can be done, so that nothing tells it exists.
    """
    match app.reach:
        case Reach.USER:
            return found is not None and found.user.id == app.user.id
        case Reach.ORGANIZATION:
            return prefix_of(number) == app.user.organization.prefix
        case Reach.SYSTEM:
            return True
