"""From a terminal: what is typed there prints what the guide shows."""

import re

import pytest

from bridge.settings import CLIENT_NAMES, load_client
from tests.support.guides import TERMINAL, shown, table
from tests.support.terminal import Shell

from .desk import Desk, as_written, shape


def test_the_table_of_a_clients_settings_is_the_settings() -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in table(TERMINAL.text)}
    assert list(rows) == list(CLIENT_NAMES)
    found = load_client({}, {})
    for name, field in CLIENT_NAMES.items():
        assert rows[name] == as_written(getattr(found, field)), name


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_a_terminal_shows_what_it_shows(desk: Desk) -> None:
    token = await desk.server.token("panel")
    shell = Shell({"WHISPER_URL": desk.server.url, "WHISPER_TOKEN": token})
    await desk.nobody_whispers()
    for command in shown(TERMINAL.text):
        program, *arguments = command.words
        assert program == "whisper-bridge"
        said = await shell.runs(*arguments)
        assert (said.code, said.err) == (0, "")
        assert shape(clockless(said.out)) == shape(clockless("\n".join(command.answer)))
    await desk.nobody_whispers()


def clockless(text: str) -> str:
    """The same without times of a day and how long something lasts."""
    return re.sub(r"\d\d:\d\d:\d\d|\b\d:\d\d\b", "TIME", text)
