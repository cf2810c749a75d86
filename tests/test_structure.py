"""Imports point inward, and what touches the world stays at the edge."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import Final

import pytest

BRIDGE: Final = Path(__file__).parents[1] / "bridge"

RINGS: Final = (
    (
        "words",
        (
            *("errors", "model", "events", "actions", "memory", "callerid", "toml_lines"),
            *("versions", "hooks"),
        ),
    ),
    (
        "rules",
        (
            *("channels", "calls", "views", "callevents", "modes", "whisper", "outcomes"),
            "happenings",
            "health",
            *(
                "addresses",
                "limits",
                "directory",
                "authority",
                "client_secrets",
                "tokens",
                "oauth",
                "uapi",
                "openapi",
            ),
        ),
    ),
    (
        "service",
        (
            "whispering",
            "attaching",
            "changing",
            "ending",
            "notifying",
            "vouching",
            "remembering",
            "following",
            "reporting",
            "authentication",
            "checking",
            "service",
        ),
    ),
    (
        "edges",
        (
            "ami",
            "api",
            "client",
            "webhooks",
            "audit",
            "metrics",
            "logs",
            "settings",
            "keyring",
            "systemd",
            "lab",
        ),
    ),
    ("root", ("cli", "__main__")),
)
"""From the inside out: a part imports parts of its own ring or of inner ones."""

PURE: Final = {
    *(
        "abc",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "difflib",
    ),
    *("enum", "functools", "hashlib", "heapq", "http", "ipaddress", "itertools", "json", "math"),
    *("operator", "re", "string", "tomllib", "typing", "unicodedata", "urllib.parse"),
    *("argon2", "itsdangerous", "pydantic", "pydantic_core"),
}
"""What knows no loop, no clock, no environment, no file and no network."""

LOOP: Final = {"asyncio", "contextvars", "hmac", "logging", "random", "secrets", "time"}

MAY_IMPORT: Final = {"words": PURE, "rules": PURE, "service": PURE | LOOP}

READERS: Final = {"load", "load_client", "service_manager"}
"""Who is handed the environment by the command."""

CLOCKS: Final = {"now", "utcnow", "today", "astimezone"}
WORLDLY: Final = {"open", "print", "input", "eval", "exec", "__import__"}

ONLY: Final = {
    "aiohttp": {"api", "client", "webhooks", "lab"},
    "aiohttp.web": {"api"},
    "argon2": {"client_secrets"},
    "argparse": {"cli"},
    "itsdangerous": {"tokens"},
    "panoramisk": {"ami"},
    "prometheus_client": {"metrics"},
    "pydantic_settings": {"settings"},
    "rich": {"cli"},
    "sqlite3": {"webhooks"},
}
"""What is imported in one place, and where; client, webhooks and lab ask others over HTTP."""


@dataclass(frozen=True)
class Module:
    """A module as it is written: its dotted name, whether it is a package, and its tree."""

    name: str
    package: bool
    tree: ast.Module

    @property
    def part(self) -> str:
        """Its name in the table of rings: ``uapi`` for ``bridge.uapi.types``."""
        return self.name.split(".")[1] if "." in self.name else ""

    @cached_property
    def imports(self) -> set[str]:
        """Whatever is imported anywhere in it, modules and names alike."""
        return {name for node in ast.walk(self.tree) for name in self._imported(node)}

    def _imported(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            home = self.name if self.package else self.name.rpartition(".")[0]
            base = resolve_name("." * node.level + (node.module or ""), home)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)

    @property
    def parts(self) -> set[str]:
        """The other parts of the bridge that it imports."""
        ours = (name.split(".") for name in self.imports if name.startswith("bridge."))
        return {path[1] for path in ours} & PARTS.keys() - {self.part}

    def calls(self) -> Iterator[ast.Call]:
        """Every call in it."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


PARTS: Final = {part: ring for ring, parts in RINGS for part in parts}
DEPTH: Final = {ring: depth for depth, (ring, _) in enumerate(RINGS)}


def modules(bridge: Path) -> dict[str, Module]:
    """Read every module of the package in ``bridge`` by its dotted name."""
    found = (
        read(str(path.relative_to(bridge)), path.read_text("utf-8"))
        for path in bridge.rglob("*.py")
    )
    return {module.name: module for module in found}


def read(file: str, text: str) -> Module:
    """Read one module from the text of a file of the bridge."""
    words = ("bridge", *Path(file).with_suffix("").parts)
    package = words[-1] == "__init__"
    return Module(".".join(words[:-1] if package else words), package, ast.parse(text))


def violations(everything: Mapping[str, Module]) -> list[str]:
    """Say in which modules which rule is broken."""
    rules = (_ring, _reach, _clock, _places, _environment, _form)
    said = [
        f"{module.name} {what}"
        for module in everything.values()
        for rule in rules
        for what in rule(module)
    ]
    return sorted([*said, *_cycles(everything)])


def _ring(module: Module) -> Iterator[str]:
    if module.part not in PARTS:
        if module.part:
            yield "is in no ring"
        return
    ring = PARTS[module.part]
    for part in module.parts:
        if DEPTH[PARTS[part]] > DEPTH[ring]:
            yield f"imports {part}, which is further out"
        if ring == PARTS[part] == "edges":
            yield f"imports {part}, another edge"
        if module.part == "lab":
            yield f"imports {part}, but sees the bridge from outside only"


def _reach(module: Module) -> Iterator[str]:
    allowed = MAY_IMPORT.get(PARTS.get(module.part, ""))
    for name in module.imports if allowed is not None else ():
        if not _below(name, {"bridge", *(allowed or ())}):
            yield f"imports {name}, which its ring may not"


def _clock(module: Module) -> Iterator[str]:
    if PARTS.get(module.part) not in ("words", "rules"):
        return
    for call in module.calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS:
            yield f"asks for the time: {call.func.attr}"
        if isinstance(call.func, ast.Name) and call.func.id in WORLDLY:
            yield f"calls {call.func.id}"


def _places(module: Module) -> Iterator[str]:
    for name in module.imports:
        if _below(name, {"tests"}):
            yield "imports tests"
        for library, parts in ONLY.items():
            if _below(name, {library}) and module.part not in parts:
                yield f"imports {library}, as only {', '.join(sorted(parts))} may"


def _environment(module: Module) -> Iterator[str]:
    if module.part == "lab":
        return  # it passes its own on to the programs it starts
    if any(_below(name, {"os.environ", "os.getenv"}) for name in module.imports):
        yield "takes the environment out of os"
    passed_on = {
        argument
        for call in module.calls()
        if isinstance(call.func, ast.Name) and call.func.id in READERS and module.part == "cli"
        for argument in call.args
    }
    for node in set(ast.walk(module.tree)) - passed_on:
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
            yield "reads the environment"


def _form(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "has no docstring"


def _cycles(everything: Mapping[str, Module]) -> Iterator[str]:
    graph = {
        name: (module.imports & everything.keys()) - {name} for name, module in everything.items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        yield f"imports in a circle: {' <- '.join(error.args[1])}"


def _below(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


@pytest.fixture(scope="module")
def bridge() -> dict[str, Module]:
    return modules(BRIDGE)


def test_imports_point_inward(bridge: dict[str, Module]) -> None:
    assert violations(bridge) == []


def test_every_part_of_the_table_is_there(bridge: dict[str, Module]) -> None:
    assert {module.part for module in bridge.values()} - {""} == set(PARTS)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("model.py", "import asyncio", "bridge.model imports asyncio, which its ring may not"),
        ("calls.py", "from time import time", "imports time.time, which its ring may not"),
        ("events.py", "import logging", "bridge.events imports logging"),
        ("uapi/types.py", "from os import environ", "imports os.environ, which its ring may not"),
        ("uapi/types.py", "import socket", "bridge.uapi.types imports socket"),
        ("views.py", "def f(): import pathlib", "bridge.views imports pathlib"),
        ("tokens.py", "import urllib.request", "bridge.tokens imports urllib.request"),
        ("directory/lookup.py", "print(open('x'))", "bridge.directory.lookup calls open"),
        ("uapi/listing.py", "datetime.now()", "bridge.uapi.listing asks for the time: now"),
        ("whispering.py", "import socket", "bridge.whispering imports socket"),
        ("service.py", "from aiohttp import web", "imports aiohttp.web, as only api may"),
        ("actions.py", "from bridge import calls", "imports calls, which is further out"),
        ("uapi/shapes.py", "from ..service import x", "imports service, which is further out"),
        ("model.py", "from bridge import callerid", "imports in a circle: bridge."),
        ("api/calls.py", "from bridge import ami", "bridge.api.calls imports ami, another edge"),
        ("lab/run.py", "from bridge import actions", "imports actions, but sees the bridge from"),
        ("lab/run.py", "from aiohttp import web", "imports aiohttp.web, as only api may"),
        ("lab/observer.py", "import panoramisk", "imports panoramisk, as only ami may"),
        ("cli/lab.py", "from tests import support", "bridge.cli.lab imports tests"),
        ("cli/serve.py", "os.environ['X']", "bridge.cli.serve reads the environment"),
        ("keyring.py", "os.getenv('X')", "bridge.keyring reads the environment"),
        ("settings/loading.py", "from os import environ", "takes the environment out of os"),
        ("new.py", '"""New."""', "bridge.new is in no ring"),
        ("uapi/new.py", "x = 1", "bridge.uapi.new has no docstring"),
    ],
)
def test_a_violation_is_found(bridge: dict[str, Module], file: str, line: str, said: str) -> None:
    path = BRIDGE / file
    before = path.read_text("utf-8") if path.exists() else ""
    changed = read(file, f"{before}\n{line}\n")
    found = violations({**bridge, changed.name: changed})
    assert any(said in violation for violation in found), found


def test_a_violation_is_found_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "uapi").mkdir()
    (tmp_path / "uapi/__init__.py").write_text("from . import types\n")
    (tmp_path / "uapi/types.py").write_text('"""Types."""\nfrom ..calls import x\nimport os\n')
    assert violations(modules(tmp_path)) == [
        "bridge.uapi has no docstring",
        "bridge.uapi.types imports os, which its ring may not",
    ]
