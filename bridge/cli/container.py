"""``whisper-bridge container``: what runs in a container of the lab."""

import argparse

from bridge.cli.common import Commands
from bridge.lab import container
from bridge.lab.cast import GUEST, ROLES


def add(commands: Commands) -> None:
    """Add the command, with a command of its own for each service of compose.yaml."""
    parser = commands.add_parser("container", help="be a part of the lab, in a container of it")
    what = parser.add_subparsers(required=True, metavar="WHAT")
    fetch = what.add_parser("fetch", help="bring a program from Debian's packages")
    fetch.add_argument("program", choices=("asterisk", "baresip"))
    fetch.set_defaults(run=lambda a: container.fetch(a.program))
    what.add_parser("asterisk", help="run the PBX").set_defaults(run=lambda _: container.asterisk())
    phone = what.add_parser("phone", help="run a softphone that picks up by itself")
    phone.add_argument("role", choices=tuple(ROLES))
    phone.set_defaults(run=lambda a: container.phone(ROLES[a.role]))
    _add_proof(what)
    health = what.add_parser("health", help="say by the exit code whether a service is well")
    health.add_argument("service", choices=("asterisk", "bridge", *ROLES))
    health.set_defaults(run=lambda a: container.health(a.service))


def _add_proof(what: Commands) -> None:
    proof = what.add_parser("proof", help="whisper, and print who hears whom")
    proof.add_argument("--private", action="store_true", help="the supervisor hears nothing")
    you = f"ring a softphone of your own, registered as {GUEST}, and whisper until you hang up"
    proof.add_argument("--you", action="store_true", help=you)
    proof.set_defaults(run=_proof)


def _proof(arguments: argparse.Namespace) -> int:
    return container.proof(you=arguments.you, private=arguments.private)
