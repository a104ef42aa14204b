"""Load the server as many people would: clients that search and complete playlists, each without a pause.

The server runs in a process of its own on loopback and serves a finished workspace; all clients run in this process, on
the same cores. A client asks, waits for the answer and asks again, over one connection: 80 % searches for names of the
catalog, some of them only begun, and 20 % completions to 20 tracks from 1 to 10 seeds. Anything but status 200 and a
whole answer is an error.

    uv run kedro run
    uv run python tests/benchmarks/serve.py --json
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

HOST = "127.0.0.1"
SHARE_OF_SEARCHES = 0.8
LENGTH = 20
MAX_SEEDS = 10
SHORTEST_QUERY = 3
GB = 1e9
SERVER = (
    "import sys; from pathlib import Path; from playlist_pipeline.serving import run; run(Path(sys.argv[1]), port=0)"
)


@dataclass
class Tally:
    """What the clients have seen."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"search": [], "complete": []})
    errors: Counter[str] = field(default_factory=Counter)


def read_tracks(workspace: Path) -> list[tuple[str, str, str]]:
    """Return URI, title and artist of the catalog's tracks that training has seen, the most frequent first."""
    database = sqlite3.connect((workspace / "03_primary/catalog.db").resolve().as_uri() + "?mode=ro", uri=True)
    rows = database.execute(
        "SELECT uri, track, artist FROM track_names WHERE training_count > 0 ORDER BY training_count DESC, uri"
    ).fetchall()
    database.close()
    return rows


def make_request(rng: random.Random, tracks: list[tuple[str, str, str]]) -> tuple[str, bytes]:
    """Return the kind of a request and its bytes."""
    if rng.random() < SHARE_OF_SEARCHES:
        _, title, artist = rng.choice(tracks)
        text = rng.choice((title, artist, f"{artist} - {title}"))
        text = text[: rng.randint(min(SHORTEST_QUERY, len(text)), len(text))]
        return "search", _format_request("GET", f"/api/search?q={quote(text, safe='')}&limit=10")
    seeds = [uri for uri, _, _ in rng.sample(tracks, rng.randint(1, MAX_SEEDS))]
    body = {"seeds": seeds, "seed": rng.randrange(2**32), "controls": {"length": LENGTH}}
    return "complete", _format_request("POST", "/api/complete", json.dumps(body).encode())


def _format_request(method: str, target: str, body: bytes = b"") -> bytes:
    declared = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n{declared}\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of an answer with a declared length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head, re.IGNORECASE)
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(length[1]) if length else 0)


def check_answer(kind: str, status: int, body: bytes) -> str | None:
    """Return what is wrong with an answer."""
    if status != 200:
        return f"{kind}: status {status}"
    tracks = json.loads(body)["tracks"]
    if kind == "complete" and len(tracks) != LENGTH:
        return f"{kind}: {len(tracks)} tracks"
    return None


async def run_client(number: int, port: int, tracks: list[tuple[str, str, str]], end: float, tally: Tally) -> None:
    """Ask one thing after the other until the end."""
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection(HOST, port)
    while time.perf_counter() < end:
        kind, request = make_request(rng, tracks)
        start = time.perf_counter()
        try:
            writer.write(request)
            status, body = await read_answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.errors[f"{kind}: {type(error).__name__}"] += 1
            reader, writer = await asyncio.open_connection(HOST, port)
            continue
        tally.seconds[kind].append(time.perf_counter() - start)
        fault = check_answer(kind, status, body)
        if fault is not None:
            tally.errors[fault] += 1
    writer.close()


async def watch_memory(pid: int, seconds: float) -> list[float]:
    """Return the resident memory of a process at the start, in the middle and at the end, in GB."""
    found = [read_memory(pid)]
    for _ in range(2):
        await asyncio.sleep(seconds / 2)
        found.append(read_memory(pid))
    return found


def read_memory(pid: int) -> float:
    """Return the resident memory of a process in GB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / GB


async def load_server(port: int, pid: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run all clients."""
    tracks = read_tracks(options.workspace)
    await _run_all(port, tracks, options, seconds=options.warm_up, tally=Tally())
    tally = Tally()
    memory = asyncio.create_task(watch_memory(pid, options.seconds))
    start = time.perf_counter()
    await _run_all(port, tracks, options, seconds=options.seconds, tally=tally)
    elapsed = time.perf_counter() - start
    count = sum(map(len, tally.seconds.values()))
    return {
        "clients": options.clients,
        "seconds": elapsed,
        "requests": count,
        "requests_per_second": count / elapsed,
        "errors": sum(tally.errors.values()),
        "errors_by_kind": dict(tally.errors),
        "latency": {kind: summarise(seconds) for kind, seconds in tally.seconds.items()},
        "p99_seconds": summarise([second for seconds in tally.seconds.values() for second in seconds])["p99"],
        "rss_gb": await memory,
        "cpus": os.cpu_count(),
    }


async def _run_all(
    port: int, tracks: list[tuple[str, str, str]], options: argparse.Namespace, *, seconds: float, tally: Tally
) -> None:
    end = time.perf_counter() + seconds
    await asyncio.gather(*(run_client(number, port, tracks, end, tally) for number in range(options.clients)))


def summarise(seconds: list[float]) -> dict[str, float]:
    """Return the number of requests, and percentiles and maximum of their seconds (nearest rank)."""
    ordered = sorted(seconds)
    ranks = {f"p{percent}": ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in (50, 95, 99)}
    return {"requests": len(ordered), **ranks, "max": ordered[-1]}


def start_server(workspace: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server on a free port; return its process and port. What it says goes to the file ``log``."""
    with log.open("wb") as file:
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(workspace)], stderr=file)
    while server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text("utf-8")):
            return server, int(found[1])
        time.sleep(0.1)
    raise SystemExit(f"the server ended: {log.read_text('utf-8').strip() or server.returncode}")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=5, help="seconds of the same load that do not count")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, port = start_server(options.workspace, Path(folder) / "log")
        try:
            result = asyncio.run(load_server(port, server.pid, options))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
    print_table(result)
    if options.json:
        print(json.dumps(result))
    return 0


def print_table(result: dict[str, Any]) -> None:
    """Print what was measured, for people."""
    print(
        f"{result['clients']} clients, {result['seconds']:.0f} s, {result['cpus']} cores for server and clients: "
        f"{result['requests_per_second']:.0f} requests a second, {result['errors']} errors\n"
    )
    print(f"{'':<10}{'requests':>10}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for kind, row in result["latency"].items():
        cells = "".join(f"{row[name]:>7.3f} s" for name in ("p50", "p95", "p99", "max"))
        print(f"{kind:<10}{row['requests']:>10,}{cells}")
    print(f"\nresident memory at start, middle and end: {', '.join(f'{gb:.3f} GB' for gb in result['rss_gb'])}")
    for kind, count in result["errors_by_kind"].items():
        print(f"{count:>6} x {kind}")


if __name__ == "__main__":
    sys.exit(main())
