"""Somebody at a shell: runs the command, in processes of its own."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

from tests.support.clients import SECRET_HASH

DIRECTORY = f"""\
[[organizations]]
id = 3
name = "Default Organization"
prefix = "0003"

[[users]]
id = 12
organization = 3

[[extensions]]
number = "0003*210"
user = 12

[[apps]]
client_id = "panel"
client_secret_hash = "{SECRET_HASH}"
user = 12
"""
CHECKOUT = Path(__file__).parents[2]
PORT_NOBODY_HEARS = "1"
"""tcpmux: nothing on a machine of today answers there."""


class Operator:
    """Somebody at a shell, with a directory and the settings that are needed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.directory = home / "directory.toml"
        self.directory.write_text(DIRECTORY)
        self.settings = {
            "BRIDGE_AMI_PORT": PORT_NOBODY_HEARS,
            "BRIDGE_AMI_SECRET": "zq9secret",
            "BRIDGE_DIRECTORY": str(self.directory),
            "BRIDGE_STATE_DIR": str(home / "state"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command."""
        others = {name: text for name, text in os.environ.items() if "BRIDGE" not in name}
        return subprocess.Popen(
            (sys.executable, "-W", "error", "-m", "bridge", *arguments),
            env={**others, **self.settings, "HOME": str(self.home)},
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, typed: str = "") -> tuple[int, str, str]:
        """Run the command to its end, with something in its pipe: exit code, output, errors."""
        with self.start(*arguments) as process:
            try:
                out, err = process.communicate(typed, timeout=20)
            finally:
                process.kill()
        return process.returncode, out, err

    def told(self, *arguments: str, typed: str = "") -> list[str]:
        """Run a command that must fail as an operator's mistake does, and return what it says."""
        code, out, err = self.run(*arguments, typed=typed)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert "zq9secret" not in err
        lines = err.splitlines()
        assert all(lines)
        return lines

    @contextmanager
    def serving(self) -> Iterator["Serving"]:
        """Have the service run, on a free port."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.settings["BRIDGE_HTTP_PORT"] = str(free.getsockname()[1])
        with self.start("serve") as process:
            try:
                yield Serving(self, process)
            finally:
                process.kill()


class Serving:
    """A service that runs, with nobody at the other end of its AMI."""

    def __init__(self, operator: Operator, process: subprocess.Popen[str]) -> None:
        self._operator, self._process = operator, process
        self.said = self.hears("listening on")

    def hears(self, words: str) -> str:
        """Read the log up to the line with these words, and return it."""
        assert self._process.stderr
        return next(line for line in self._process.stderr if words in line)

    def reads_anew(self, directory: str) -> str:
        """Write the directory, send SIGHUP, and return what the log says of it."""
        self._operator.directory.write_text(directory)
        return self.hang_up()

    def hang_up(self, part: str = "the directory") -> str:
        """Send SIGHUP, and return what the log says of a part."""
        self._process.send_signal(signal.SIGHUP)
        return self.hears(f"reload: {part}")

    def ends(self) -> None:
        """Send SIGTERM and wait for the end, which must be clean."""
        self._process.send_signal(signal.SIGTERM)
        _, rest = self._process.communicate(timeout=20)
        assert (self._process.returncode, "Traceback" in rest) == (0, False)

    def sent(self, number: signal.Signals) -> str:
        """Send a signal and wait for the end; gives the rest of the log."""
        self._process.send_signal(number)
        return self._process.communicate(timeout=20)[1]

    def attempts(self, call_id: str, token: str) -> str:
        """Ask for a whisper, which cannot be had here; gives the id of the request."""
        body = b'{"action": "Whisper", "sendCallTo": "0003*024", "phoneCallViewId": "01"}'
        port = self._operator.settings["BRIDGE_HTTP_PORT"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/uapi/phoneCalls/12/0003*210/{call_id}",
            body,
            {"Authorization": f"Bearer {token}"},
            method="PUT",
        )
        try:
            urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as answer:
            with answer:
                return str(answer.headers["X-Request-Id"])
        raise AssertionError("there is no PBX, and yet it whispers")

    def status(self, token: str) -> int:
        """The answer to a list request; 503, since there is no PBX, if the token is good."""
        return self._ask("uapi/phoneCalls/@me/@self", {"Authorization": f"Bearer {token}"})[0]

    def asks(self, **form: str) -> tuple[int, str]:
        """Ask for a token over HTTP: the answer's status and text."""
        body = urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode()
        return self._ask("oauth/token.php", {}, body)

    def _ask(
        self, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self._operator.settings['BRIDGE_HTTP_PORT']}/{path}"
        answer: HTTPResponse | urllib.error.HTTPError
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status or 0, answer.read().decode()
