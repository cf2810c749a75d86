"""The alerts and the dashboard that are shipped: right by promtool, and of metrics there are."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.lab.errors import LabError
from tests.support.operator import Operator
from tests.support.tools import Tool, tool

from .test_metrics import everything_told

PACKAGING: Final = Path(__file__).parents[2] / "packaging"
ALERTS: Final = PACKAGING / "prometheus/alerts.yml"
DASHBOARD: Final = json.loads((PACKAGING / "grafana/whisper-bridge.json").read_text("utf-8"))
RULES: Final = ALERTS.read_text("utf-8")
TESTS: Final = Path(__file__).with_name("alerts_test.yml")

_METRIC: Final = re.compile(r"\b(?:whisper_bridge|process)_[a-z_]+\b")
_LABEL: Final = re.compile(
    r"\bby \(([a-z, ]+)\)|[{,]\s*([a-z_]+)(?:=~?|!=)|{{ ?\$?(?:labels\.)?(\w+) ?}}"
)
_SCRAPED: Final = {"job", "instance", "le"}
"""Labels that Prometheus adds."""


@pytest.fixture
async def promtool() -> Tool:
    return await tool("promtool", "prometheus")


def queries() -> Iterator[str]:
    """What the panels of the dashboard ask for, as Grafana would send it."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            asked = re.sub(r"\$__(rate_interval|range)", "5m", target["expr"])
            yield asked.replace("$instance", ".*")


def expressions() -> list[str]:
    """Every expression that is shipped."""
    of_rules = re.findall(r"expr: (?:\|\n((?: {10}.*\n)+)|(.*))", RULES)
    assert len(of_rules) == RULES.count("- alert:")
    return [*("".join(found) for found in of_rules), *queries()]


# By promtool


@pytest.mark.timeout(300)
async def test_the_alerts_are_right(promtool: Tool) -> None:
    assert "SUCCESS: 13 rules" in await promtool.run("check", "rules", str(ALERTS))


@pytest.mark.timeout(300)
async def test_the_alerts_fire_when_they_should_and_only_then(
    promtool: Tool, tmp_path: Path
) -> None:
    shutil.copy(ALERTS, tmp_path / "alerts.yml")
    shutil.copy(TESTS, tmp_path / "alerts_test.yml")
    assert "SUCCESS" in await promtool.run("test", "rules", str(tmp_path / "alerts_test.yml"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("alert", re.findall(r"alert: (\w+)", RULES))
async def test_an_alert_that_never_fires_would_be_noticed(
    promtool: Tool, tmp_path: Path, alert: str
) -> None:
    begin, name, rest = RULES.partition(f"- alert: {alert}\n")
    never = re.sub(r"expr: (?:\|\n(?: {10}.*\n)+|.*\n)", "expr: vector(1) > 2\n", rest, count=1)
    (tmp_path / "alerts.yml").write_text(begin + name + never)
    shutil.copy(TESTS, tmp_path / "alerts_test.yml")
    with pytest.raises(LabError):
        await promtool.run("test", "rules", str(tmp_path / "alerts_test.yml"))


@pytest.mark.timeout(300)
async def test_what_the_dashboard_asks_for_is_promql(promtool: Tool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules" in await promtool.run("check", "rules", str(file))


@pytest.mark.timeout(300)
async def test_the_metrics_are_named_as_is_usual(promtool: Tool) -> None:
    text = everything_told().text("")[0].decode()
    ours = [line for line in text.splitlines(keepends=True) if "_created" not in line]
    done = subprocess.run(
        (str(promtool.path), "check", "metrics"),
        input="".join(ours),
        env=promtool.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Against the service


def test_every_metric_they_name_is_exported(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    operator.settings["BRIDGE_WEBHOOKS_DB"] = str(tmp_path / "webhooks.sqlite")
    with operator.serving():
        port = operator.settings["BRIDGE_HTTP_PORT"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    exported: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        exported |= {name + part for part in parts}
    named = {name for expression in expressions() for name in _METRIC.findall(expression)}
    assert named - exported == set()
    ours = {name for name in exported if name.startswith("whisper_bridge_")}
    unused = {name for name in ours - named if not name.endswith(("_sum", "_count", "_created"))}
    assert unused == set()


def test_every_label_they_name_is_there() -> None:
    families = list(text_string_to_metric_families(everything_told().text("")[0].decode()))
    labels = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    for expression in expressions():
        known = set().union(*(labels.get(name, set()) for name in _METRIC.findall(expression)))
        wanted = {
            label.strip()
            for found in _LABEL.findall(expression)
            for label in "".join(found).split(",")
        }
        assert wanted - known - _SCRAPED == set(), expression


# The dashboard


def test_its_panels_have_their_own_ids_and_places() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    for one, other in combinations(panels, 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_its_panels_ask_the_source_that_is_chosen_about_the_instances_that_are() -> None:
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert names == {"datasource", "instance"}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert '$instance"' in target["expr"], panel["title"]


def test_its_legends_name_labels_that_are_asked_for() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            _check_legend(target)


def _check_legend(target: dict[str, Any]) -> None:
    shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    grouped = re.findall(r"by \(([a-z, ]+)\)", target["expr"])
    asked = {label.strip() for group in grouped for label in group.split(",")}
    assert not grouped or shown <= asked, target["expr"]
