"""Fills a small disk under a recorder and empties it again; prints what became of its lines."""

import json
import os
import sys
import time
from pathlib import Path

from bridge.audit import Recorder
from bridge.happenings import Attempted, Moment
from bridge.model import Asker


def main(disk: Path) -> None:
    """Write until the disk is full, make room, and look."""
    filler, path = disk / "filler", disk / "audit.jsonl"
    recorder = Recorder(path, retry=0.02)
    recorder.start()
    while recorder.written < 1:
        time.sleep(0.01)
    room = os.statvfs(disk)
    filler.write_bytes(b"x" * (room.f_bavail - 1) * room.f_bsize)
    told = 0
    while not recorder.trouble:
        recorder(Attempted(Asker(), "Whisper", "0003*210", f"{told:064}"), Moment(0.0, 0.0))
        told += 1
        time.sleep(0.001)
    short = not path.read_bytes().endswith(b"\n")
    filler.unlink()
    recorder.stop()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    calls = [line["call"] for line in lines if line["event"] == "attempt"]
    whole = calls == [f"{number:064}" for number in range(told)]
    print(json.dumps({"short": short, "whole": whole}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
