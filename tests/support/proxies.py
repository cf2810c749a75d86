"""Real proxies in front of a bridge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.lab import processes

from .tools import Tool, tool


@asynccontextmanager
async def nginx(folder: Path, block: str, port: int) -> AsyncIterator[None]:
    """Run an nginx with this server block, until it listens at its port on loopback."""
    program = await tool("nginx", "nginx", "libpcre2-8-0")
    scratch = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{scratch}{block}}}\n"
    )
    words = ("-e", f"{folder}/error.log", "-p", str(folder), "-c", str(config))
    await program.run(*words, "-t")
    async with _running(program, folder, port, *words):
        yield


@asynccontextmanager
async def caddy(folder: Path, block: str, port: int) -> AsyncIterator[None]:
    """Run a Caddy with this site, until it listens at its port on loopback."""
    program = await tool("caddy", "caddy")
    config = folder / "Caddyfile"
    config.write_text(f"{{\nadmin off\nauto_https disable_redirects\n}}\n{block}")
    home = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder), "HOME": str(folder)}
    program = Tool(program.path, {**program.env, **home})
    words = ("--config", str(config), "--adapter", "caddyfile")
    await program.run("validate", *words)
    async with _running(program, folder, port, "run", *words):
        yield


@asynccontextmanager
async def _running(program: Tool, folder: Path, port: int, *words: str) -> AsyncIterator[None]:
    log = folder / "output"
    process = await processes.spawn(
        (str(program.path), *words), cwd=folder, env=program.env, output=log
    )
    try:
        await _listening(port)
        yield
        assert process.returncode is None, log.read_text()
    finally:
        await processes.stop(process, patience=10)


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
