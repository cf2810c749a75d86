"""``whisper-bridge may``: whether the directory lets somebody do something, and why."""

import argparse
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge.cli.common import Commands, UsageError, read_directory
from bridge.directory import Decision, Directory, Refusal
from bridge.model import SUPERVISION, App, Extension, Permission
from bridge.settings import load

YES, NO = 0, 1
"""Exit codes; a question that makes no sense is 2, as everywhere."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a supervisor may do something with the calls of a target, through an app if given."""

    supervisor: Extension
    target: Extension
    permission: Permission
    app: App | None


_WHY_NOT: Mapping[Refusal, Callable[[Question, str], str]] = {
    Refusal.ACTION: lambda asked, app: (
        f"{app} has only the actions: {_listed(asked.app.actions if asked.app else ())}"
    ),
    Refusal.REACH: lambda asked, app: f"{asked.target.number} is outside the reach of {app}",
    Refusal.PROTECTED: lambda asked, app: f"{asked.target.number} is protected",
    Refusal.ORGANIZATION: lambda asked, app: (
        f"{asked.supervisor.number} and {asked.target.number} are of different organizations"
    ),
    Refusal.NO_PHONE: lambda asked, app: (
        f"{asked.supervisor.number} is no phone; its type is {asked.supervisor.type}"
    ),
    Refusal.ITSELF: lambda asked, app: "nobody supervises his own extension",
    Refusal.NO_RULE: lambda asked, app: (
        f"organization {asked.target.organization.id} has rules of supervision,"
        f" and none lets {asked.supervisor.number} do that with {asked.target.number}"
    ),
}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "may",
        help="tell whether a supervisor may do something, and why",
        description="Tell whether the directory lets SUPERVISOR do ACTION with the calls of TARGET."
        " Exit code 0 is yes, 1 is no.",
    )
    parser.add_argument("supervisor", metavar="SUPERVISOR", help="the number of his extension")
    parser.add_argument("target", metavar="TARGET", help="the number of the other extension")
    parser.add_argument("action", metavar="ACTION", choices=[each.value for each in Permission])
    parser.add_argument(
        "--app", metavar="CLIENT_ID", help="the app that asks; default: some app that may"
    )
    parser.set_defaults(run=_may)


def _may(arguments: argparse.Namespace) -> int:
    directory = read_directory(load(os.environ))
    permission = Permission(arguments.action)
    app = _app(directory, arguments.app, permission)
    inside = app.user.organization if app else None
    supervisor = directory.written(arguments.supervisor, inside)
    target = directory.written(arguments.target, inside)
    if supervisor is None or target is None:
        unknown = arguments.supervisor if supervisor is None else arguments.target
        print(f"no: {unknown} is no extension of the directory")
        return NO
    asked = Question(supervisor, target, permission, app)
    decision = directory.may(app, permission, target, supervisor)
    print(f"yes: {_why(asked, decision)}" if decision else f"no: {_why_not(asked, decision)}")
    for one in (supervisor, target):
        if one.discovered:
            print(f"{one.number} has no line of its own: it exists if the PBX knows {one.endpoint}")
    return YES if decision else NO


def _app(directory: Directory, client_id: str | None, permission: Permission) -> App | None:
    if client_id is None:
        if permission not in SUPERVISION:
            raise UsageError(f"{permission} is for an app to do: name it with --app")
        return None
    app = directory.app(client_id)
    if app is None:
        raise UsageError(f"the directory has no app {client_id!r}")
    return app


def _why(asked: Question, decision: Decision) -> str:
    if asked.permission not in SUPERVISION:
        return f"{_named(asked.app)} has the action and reaches {asked.target.number}"
    if decision.rule is not None:
        return f"rule {decision.rule} of supervision allows it"
    organization = asked.target.organization.id
    return f"organization {organization} has no rules of supervision: every phone of it may"


def _why_not(asked: Question, decision: Decision) -> str:
    refusal = decision.refusal or Refusal.NO_RULE
    return _WHY_NOT[refusal](asked, _named(asked.app))


def _named(app: App | None) -> str:
    return f"app {app.client_id}" if app else "the app"


def _listed(actions: Collection[Permission]) -> str:
    return ", ".join(each for each in Permission if each in actions) or "none"
