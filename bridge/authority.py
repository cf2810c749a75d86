"""The directory in force, and whether what is under way is still as it wants it."""

from bridge.channels import Channel
from bridge.directory import Directory
from bridge.model import Extension
from bridge.views import heard_with
from bridge.whisper import Session


class Authority:
    """Holds the directory, which is replaced whole: ask anew each time, keep nothing it gave."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def by_endpoint(self, endpoint: str) -> Extension | None:
        """The extension whose channels carry exactly ``endpoint``."""
        return self.directory.by_endpoint(endpoint)

    def by_number(self, number: str) -> Extension | None:
        """The extension with an extended number."""
        return self.directory.extension(number)

    def objection(self, session: Session, target: Channel) -> str | None:
        """Why a whisper to ``target`` is not allowed any more, None while it is.

        Its app may be gone or have lost the action, its target may have changed hands, somebody
        protected may have joined, or the rules may be others.
        """
        client_id = session.asker.app
        app = self.directory.app(client_id) if client_id else None
        if client_id and app is None:
            return "its app is gone from the directory"
        extension, supervisor = target.extension, self.by_number(session.supervisor.number)
        if extension is None or extension.number != session.extension.number:
            return "its target is another extension's now"
        if supervisor is None:
            return "its supervisor is gone from the directory"
        others = heard_with(target)
        for permission in sorted(session.permissions):
            decision = self.directory.may(app, permission, extension, supervisor, others)
            if decision.refusal is not None:
                return decision.refusal.value
        return None
