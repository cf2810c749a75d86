"""Operating the bridge: its settings, its directory and its log are as the guide shows."""

import re

import pytest

from bridge.client_secrets import matches
from bridge.directory import Directory
from bridge.settings import NAMES, load
from tests.support.guides import OPERATING, ROOT, shown

from .desk import AGENT, SUPERVISOR, Desk, as_written, shape


def test_the_settings_it_exports_exist() -> None:
    exported = {
        word.split("=")[0] for command in shown(OPERATING.text) for word in command.words[1:2]
    }
    assert exported & set(NAMES) == {"BRIDGE_AMI_SECRET", "BRIDGE_DIRECTORY"}
    assert {name for name in exported if name.startswith("BRIDGE_")} <= set(NAMES)


def test_the_settings_table_is_the_settings() -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in OPERATING.table("Settings")}
    assert list(rows) == list(NAMES)
    needed = {name for name, default in rows.items() if default == "required"}
    found = load({**dict.fromkeys(needed, "x"), "HOME": "/home/operator"})
    for name, field in NAMES.items():
        if name not in needed:
            assert rows[name] == as_written(getattr(found, field)), name


def test_the_rights_it_shows_are_those_of_the_ami_user() -> None:
    conf = (ROOT / "asterisk-conf/manager.d/whisper-bridge.conf").read_text("utf-8")
    rights = re.findall(r"^(?:read|write) = .*$", conf, re.MULTILINE)
    assert OPERATING.block("ini").splitlines() == rights


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_serve_logs_what_it_shows(desk: Desk) -> None:
    (serve,) = (
        command for command in shown(OPERATING.text) if command.typed == "whisper-bridge serve"
    )
    logged = desk.server.log.read_text("utf-8").splitlines()[: len(serve.answer)]
    assert shape("\n".join(logged)) == shape("\n".join(serve.answer))


def test_the_directory_it_shows_is_one() -> None:
    directory = Directory.parse(OPERATING.block("toml"))
    for number in (AGENT, SUPERVISOR):
        assert directory.extension(number)
    (secret,) = re.findall(r"secret it asks for \(here `(.+?)`\)", OPERATING.text)
    assert matches(directory.secret_hash("panel"), secret)
