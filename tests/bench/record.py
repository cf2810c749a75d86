"""Records what one call looks like on the AMI to a user who hears everything (``read = all``).

``python -m tests.bench.record`` writes ``call.txt`` beside this file: a call from a customer to an
agent, answered and hung up, as a real Asterisk 22 tells it.
"""

import asyncio
import tempfile
from pathlib import Path

from bridge.lab import packages, tones
from bridge.lab.asterisk import OBSERVER_SECRET, PHONE_PASSWORD, Asterisk
from bridge.lab.phone import Phone

RECORDING = Path(__file__).with_name("call.txt")
_LOGIN = f"Action: Login\r\nUsername: lab\r\nSecret: {OBSERVER_SECRET}\r\nEvents: on\r\n\r\n"


async def record() -> None:
    """Make the call and write down every event of it."""
    asterisk, baresip = await packages.asterisk("22", print), await packages.baresip(print)
    with tempfile.TemporaryDirectory(prefix="whisper-bench-") as folder:
        run_dir = Path(folder)
        async with await Asterisk.start(asterisk, run_dir / "pbx", bridge_secret="unused") as pbx:
            caller, agent = (
                Phone(
                    baresip,
                    run_dir / name,
                    number=name,
                    password=PHONE_PASSWORD,
                    sip_port=pbx.sip_port,
                    tone_hz=hz,
                )
                for name, hz in (("7778888", tones.CUSTOMER_HZ), ("0003*210", tones.AGENT_HZ))
            )
            async with caller, agent:
                await asyncio.gather(caller.registered(), agent.registered())
                heard = await _listen(pbx.ami_port, caller, agent)
    RECORDING.write_bytes(heard.replace(b"\r\n", b"\n"))


async def _listen(port: int, caller: Phone, agent: Phone) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_LOGIN.encode())
    async with asyncio.timeout(10):
        await reader.readuntil(b"FullyBooted")
        await reader.readuntil(b"\r\n\r\n")
    await caller.dial(agent.number)
    await caller.established()
    await asyncio.sleep(1)
    await caller.hang_up()
    heard = b""
    async with asyncio.timeout(10):
        while heard.count(b"Event: Hangup\r\n") < 2:
            heard += await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return heard


if __name__ == "__main__":
    asyncio.run(record())
