"""What ``bertc serve`` costs beside the model, and what it does under more load than it can take.

``python benchmarks/serve.py MODEL.bertc --texts sentences.txt`` measures all targets, with the load in a
second process, and ends with a table of them; ``--only NAME`` measures some, ``--skip soak`` leaves out the
20 minutes of the soak. On a quiet machine; the client of the throughput is ``wrk`` where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import http_load

HERE = Path(__file__).resolve().parent
TARGETS = {
    "p50_over_library_ms": 0.5,
    "cpu_us_per_request": 80,
    "cores_at_1000_per_s": 0.15,
    "share_of_library": 0.75,
    "health_p99_ms": 15,
    "goodput_2x": 0.85,
    "goodput_5x": 0.70,
    "goodput_400": 0.80,
    "lost_by_sigterm": 0,
    "lost_by_sighup": 0,
    "ready_s": 1.0,
    "memory_mb": 60,
    "memory_growth": 0.05,
    "left_in_work": 0,
}
"""At most; shares are at least."""
TOGETHER = 16
"""The requests of 64 connections that are made ready together: what tokenizing a text takes is less then."""
AT_LEAST = {"share_of_library", "goodput_2x", "goodput_5x", "goodput_400"}


class Server:
    """A server in a process of its own."""

    def __init__(self, model: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "bertc", "serve", f"m={model}", "--port", str(self.port), *options]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
        self.process = subprocess.Popen(command, stderr=self.log)
        self._wait()

    def _wait(self) -> None:
        for _ in range(3000):
            with contextlib.suppress(OSError):
                if self.get("/ready"):
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.log.seek(0)
        sys.exit(self.log.read().decode())

    def get(self, path: str) -> bytes:
        """The body of a reply."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as reply:
            found: bytes = reply.read()
        return found

    def metric(self, name: str) -> float:
        """A metric, over all its labels."""
        lines = self.get("/metrics").decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def loop_seconds(self) -> float:
        """The processor time of the thread with the event loop."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/schedstat")
        return int(path.read_text().split()[0]) / 1e9

    def resident_mb(self) -> float:
        """The memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(model: Path, *options: str) -> Iterator[Server]:
    """A server that ends with the block."""
    server = Server(model, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end()


class Bench:
    """The measurements: each returns numbers by the names of ``TARGETS``, and others."""

    def __init__(
        self, model: Path, texts: list[str], *, seconds: float, rounds: int, soak_seconds: float
    ) -> None:
        self.model, self.texts, self.seconds, self.rounds = model, texts, seconds, rounds
        self.soak_seconds = soak_seconds
        self.bodies: list[Any] = [{"inputs": text, "truncate": True} for text in texts]

    def start_load(self, server: Server, connections: int, **options: Any) -> subprocess.Popen[str]:
        """Begin to send the sentences."""
        wanted = {"port": server.port, "path": "/embed", "bodies": self.bodies, "seconds": self.seconds}
        command = [sys.executable, str(HERE / "http_load.py")]
        with tempfile.TemporaryFile("w+") as told:  # more than an argument may hold
            json.dump({**wanted, "connections": connections, **options}, told)
            told.seek(0)
            return subprocess.Popen(command, stdin=told, stdout=subprocess.PIPE, text=True)

    def load(self, server: Server, connections: int, **options: Any) -> dict[str, Any]:
        """Send them, and return what came back."""
        out, _ = self.start_load(server, connections, **options).communicate()
        found: dict[str, Any] = json.loads(out)
        return found

    def wrk(self, server: Server, connections: int) -> dict[str, Any]:
        """The same by wrk, which takes less of the machine, where it is installed."""
        if shutil.which("wrk") is None:
            return {**self.load(server, connections), "client": "http_load.py"}
        return {**http_load.wrk(server.port, self.bodies, connections, self.seconds), "client": "wrk"}

    def latency(self) -> dict[str, Any]:
        """One connection, beside the library's own call in turns."""
        import bertc

        encoder = bertc.load(self.model)
        times: list[float] = []
        served: list[float] = []
        with serving(self.model) as server:
            for _ in range(3):
                end = time.perf_counter() + self.seconds / 3
                while time.perf_counter() < end:
                    start = time.perf_counter()
                    encoder.encode(self.texts[len(times) % len(self.texts)], normalize_embeddings=True)
                    times.append(time.perf_counter() - start)
                served.append(self.load(server, 1, seconds=self.seconds / 3)["p50_ms"])
        library = 1000 * sorted(times)[len(times) // 2]
        best = sorted(served)[1]
        return {"library_p50_ms": library, "p50_ms": best, "p50_over_library_ms": best - library}

    def throughput(self) -> dict[str, Any]:
        """64 connections with a sentence each, beside the library on all sentences at once."""
        import bertc

        encoder = bertc.load(self.model)
        encoder.encode(self.texts)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < self.seconds:
            encoder.encode(self.texts)
            count += len(self.texts)
        library = count / (time.perf_counter() - start)
        with serving(self.model) as server:
            cpu = server.loop_seconds()
            found = self.wrk(server, 64)
            cpu = server.loop_seconds() - cpu
        served = found["ok"] / found["seconds"]
        tokenizing = self.tokenizing_s(TOGETHER)
        cores = os.cpu_count() or 1
        left = max(1e-9, cores - found["client_cpu_s"] / found["seconds"])
        return {
            "client": found["client"],
            "library_per_s": library,
            "served_per_s": served,
            "client_cores": found["client_cpu_s"] / found["seconds"],
            "share_of_library": (served / left) / (library / cores),
            "cpu_us_per_request": 1e6 * (cpu / max(1, found["ok"]) - tokenizing),
            "tokenizing_us": 1e6 * tokenizing,
            "statuses": found["statuses"],
        }

    def cores(self) -> dict[str, Any]:
        """1,000 requests a second: the cores that the event loop takes, tokenizing aside."""
        with serving(self.model) as server:
            cpu = server.loop_seconds()
            found = self.load(server, 64, rate=1000)
            cpu = server.loop_seconds() - cpu
        each = cpu / max(1, found["ok"]) - self.tokenizing_s(1)
        return {
            "reached_per_s": found["ok"] / found["seconds"],
            "p50_ms_at_1000_per_s": found["p50_ms"],
            "cores_at_1000_per_s": 1000 * each,
        }

    def tokenizing_s(self, together: int) -> float:
        """The processor time of a sentence that is made into a batch with others."""
        import bertc
        from bertc.tasks.embedding import Embedding

        task = Embedding(bertc.load(self.model).tokenizer)
        batches = [self.texts[at : at + together] for at in range(0, len(self.texts), together)]
        for batch in batches:
            task.prepare(batch)
        start = time.thread_time()
        for batch in batches:
            task.prepare(batch)
        return (time.thread_time() - start) / len(self.texts)

    def health(self) -> dict[str, Any]:
        """/health while 64 connections ask for as much as they get."""
        with serving(self.model) as server:
            load = self.start_load(server, 64)
            time.sleep(0.5)
            seconds = max(1.0, self.seconds - 1)
            found = self.load(server, 1, path="/health", bodies=[None], rate=50, seconds=seconds)
            load.communicate()
        return {"health_p50_ms": found["p50_ms"], "health_p99_ms": found["p99_ms"]}

    def overload(self) -> dict[str, Any]:
        """The share of the capacity that is answered of more requests, and of 400 clients that never wait."""
        with serving(self.model) as server:
            capacity = self.load(server, 64)
            per_s = capacity["ok"] / capacity["seconds"]
            found: dict[str, Any] = {"capacity_per_s": per_s}
            for times in (2, 5):
                reply = self.load(server, 400, rate=times * per_s)
                found[f"goodput_{times}x"] = reply["ok"] / reply["seconds"] / per_s
                found[f"statuses_{times}x"] = reply["statuses"]
                found[f"p99_ms_{times}x"] = reply["p99_ms"]
            reply = self.load(server, 400)
            found["goodput_400"] = reply["ok"] / reply["seconds"] / per_s
            found["statuses_400"] = reply["statuses"]
        return found

    def signals(self) -> dict[str, Any]:
        """SIGTERM and SIGHUP under load: what was sent and not answered."""
        lost: list[int] = []
        codes: list[int] = []
        for _ in range(self.rounds):
            with serving(self.model) as server:
                load = self.start_load(server, 32, seconds=1.5)
                time.sleep(0.7)
                codes.append(server.end())
                lost.append(json.loads(load.communicate()[0])["lost"])
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "m.bertc"
            shutil.copy(self.model, copy)
            with serving(copy) as server:
                load = self.start_load(server, 32, seconds=1.0 * self.rounds)
                for _ in range(self.rounds):
                    shutil.copy(self.model, copy.with_suffix(".new"))
                    copy.with_suffix(".new").rename(copy)
                    server.process.send_signal(signal.SIGHUP)
                    time.sleep(0.9)
                found = json.loads(load.communicate()[0])
                reloads = int(server.metric("bertc_reloads"))
        bad = {key: value for key, value in found["statuses"].items() if key != "200"}
        return {
            "lost_by_sigterm": sum(lost),
            "sigterms_without_loss": f"{lost.count(0)} of {self.rounds}, exit codes {sorted(set(codes))}",
            "lost_by_sighup": found["lost"] + sum(bad.values()),
            "reloads": f"{reloads} of {self.rounds}",
        }

    def soak(self) -> dict[str, Any]:
        """Mixed lengths beside clients that misbehave: memory, and what is left in work at the end.

        For ``--soak-seconds``; memory is compared with that after the first tenth of it.
        """
        long = [" ".join(self.texts[at : at + 1 + at % 60]) for at in range(0, 600, 7)]
        bodies = [*self.bodies[:100], *({"inputs": text, "truncate": True} for text in long)]
        with serving(self.model) as server:
            load = self.start_load(server, 16, bodies=bodies, seconds=self.soak_seconds)
            begin = time.perf_counter()
            before, held = 0.0, list[socket.socket]()
            while (passed := time.perf_counter() - begin) < self.soak_seconds:
                held.append(http_load.misbehave(server.port, len(held)))
                for old in held[:-50]:
                    old.close()
                if not before and passed > self.soak_seconds / 10:
                    before = server.resident_mb()
            found = json.loads(load.communicate()[0])
            for old in held:
                old.close()
            time.sleep(1)
            after = server.resident_mb()
            left = server.metric("bertc_admitted_requests") + server.metric("bertc_requests_waiting_for_room")
            left += server.metric("bertc_requests_in_flight") - 1  # the one that asks
        return {
            "memory_growth": after / before - 1,
            "left_in_work": left,
            "lost_in_soak": found["lost"],
            "statuses": found["statuses"],
            "misbehaved": len(held),
        }

    def start(self) -> dict[str, Any]:
        """Time and memory of a start, beside those of a process that only loads and runs the model."""
        code = "import sys, bertc, time; e = bertc.load(sys.argv[1]); e.encode(['a'] * 64)"
        code += "; print(open('/proc/self/statm').read().split()[1])"
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.model)], capture_output=True, text=True, check=True
        )
        alone = time.perf_counter() - begin
        library_mb = int(done.stdout) * os.sysconf("SC_PAGE_SIZE") / 1e6
        begin = time.perf_counter()
        with serving(self.model) as server:
            ready = time.perf_counter() - begin
            self.load(server, 16, seconds=1)
            memory = server.resident_mb()
        return {"ready_s": ready - alone, "memory_mb": memory - library_mb, "resident_mb": memory}


def show(found: dict[str, Any]) -> bool:
    """Print numbers, and beside those of ``TARGETS`` what is asked; whether all are met."""
    good = True
    for name, value in found.items():
        target = TARGETS.get(name)
        if target is None:
            print(f"{name:24} {value}", flush=True)
            continue
        met = value >= target if name in AT_LEAST else value <= target
        good &= met
        relation = ">=" if name in AT_LEAST else "<="
        verdict = "met" if met else "MISSED"
        print(f"{name:24} {value:<12.4g} {relation} {target:<8g} {verdict}", flush=True)
    return good


NAMES = ("latency", "throughput", "cores", "health", "overload", "signals", "start", "soak")


def main() -> None:
    """Measure, print, and say by the exit code whether the targets are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--texts", type=Path, help="sentences, one a line; by default those of the package")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=20, help="signals of each kind")
    parser.add_argument("--soak-seconds", type=float, default=1200.0)
    parser.add_argument("--only", choices=NAMES, action="append")
    parser.add_argument("--skip", choices=NAMES, action="append", default=[])
    parser.add_argument("--json", type=Path, help="a file to write the numbers to")
    args = parser.parse_args()
    from bertc.data import sample_texts

    texts = args.texts.read_text("utf-8").splitlines() if args.texts else list(sample_texts())
    bench = Bench(
        args.model,
        [text for text in texts if text.strip()][:1000],
        seconds=args.seconds,
        rounds=args.rounds,
        soak_seconds=args.soak_seconds,
    )
    found: dict[str, Any] = {}
    for name in args.only or NAMES:
        if name in args.skip:
            continue
        print(f"\n{name}", flush=True)
        measure: Callable[[], dict[str, Any]] = getattr(bench, name)
        part = measure()
        show(part)
        found |= part
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    print("\ntargets")
    sys.exit(0 if show({name: found[name] for name in TARGETS if name in found}) else 1)


if __name__ == "__main__":
    main()
