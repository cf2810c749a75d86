"""The shipped configuration of logrotate, run by the real one under an audit that is written."""

import time
from pathlib import Path

import pytest

from bridge.audit import Archive, Recorder, Wanted
from bridge.happenings import Attempted, Moment
from bridge.model import Asker
from tests.support.tools import tool

SHIPPED = Path(__file__).parents[2] / "packaging/logrotate/whisper-bridge"


@pytest.mark.timeout(300)
async def test_no_line_is_lost_by_logrotate_and_all_are_read(tmp_path: Path) -> None:
    logrotate = await tool("logrotate", "logrotate", "libpopt0")
    path, config = tmp_path / "audit.jsonl", tmp_path / "logrotate.conf"
    config.write_text(SHIPPED.read_text().replace("/var/lib/whisper-bridge/audit.jsonl", str(path)))
    config.chmod(0o644)
    recorder = Recorder(path)
    recorder.start()
    for number in range(300):
        attempt = Attempted(Asker(), "Whisper", "0003*210", f"{number:020}")
        recorder(attempt, Moment(time.time(), time.monotonic()))
        if number % 90 == 89:
            while not path.exists():
                time.sleep(0.01)
            await logrotate.run("--force", "--state", str(tmp_path / "state"), str(config))
    recorder.stop()
    names = sorted(file.name for file in tmp_path.glob("audit*"))
    assert names == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2.gz", "audit.jsonl.3.gz"]
    assert path.stat().st_mode & 0o777 == 0o640
    archive = Archive(path)
    calls = [line["call"] for line in archive.lines(Wanted()) if line["event"] == "attempt"]
    assert calls == [f"{number:020}" for number in range(300)]
    assert archive.damaged == 0
