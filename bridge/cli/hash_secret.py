"""``whisper-bridge hash-secret``: what the directory keeps of the secret of an app."""

import argparse
import getpass
import secrets
import sys

from bridge.cli.common import Commands, UsageError
from bridge.client_secrets import SALT, hash_secret

SHORTEST = 16
"""Characters of a secret below which it is worth a warning."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "hash-secret",
        help="print the client_secret_hash of a secret",
        description="Read the secret of an app from the terminal, without showing it, or from a"
        " pipe, and print what client_secret_hash of the directory must be.",
    )
    parser.add_argument("--new", action="store_true", help="make a secret and print it as well")
    parser.set_defaults(run=_hash_secret)


def _hash_secret(arguments: argparse.Namespace) -> int:
    secret = secrets.token_urlsafe(32) if arguments.new else _read()
    if arguments.new:
        print(f"client_secret: {secret}", file=sys.stderr)
    print(hash_secret(secret, secrets.token_bytes(SALT)))
    return 0


def _read() -> str:
    secret = _ask() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    # RFC 6749, appendix A.2: visible ASCII characters and the space.
    if not secret or not (secret.isascii() and secret.isprintable()):
        raise UsageError("a secret must be one line of ASCII characters")
    if len(secret) < SHORTEST:
        short = f"this secret is short; --new makes one of {len(secrets.token_urlsafe(32))}"
        print(f"whisper-bridge: {short} characters", file=sys.stderr)
    return secret


def _ask() -> str:
    secret = getpass.getpass("client_secret: ")
    if secret != getpass.getpass("again: "):
        raise UsageError("the two are not the same")
    return secret
