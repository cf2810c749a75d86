"""Every row without a PBX: what it told, and the calls as they then were."""

import json
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from bridge import events, uapi
from bridge.calls import Picture
from bridge.channels import Channel
from bridge.directory import Directory
from bridge.model import Flow, PhoneCallView, Status
from bridge.views import owner_of, phone_call, view_id

from .pbx import CASTS, KINDS, Kind, directory
from .record import FOLDER, file_of
from .told import lines
from .world import SCENES

_MOMENT = "# = "
_RECORDED = sorted(FOLDER.glob("*/*.txt"))
_KINDS = {str(kind): kind for kind in KINDS}


class Replay:
    """The picture of a recording, and who spies on whom."""

    def __init__(self, kind: Kind) -> None:
        known = Directory.parse(directory(kind))
        self.picture = Picture("lab", known.by_endpoint, known.extension)
        self._targets: dict[str, str] = {}

    def feed(self, text: str) -> None:
        """Take in one message."""
        message = text.replace("\n", "\r\n").encode()
        event = events.parse(message)
        assert event is not None
        if isinstance(event, events.SpyStarted):
            self._targets[event.spyer.uniqueid] = event.spyee.uniqueid
        self.picture.feed(event, float(events.headers_of(message)["Timestamp"]))

    def shown(self) -> list[list[str]]:
        """The calls in which agent or colleague takes part, as the scenario noted them."""
        numbers = {f"0003*{CASTS[0]}10", f"0003*{CASTS[0]}100"}
        found = []
        for call in self.picture.calls():
            seen = phone_call(call, self._whisper)
            if seen is not None and any(view.extension in numbers for view in seen.views):
                body = uapi.present_call(seen, "", UTC)
                found.append(lines(json.loads(json.dumps(body)), CASTS[0]))
        return sorted(found)

    def _whisper(self, leg: Channel) -> PhoneCallView | None:
        target = self.picture.channels.get(self._targets.get(leg.uniqueid, ""))
        if target is None or leg.extension is None:
            return None
        return PhoneCallView(
            id=view_id(leg.view),
            extension=owner_of(target).number,
            source=(leg.extension.number,),
            destination=(owner_of(target).number,),
            caller_id=leg.extension.caller_id,
            flow=Flow.LOCAL,
            status=Status.ON_CALL,
            answered=leg.spying,
        )


@pytest.mark.parametrize("path", _RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_calls_of_a_row_at_every_moment(path: Path) -> None:
    replay = Replay(_KINDS[path.parent.name])
    for text in _paragraphs(path):
        if text.startswith(_MOMENT):
            moment, _, calls = text.removeprefix(_MOMENT).partition(": ")
            assert replay.shown() == json.loads(calls), moment
        elif not text.startswith("#"):
            replay.feed(text)
    assert (replay.picture.channels, replay.picture.bridges) == ({}, {})


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in _RECORDED}))
def test_every_row_is_recorded(folder: str) -> None:
    there = {path.name for path in _RECORDED if path.parent.name == folder}
    assert there == {file_of(name) for name in SCENES}


def _paragraphs(path: Path) -> Iterator[str]:
    yield from path.read_text("utf-8").strip().split("\n\n")
