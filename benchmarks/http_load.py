"""Load on a server from a process of its own.

Connections send the same bodies, at a rate or as fast as answers come; what came back is printed as JSON.
``echo '{"port": 3000, "path": "/embed", "bodies": [...], "connections": 64, "seconds": 5}' | python
benchmarks/http_load.py``
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRK_SCRIPT = """
local requests, at = {}, 0
function init(args)
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", "/embed", {["content-type"] = "application/json"}, line)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""
"""A script of wrk: it posts the lines of a file to /embed in turn."""


@dataclass
class Load:
    """What to send, and what came of it."""

    port: int
    path: str
    bodies: list[bytes]
    connections: int
    seconds: float
    rate: float | None = None
    """Requests per second of all connections together; None: each sends when it has an answer."""
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Of replies with 200, in seconds from when the request was due."""
    lost: int = 0
    """Requests that were sent and not answered."""
    refused: int = 0
    """Attempts to connect that failed."""

    def request(self, number: int) -> bytes:
        """The bytes of a request; one without a body is a GET."""
        body = self.bodies[number % len(self.bodies)]
        head = f"POST {self.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        if not body:
            head = f"GET {self.path} HTTP/1.1\r\nhost: x\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def client(load: Load, index: int, start: float) -> None:
    """One connection, opened again when the server closes it."""
    number, streams = index, None
    end = start + load.seconds
    while True:
        due = time.perf_counter()
        if load.rate is not None:
            due = start + number / load.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if time.perf_counter() >= end:
            break
        try:
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", load.port)
        except OSError:
            load.refused += 1
            await asyncio.sleep(0.01)
            continue
        try:
            streams[1].write(load.request(number))
            status, closes = await reply(streams[0])
        except (OSError, asyncio.IncompleteReadError):
            load.lost += 1
            streams = None
            continue
        load.statuses[status] += 1
        if status == 200:
            load.latencies.append(time.perf_counter() - due)
        if closes:
            streams[1].close()
            streams = None
        number += load.connections
    if streams is not None:
        streams[1].close()


async def reply(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of a reply, and whether the connection ends with it."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head[9:12]), b"connection: close" in lines


async def run(load: Load) -> dict[str, Any]:
    """Send, and add up."""
    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(load, index, start) for index in range(load.connections)))
    seconds = time.perf_counter() - start
    found = sorted(load.latencies)

    def quantile(share: float) -> float | None:
        return found[min(len(found) - 1, int(share * len(found)))] * 1000 if found else None

    return {
        "seconds": seconds,
        "client_cpu_s": time.process_time() - cpu,
        "ok": len(found),
        "ok_within_1_s": sum(each <= 1 for each in found),
        "statuses": dict(load.statuses),
        "lost": load.lost,
        "refused": load.refused,
        "p50_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
    }


def wrk(port: int, bodies: list[Any], connections: int, seconds: float) -> dict[str, Any]:
    """What comes of bodies that wrk posts to /embed, in the form of :func:`run`, without times."""
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "wrk.lua", Path(folder) / "bodies"
        script.write_text(WRK_SCRIPT)
        lines.write_text("".join(json.dumps(body) + "\n" for body in bodies))
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
        command = ["wrk", *options, f"http://127.0.0.1:{port}", "--", str(lines)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    count, unit = re.findall(r"(\d+) requests in ([\d.]+m?s|[\d.]+m)", done.stdout)[0]
    took = float(unit.rstrip("ms")) * (60 if unit.endswith("m") else 1)
    refused = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", done.stdout)))
    return {
        "ok": int(count) - refused,
        "seconds": took,
        "client_cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "statuses": {"200": int(count) - refused, "other": refused},
    }


def misbehave(port: int, number: int) -> socket.socket:
    """Open a connection and do with it what nobody should; it stays open."""
    connection = socket.create_connection(("127.0.0.1", port))
    body = json.dumps({"inputs": "word " * 2000, "truncate": True}).encode()
    head = b"POST /embed_all HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    deeds = (
        b"",  # says nothing
        head[:30],  # half a head
        head + body[:100],  # half a body
        head + body,  # never reads the reply
        head.replace(b"_all", b"") + b"{" * len(body),  # no JSON
        b"\x00\xff\r\n\r\n",  # no HTTP
    )
    with contextlib.suppress(OSError):
        connection.sendall(deeds[number % len(deeds)])
        if number % 4 == 0:
            connection.close()  # goes away
    time.sleep(0.02)
    return connection


def main() -> None:
    """Send what the standard input says."""
    options = json.load(sys.stdin)
    bodies = [json.dumps(body).encode() if body is not None else b"" for body in options.pop("bodies")]
    try:
        import uvloop

        uvloop.install()
    except ImportError:
        pass
    print(json.dumps(asyncio.run(run(Load(bodies=bodies, **options)))))


if __name__ == "__main__":
    main()
