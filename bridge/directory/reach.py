"""How far an app sees, and what it is told of what is not there (UnifiedAPI, Tokens and Errors)."""

from bridge.errors import AccessDenied, ApiError, ExtensionInvalid
from bridge.model import App, Reach, User


def prefix_of(number: str) -> str:
    """The organization prefix of an extended number."""
    return number.partition("*")[0]


def reaches(app: App, user: User) -> bool:
    """Whether an app reaches a user, and with him his extensions."""
    match app.reach:
        case Reach.USER:
            return user.id == app.user.id
        case Reach.ORGANIZATION:
            return user.organization.id == app.user.organization.id
        case Reach.SYSTEM:
            return True


def reaches_form(app: App, number: str) -> bool:
    """Whether an extended number could be in reach by its form, be it anybody's or nobody's."""
    own = app.user.organization.prefix
    return app.reach is Reach.SYSTEM or prefix_of(number) == own


def absent(app: App) -> ApiError:
    """What an app is told of a number that is nobody's, though its form is in reach.

    To an app of a user it is one that is not his, like those of others.
    """
    return AccessDenied() if app.reach is Reach.USER else ExtensionInvalid()
