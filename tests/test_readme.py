"""README tells the truth: what it shows is run, what it lists is compared with the code."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import tomllib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

import aiohttp
import pytest
from yarl import URL

from bridge import errors
from bridge.client_secrets import matches
from bridge.directory import Directory
from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk
from bridge.lab.phone import Phone
from bridge.lab.server import Server
from bridge.settings import CLIENT_NAMES, NAMES, load, load_client
from tests.support.clients import SECRET_HASH
from tests.support.terminal import Shell
from tests.test_structure import RINGS

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "README.md").read_text("utf-8")
MAKEFILE: Final = (ROOT / "Makefile").read_text("utf-8")

SHOWN_URL: Final = "http://127.0.0.1:8480"
SHOWN_CALL: Final = "b817d2618fe6f1804333"
AGENT, CUSTOMER, SUPERVISOR = "0003*210", "7778888", "0003*024"


@dataclass(frozen=True)
class Command:
    """What is typed after a ``$``, and what the shell answers."""

    typed: str
    answer: list[str]

    @property
    def words(self) -> list[str]:
        """The command as the shell splits it, variables still to be filled in."""
        return shlex.split(self.typed)


def blocks(language: str, text: str = TEXT) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str = TEXT) -> Iterator[Command]:
    """The commands in the console blocks."""
    for block in blocks("console", text):
        for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield _command(piece.rstrip("\n").split("\n"))


def _command(lines: list[str]) -> Command:
    """Part command and answer: a command goes on while a quote is open."""
    end = next(n for n in range(1, len(lines) + 1) if _closed("\n".join(lines[:n])))
    return Command("\n".join(lines[:end]), lines[end:])


def _closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str) -> list[list[str]]:
    """The rows of the only table in a text, without its head."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def shape(text: str) -> list[str]:
    """Lines without what differs from run to run: times, ports, ids, levels, versions."""
    for pattern, constant in (
        (r"\[ *\d+\.\d s\]", "[TIME]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "DATE"),
        (r"\b[0-9a-f]{20}\b", "CALL"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"-? *-?\d+ dBFS", "LEVEL"),
        (r"Asterisk 22\.[\d.]+", "Asterisk 22"),
    ):
        text = re.sub(pattern, constant, text)
    return [re.sub(" +", " ", line).rstrip() for line in text.splitlines()]


# What it says


def test_every_command_it_shows_is_known_here() -> None:
    """Nobody adds an example that nothing runs."""
    known = (
        r"make (lab|test)",
        r"python3 -m venv \S+|\S+/bin/pip install \.",
        r"export (PATH=\S+|BRIDGE_\w+=\S+)",
        r"whisper-bridge serve",
        r"whisper-bridge (calls|whisper) .*",
        r"TOKEN=\$\(whisper-bridge token \S+\)|CALLS?=\S+",
        r"curl .*",
    )
    for command in commands():
        assert re.fullmatch("|".join(known), command.typed, re.DOTALL), command.typed


def test_the_settings_it_exports_exist() -> None:
    exported = {word.split("=")[0] for command in commands() for word in command.words[1:2]}
    assert exported & set(NAMES) == {"BRIDGE_AMI_SECRET", "BRIDGE_DIRECTORY"}
    assert {name for name in exported if name.startswith("BRIDGE_")} <= set(NAMES)


def test_the_settings_table_is_the_settings() -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in table(section("Beside your own PBX"))}
    assert list(rows) == list(NAMES)
    needed = {name for name, default in rows.items() if default == "required"}
    found = load({**dict.fromkeys(needed, "x"), "HOME": "/home/operator"})
    for name, field in NAMES.items():
        if name not in needed:
            assert rows[name] == _as_written(getattr(found, field)), name


def test_the_table_of_a_clients_settings_is_the_settings() -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in table(section("From a terminal"))}
    assert list(rows) == list(CLIENT_NAMES)
    found = load_client({}, {})
    for name, field in CLIENT_NAMES.items():
        assert rows[name] == _as_written(getattr(found, field)), name


def _as_written(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool | float):
        return f"{value:g}" if isinstance(value, float) else str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).replace("/home/operator", "~")


def test_the_rights_it_shows_are_those_of_the_ami_user() -> None:
    (shown,) = blocks("ini")
    conf = (ROOT / "asterisk-conf/manager.d/whisper-bridge.conf").read_text("utf-8")
    rights = re.findall(r"^(?:read|write) = .*$", conf, re.MULTILINE)
    assert shown.splitlines() == rights


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_picture_is_the_table_of_the_rings() -> None:
    (picture,) = re.findall(r"^```\n(.*?)^```$", section("The design"), re.MULTILINE | re.DOTALL)
    head, *lines = picture.splitlines()
    columns = {word.start(): word[0] for word in re.finditer(r"\w+", head)}
    shown: dict[str, list[str]] = {ring: [] for ring in columns.values()}
    for line in lines[: next(n for n, line in enumerate(lines) if "'---" in line)]:
        for word in re.finditer(r"\w+", line):
            shown[columns[word.start()]].append(word[0])
    assert list(shown) == [ring for ring, _ in RINGS]
    for ring, parts in RINGS:
        assert set(shown[ring]) == set(parts) - {"__main__"}


def test_its_table_names_every_module_in_the_order_of_the_rings() -> None:
    named = [row[0].strip("`") for row in table(section("The design"))]
    rings = {part: ring for ring, parts in RINGS for part in parts}
    assert sorted(named) == sorted(set(rings) - {"__main__"})
    order = [ring for ring, _ in RINGS]
    assert [rings[part] for part in named] == sorted(
        (rings[part] for part in named), key=order.index
    )


def test_the_codes_it_lists_have_these_statuses() -> None:
    paragraph = re.search(r"^The codes: .*?\n\n", TEXT, re.MULTILINE | re.DOTALL)
    assert paragraph
    shown: dict[str, int] = {}
    waiting: list[str] = []
    for code, status in re.findall(r"`([a-z_]+)`|\b(\d{3})\b", paragraph[0]):
        waiting += [code] if code else []
        if status:
            shown |= dict.fromkeys(waiting, int(status))
            waiting = []
    known = {(kind.code, kind.status) for kind in _below(errors.ApiError)}
    assert len(shown) >= 12
    assert shown.items() <= known


def _below(kind: type[errors.ApiError]) -> Iterator[type[errors.ApiError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _below(narrower)


def test_the_makefile_runs_what_is_tested_here() -> None:
    assert _recipe("lab") == ["@$(RUN) -m bridge lab $(ARGS)"]
    assert _recipe("test") == ["$(RUN) -m pytest --durations=10 $(ARGS)"]
    assert re.search(r"^test: lint$", MAKEFILE, re.MULTILINE)
    assert [line.removeprefix("$(RUN) -m ") for line in _recipe("lint")] == [
        "ruff format --check",
        "ruff check",
        "mypy",
    ]
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert config["pytest"]["ini_options"]["filterwarnings"] == ["error"]
    assert config["mypy"]["strict"] is True
    assert set(config["mypy"]["packages"]) == {"bridge", "tests"}


def _recipe(target: str) -> list[str]:
    found = re.search(rf"^{target}:[^=\n]*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


def test_every_make_target_it_names_exists() -> None:
    for target in set(re.findall(r"`make (\w+)", TEXT)):
        assert _recipe(target), target


# What it shows


@pytest.mark.pbx
@pytest.mark.timeout(600)
def test_make_lab_prints_what_it_shows() -> None:
    (shown,) = (command for command in commands() if command.typed == "make lab")
    run = subprocess.run(
        (sys.executable, "-m", "bridge", "lab"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    printed, expected = shape(run.stdout), shape("\n".join(shown.answer))
    # Before that it says what it brings, if anything.
    assert printed[printed.index(expected[0]) :] == expected


@dataclass
class Desk:
    """Where the examples are tried: a bridge with README's directory, and a call in progress."""

    server: Server
    http: aiohttp.ClientSession
    call: str
    supervisor: Phone
    variables: dict[str, str]

    def live(self, text: str) -> str:
        """What README writes, for this bridge and this call."""
        return text.replace(SHOWN_URL, self.server.url).replace(SHOWN_CALL, self.call)

    async def nobody_whispers(self) -> None:
        """Have the supervisor hang up, whatever an example had him do, and wait for the end."""
        await self.supervisor.hang_up()
        headers = {"Authorization": f"Bearer {await self.server.token('panel')}"}
        url = URL(f"{self.server.url}/uapi/phoneCalls/12/{AGENT}/{self.call}", encoded=True)
        async with asyncio.timeout(10):
            while True:
                async with self.http.get(url, headers=headers) as answer:
                    if len((await answer.json())["phoneCallView"]) == 1:
                        return
                await asyncio.sleep(0.02)

    async def run(self, command: Command) -> tuple[int, Any] | None:
        """Do what is typed; for curl, return status and body of the answer."""
        assigned = re.fullmatch(r"(\w+)=(?:\$\(whisper-bridge token (\S+)\)|(\S+))", command.typed)
        if assigned is None:
            return await self._curl(command.words)
        name, app, value = assigned.groups()
        self.variables[name] = await self.server.token(app) if app else self.live(value)
        return None

    async def _curl(self, words: list[str]) -> tuple[int, Any]:
        method, url, headers, body = _curl_arguments(
            [self.live(Template(word).substitute(self.variables)) for word in words]
        )
        asked = self.http.request(method, URL(url, encoded=True), headers=headers, data=body)
        async with asked as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None


def _curl_arguments(words: list[str]) -> tuple[str, str, dict[str, str], str | None]:
    """Read a curl command as curl does (curl(1), -d, -H, -u, -X)."""
    program, *rest = words
    assert program == "curl"
    options: dict[str, list[str]] = {"-X": [], "-H": [], "-d": [], "-u": [], "": []}
    waiting = iter(rest)
    for word in waiting:
        key = word if word.startswith("-") else ""
        options[key].append(next(waiting) if key else word)
    (url,) = options[""]
    body = "&".join(options["-d"]) if options["-d"] else None
    form = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
    for who in options["-u"]:
        form["Authorization"] = f"Basic {b64encode(who.encode()).decode()}"
    given = dict(header.split(": ", 1) for header in options["-H"])
    method = options["-X"][0] if options["-X"] else "GET" if body is None else "POST"
    return method, url, {**form, **given}, body


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    asterisk, baresip = await asyncio.gather(
        packages.asterisk("22", print), packages.baresip(print)
    )
    run_dir = tmp_path_factory.mktemp("readme")
    async with AsyncExitStack() as stack:
        starting = Asterisk.start(asterisk, run_dir / "pbx", bridge_secret="s" * 48)
        pbx = await stack.enter_async_context(await starting)
        phones: dict[str, Phone] = {}
        for number in (AGENT, CUSTOMER, SUPERVISOR):
            phone = Phone(
                baresip,
                run_dir / f"phone{len(phones)}",
                number=number,
                password=PHONE_PASSWORD,
                sip_port=pbx.sip_port,
                tone_hz=tones.AGENT_HZ,
            )
            phones[number] = await stack.enter_async_context(phone)
            await phone.registered()
        server = await stack.enter_async_context(await _server(run_dir, pbx))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await phones[CUSTOMER].dial(AGENT)
        call = await _call_in_progress(server, http)
        yield Desk(server, http, call, phones[SUPERVISOR], {})


async def _server(run_dir: Path, pbx: Asterisk) -> Server:
    (shown,) = blocks("toml")
    directory = run_dir / "directory.toml"
    # The lab asks with an app of its own whether the bridge is ready.
    app = f'[[apps]]\nclient_id = "lab-app"\nclient_secret_hash = "{SECRET_HASH}"\nuser = "12"\n'
    directory.write_text(f"{shown}\n{app}")
    return await Server.start(
        run_dir / "bridge", ami_port=pbx.ami_port, ami_secret="s" * 48, directory=directory
    )


async def _call_in_progress(server: Server, http: aiohttp.ClientSession) -> str:
    headers = {"Authorization": f"Bearer {await server.token('panel')}"}
    url = URL(f"{server.url}/uapi/phoneCalls/12/{AGENT}", encoded=True)
    async with asyncio.timeout(10):
        while True:
            async with http.get(url, headers=headers) as answer:
                page = await answer.json() if answer.status == 200 else {"entry": []}
            for call in page["entry"]:
                if call["phoneCallView"][0]["status"] == "5":
                    return str(call["id"])
            await asyncio.sleep(0.02)


def examples() -> Iterator[tuple[list[Command], int, Mapping[str, Any]]]:
    """What is typed, with the status the text before gives and the answer the text after shows."""
    *parts, rest = re.split(
        r"^```json\n(.*?)^```$", section("The API by example"), flags=re.M | re.S
    )
    assert not list(commands(rest)), "an example without its answer"
    for before, answer in zip(parts[::2], parts[1::2], strict=True):
        status = re.search(r"`(\d{3})`", before)
        assert status, before
        yield list(commands(before)), int(status[1]), json.loads(answer)


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_the_examples_are_answered_as_it_shows(desk: Desk) -> None:
    tried = 0
    for typed, status, body in examples():
        for command in typed[:-1]:
            assert await desk.run(command) is None
        expected = status, undated(json.loads(desk.live(json.dumps(body))))
        assert await answered(desk, typed[-1], expected) == expected
        tried += 1
    assert tried == 6


async def answered(desk: Desk, command: Command, expected: tuple[int, Any]) -> tuple[int, Any]:
    """Ask until the answer is as expected: a phone needs its time to pick up; a PUT only once."""
    patience = 1 if "PUT" in command.words else 100
    for _ in range(patience):
        answer = await desk.run(command)
        assert answer
        found = answer[0], undated(answer[1])
        if found == expected:
            break
        await asyncio.sleep(0.05)
    return found


def undated(value: Any) -> Any:
    """The same without its dates, which must be dates with an offset, and without its tokens."""
    if isinstance(value, dict):
        return {name: undated(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [undated(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", value):
        return "DATE"
    return "TOKEN" if re.fullmatch(r"\w+\.\d{13}\.[\w-]{64}", value) else value


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_a_terminal_shows_what_it_shows(desk: Desk) -> None:
    token = await desk.server.token("panel")
    shell = Shell({"WHISPER_URL": desk.server.url, "WHISPER_TOKEN": token})
    await desk.nobody_whispers()
    for command in commands(section("From a terminal")):
        program, *arguments = command.words
        assert program == "whisper-bridge"
        said = await shell.runs(*arguments)
        assert (said.code, said.err) == (0, "")
        assert shape(clockless(said.out)) == shape(clockless("\n".join(command.answer)))
    await desk.nobody_whispers()


def clockless(text: str) -> str:
    """The same without times of a day and how long something lasts."""
    return re.sub(r"\d\d:\d\d:\d\d|\b\d:\d\d\b", "TIME", text)


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_serve_logs_what_it_shows(desk: Desk) -> None:
    (shown,) = (command for command in commands() if command.typed == "whisper-bridge serve")
    logged = desk.server.log.read_text("utf-8").splitlines()[: len(shown.answer)]
    assert shape("\n".join(logged)) == shape("\n".join(shown.answer))


def test_the_directory_it_shows_is_one() -> None:
    (shown,) = blocks("toml")
    directory = Directory.parse(shown)
    for number in (AGENT, SUPERVISOR):
        assert directory.extension(number)
    (secret,) = re.findall(r"secret it asks for \(here `(.+?)`\)", TEXT)
    assert matches(directory.secret_hash("panel"), secret)
