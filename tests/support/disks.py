"""Small disks of their own, for programs that are to find them full."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

_MOUNTED = 'mount -t tmpfs -o "size=$SIZE" none "$DISK" && exec "$1" -m "$2" "$DISK"'


def run_on_a_small_disk(module: str, folder: Path, *, size: str, limit: float) -> Any:
    """Run a module with a disk of that ``size`` mounted on ``folder``, and return what it prints.

    Skips the test where no disk can be mounted. ``size`` is as mount(8) takes it for tmpfs,
    ``limit`` in seconds.
    """
    command = ("sh", "-c", _MOUNTED, "sh", sys.executable, module)
    done = subprocess.run(
        ("unshare", "--map-root-user", "--mount", *command),
        cwd=ROOT,
        env={**os.environ, "DISK": str(folder), "SIZE": size},
        capture_output=True,
        text=True,
        timeout=limit,
    )
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("no disk can be mounted here")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
