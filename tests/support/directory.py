"""Who exists in the tests: a small organization with the numbers of the specification."""

from bridge.directory import Directory
from bridge.model import Extension, Principal
from tests.support.clients import SECRET_HASH

TEXT = f"""
[[organizations]]
id = "3"
name = "Default Organization"
prefix = "0003"

[[organizations]]
id = "4"
name = "Other Organization"
prefix = "0004"

[[users]]
id = "12"
organization = "3"

[[users]]
id = "24"
organization = "3"

[[users]]
id = "40"
organization = "4"

[[extensions]]
number = "0003*210"
user = "12"
caller_id = "Agent 210 <0003*210>"

[[extensions]]
number = "0003*211"
user = "12"
caller_id = "Agent 211 <0003*211>"

[[extensions]]
number = "0003*2100"
user = "12"

[[extensions]]
number = "0003*024"
user = "24"
caller_id = "Supervisor 024 <0003*024>"

[[extensions]]
number = "0003*025"
user = "24"

[[extensions]]
number = "0003*026"
user = "24"

[[extensions]]
number = "0003*650"
user = "12"
type = "queue"

[[extensions]]
number = "0004*410"
user = "40"

[[apps]]
client_id = "lab-app"
client_secret_hash = "{SECRET_HASH}"
user = "12"
reach = "organization"

[[apps]]
client_id = "agent-app"
client_secret_hash = "{SECRET_HASH}"
user = "12"
reach = "user"

[[apps]]
client_id = "system-app"
client_secret_hash = "{SECRET_HASH}"
user = "40"
reach = "system"
"""

DIRECTORY = Directory.parse(TEXT)
EVERY_ACTION = Directory.parse(
    TEXT.replace(
        'client_id = "lab-app"',
        'client_id = "lab-app"\nactions = ["list", "whisper", "monitor", "barge", "hangup"]',
    )
)
"""The same with an app that may do everything."""


def extension(number: str) -> Extension:
    """The extension with that number."""
    found = DIRECTORY.extension(number)
    if found is None:
        raise LookupError(number)
    return found


def principal(client_id: str = "lab-app") -> Principal:
    """Who asks with a token of that app."""
    app = DIRECTORY.app(client_id)
    if app is None:
        raise LookupError(client_id)
    return Principal(app)


AGENT, COLLEAGUE, NEIGHBOUR = map(extension, ("0003*210", "0003*211", "0003*2100"))
SUPERVISOR, SECOND, THIRD = map(extension, ("0003*024", "0003*025", "0003*026"))


def saying(of: str, more: str) -> str:
    """The directory with another line after the first one that says this."""
    return instead(f"{of}\n", f"{of}\n{more}\n")


def instead(old: str, new: str) -> str:
    """The directory with something else in the place of the first of this."""
    if old not in TEXT:
        raise LookupError(old)
    return TEXT.replace(old, new, 1)
