"""Child processes that end in order, and that never outlive us."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bridge.lab.errors import LabError

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with_parent() -> Callable[[], None]:
    """Return what a child runs before exec so that the kernel kills it when we are gone."""
    parent = os.getpid()

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died between fork and prctl; then nobody would tell us any more.
        if os.getppid() != parent:
            os._exit(1)

    return in_child


async def spawn(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: Path
) -> asyncio.subprocess.Process:
    """Start a program in the background.

    It gets its own session, so that Ctrl-C on the terminal reaches us first and we stop things in
    order, and it is killed by the kernel if we die without stopping it.

    Args:
        command: the program and its arguments.
        cwd: the directory it runs in.
        env: what is added to our environment.
        output: the file both its output and its errors are written to.

    Raises:
        LabError: the program cannot be run.
    """
    with output.open("ab") as sink:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=cwd,
                env={**os.environ, **env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            raise LabError(f"cannot run {command[0]}: {error}") from error


async def stop(process: asyncio.subprocess.Process, *, patience: float) -> None:
    """End a program: ask with SIGTERM, after `patience` seconds insist with SIGKILL."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        await kill(process)
    except asyncio.CancelledError:
        process.kill()
        raise


async def kill(process: asyncio.subprocess.Process) -> None:
    """End a program at once with SIGKILL and reap it."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await asyncio.wait_for(process.wait(), 5)


async def run(
    command: Sequence[str],
    *,
    limit: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    may_fail: bool = False,
) -> str:
    """Run a program to its end and return what it printed.

    Args:
        command: the program and its arguments.
        limit: seconds it may take.
        env: what is added to our environment.
        cwd: the directory it runs in; ours if not given.
        may_fail: whether its exit status does not matter.

    Raises:
        LabError: it cannot be run, took too long or failed; the message ends with its last words.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_die_with_parent(),
        )
    except OSError as error:
        raise LabError(f"cannot run {command[0]}: {error}") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError as error:
        raise LabError(f"{command[0]} did not end within {limit:.0f} s") from error
    finally:
        if process.returncode is None:
            await kill(process)
    if process.returncode != 0 and not may_fail:
        raise LabError(f"{command[0]} failed:\n{last_lines(err.decode(errors='replace'), 6)}")
    return out.decode(errors="replace")


def last_lines(text: str, count: int) -> str:
    """Return the last `count` lines of a text."""
    return "\n".join(text.rstrip().splitlines()[-count:])
