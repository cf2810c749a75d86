"""What the package brings to an operator is true and whole."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bridge.directory import Directory
from bridge.settings import NAMES, load
from tests.support.clients import SECRET_HASH

CHECKOUT = Path(__file__).parents[2]
PACKAGING = CHECKOUT / "packaging"


def test_the_settings_that_are_in_force_are_those_of_the_service(tmp_path: Path) -> None:
    secret = tmp_path / "ami-secret"
    secret.write_text("s\n")
    found = load(
        {"BRIDGE_CONFIG": str(PACKAGING / "bridge.env"), "BRIDGE_AMI_SECRET_FILE": str(secret)}
    )
    assert found.directory == Path("/etc/whisper-bridge/directory.toml")
    assert found.state_dir == Path("/var/lib/whisper-bridge")


def test_the_settings_that_are_shown_exist_and_have_their_defaults() -> None:
    text = (PACKAGING / "bridge.env").read_text("utf-8")
    shown = dict(re.findall(r"^#(BRIDGE_\w+)=(.*)$", text, re.MULTILINE))
    assert shown.keys() < set(NAMES)
    found = load({"BRIDGE_AMI_SECRET": "s", "BRIDGE_DIRECTORY": "d", "HOME": "/h"})
    examples = {"BRIDGE_AMI_CA", "BRIDGE_PUBLIC_URL", "BRIDGE_TLS_CERT", "BRIDGE_TLS_KEY"}
    examples |= {"BRIDGE_TRUSTED_PROXIES", "BRIDGE_WEBHOOKS_DB", "BRIDGE_WEBHOOKS_ALLOW"}
    for name in shown.keys() - examples:
        value = getattr(found, NAMES[name])
        written = f"{value:g}" if isinstance(value, float) else str(value)
        assert shown[name] == (written.lower() if isinstance(value, bool) else written), name


def test_every_setting_may_be_given_in_the_file(tmp_path: Path) -> None:
    text = (PACKAGING / "bridge.env").read_text("utf-8")
    config, secret = tmp_path / "bridge.env", tmp_path / "ami-secret"
    secret.write_text("s")
    config.write_text(re.sub(r"^#(?=BRIDGE_)", "", text, flags=re.MULTILINE))
    found = load({"BRIDGE_CONFIG": str(config), "BRIDGE_AMI_SECRET_FILE": str(secret)})
    assert found.public_url == "https://pbx.example.com"


def test_the_directory_knows_nobody_until_its_example_is_taken() -> None:
    text = (PACKAGING / "directory.toml").read_text("utf-8")
    assert not tomllib.loads(text)
    assert Directory.parse(text).app("panel") is None
    example = re.sub(r"^# (?=\[\[|\w+ = )", "", text, flags=re.MULTILINE)
    example = example.replace("what whisper-bridge hash-secret prints", SECRET_HASH)
    directory = Directory.parse(example)
    assert directory.app("panel")
    assert directory.extension("0003*024")


def test_the_libraries_of_the_debian_package_are_those_the_bridge_asks_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = (PACKAGING / "requirements.txt").read_text("utf-8")
    versions = {
        canonicalize_name(name): version
        for name, version in re.findall(r"^(\S+)==(\S+) \\$", locked, re.MULTILINE)
    }
    for line in project["dependencies"]:
        wanted = Requirement(line)
        version = versions.get(canonicalize_name(wanted.name), "none")
        assert wanted.specifier.contains(version), f"{line}: make lock"
