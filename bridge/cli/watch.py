"""``whisper-bridge watch``: the calls that a service shows, as they come and go."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from bridge.cli.calls import add_whose, whose
from bridge.cli.common import Commands
from bridge.cli.remote import Exit, Remote, add_options, asking, complain, visible
from bridge.cli.tables import calls_table, console, line
from bridge.client import Board, Changed, Complete, Connection, Ended, Lost, News, PbxAway

_SECOND: Final = 1.0


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "watch",
        help="follow the calls of an extension, or of all of a user, live",
        description="Follow the calls of EXTENSION, or of all extensions of a user, until Ctrl-C: a"
        " table on a terminal, elsewhere a line for each change. A connection that is lost is made"
        " again, and goes on where it was.",
    )
    add_whose(parser)
    add_options(parser)
    parser.set_defaults(run=asking(_watch))


class Shown(Protocol):
    """Where news are shown."""

    def take(self, news: News) -> None:
        """Show some."""


def _watch(arguments: argparse.Namespace, remote: Remote) -> int:
    remote.run(partial(_follow, arguments))
    return Exit.DONE


async def _follow(arguments: argparse.Namespace, connection: Connection) -> None:
    out = console()
    async with aclosing(whose(connection, arguments).follow()) as news:
        # The first, or why there is none, before the screen is taken.
        first = await anext(news)
        async with _shown(out, as_json=arguments.json) as shown:
            shown.take(first)
            async for each in news:
                shown.take(each)


@asynccontextmanager
async def _shown(out: Console, *, as_json: bool) -> AsyncIterator[Shown]:
    if as_json:
        yield _Json()
    elif not out.is_terminal:
        yield _Lines()
    else:
        with _Screen(out) as screen:
            ticking = asyncio.create_task(screen.tick())
            try:
                yield screen
            finally:
                ticking.cancel()
                with suppress(asyncio.CancelledError):
                    await ticking


class _Json:
    """An object in a line for each: what the stream calls it, and what it says."""

    def take(self, news: News) -> None:
        said = _object(news)
        if said:
            print(json.dumps(said), flush=True)


def _object(news: News) -> Mapping[str, object]:
    match news:
        case Changed(call):
            return {"event": "phoneCall", "phoneCall": call.body()}
        case Ended(call_id):
            return {"event": "phoneCallEnded", "id": call_id}
        case Complete(total):
            return {"event": "ready", "totalResults": total}
        case PbxAway():
            return {"event": "unavailable"}
        case Lost(reason, seconds):
            return {"event": "lost", "message": reason, "retryAfter": seconds}
        case _:
            return {}


class _Lines:
    """A line for each change of a view; what is wrong stands in the errors."""

    def __init__(self) -> None:
        self._board = Board()

    def take(self, news: News) -> None:
        before = self._board.trouble
        now = datetime.now().astimezone()
        for step in self._board.take(news):
            print(line(step, now), flush=True)
        if self._board.trouble != before:
            complain(self._board.trouble or "well again")


class _Screen:
    """A table that lives."""

    def __init__(self, out: Console) -> None:
        self._board = Board()
        self._live = Live(console=out, auto_refresh=False, get_renderable=self._drawn)

    def __enter__(self) -> "_Screen":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def take(self, news: News) -> None:
        """Draw it with these news."""
        self._board.take(news)
        self._live.refresh()

    async def tick(self) -> None:
        """Draw it every second, for the time of the calls."""
        while True:
            await asyncio.sleep(_SECOND)
            self._live.refresh()

    def _drawn(self) -> RenderableType:
        board = self._board
        calls = board.calls.values()
        count = "1 call" if len(calls) == 1 else f"{len(calls)} calls"
        head = count if board.complete else "waiting for the calls"
        foot = f"Not up to date: {board.trouble}" if board.trouble else head
        style = "bold red" if board.trouble else "dim"
        status = Text(visible(foot), style=style)
        return Group(calls_table(calls, datetime.now().astimezone()), status)
