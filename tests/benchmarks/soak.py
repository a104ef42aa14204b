"""A long training whose memory, file handles and threads must stay flat.

`kedro run --pipelines train` learns from a synthetic archive, with a checkpoint and a validation every few steps, and
is asked to stop (SIGTERM) at the end. Meanwhile its resident memory, open files and threads are read from /proc. The
first fifth of the time is warming up. Of the rest, the slope of a line fitted to the memory is reported, with the
medians of its first and last quarter.

    uv run python tests/benchmarks/soak.py --minutes 120
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).parents[2]
SETTINGS = {
    "train.num_epochs": 20_000,
    "train.checkpoint_every": 50,
    "train.validate_every": 10,
    "model.embed_dim": 64,
}
Sample = tuple[float, float, int, int, float]


def _command(pipelines: str, options: argparse.Namespace, settings: dict[str, int]) -> list[str]:
    params = {"archive": options.archive, "workspace": options.workspace} | settings
    text = ",".join(f"{key}={value}" for key, value in params.items())
    return [sys.executable, "-m", "kedro", "run", "--pipelines", pipelines, "--params", text]


def _take_sample(process: int, workspace: Path, start: float) -> Sample:
    """Return seconds since ``start``, resident MB, open handles, threads, and MB on disk."""
    place = Path("/proc") / str(process)
    fields = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    handles = len(list((place / "fd").iterdir()))
    disk = 0
    for folder, _, files in os.walk(workspace / "06_models"):
        for file in files:
            try:
                disk += os.stat(Path(folder) / file).st_size
            except FileNotFoundError:  # a checkpoint that is being removed
                continue
    memory = int(fields["VmRSS"].split()[0]) * 1024 / 1e6
    return time.monotonic() - start, memory, handles, int(fields["Threads"]), disk / 1e6


def _watch(options: argparse.Namespace, workspace: Path) -> tuple[list[Sample], int]:
    """Train for so many minutes and stop; return the samples and the exit status."""
    samples = []
    environment = os.environ | {"DO_NOT_TRACK": "1"}
    with (workspace / "soak.log").open("w") as log:
        process = subprocess.Popen(
            _command("train", options, SETTINGS), cwd=PROJECT, stdout=log, stderr=log, env=environment
        )
        start = time.monotonic()
        while time.monotonic() - start < 60 * options.minutes and process.poll() is None:
            time.sleep(options.every)
            if process.poll() is None:
                samples.append(_take_sample(process.pid, workspace, start))
                if options.samples:
                    with options.samples.open("a") as file:
                        print(*(round(value, 1) for value in samples[-1]), sep=",", file=file)
        process.send_signal(signal.SIGTERM)
        return samples, process.wait()


def _summarise(samples: list[Sample]) -> dict[str, float]:
    """Return what the time after the warming up shows."""
    table = np.array(samples[len(samples) // 5 :])
    seconds, memory, handles, threads, disk = table.T
    quarter = max(len(table) // 4, 1)
    first, last = np.median(memory[:quarter]), np.median(memory[-quarter:])
    return {
        "minutes": samples[-1][0] / 60,
        "memory_mb": float(np.median(memory)),
        "memory_slope_mb_per_hour": float(np.polyfit(seconds / 3600, memory, 1)[0]),
        "memory_last_over_first": float(last / first),
        "handles_least": int(handles.min()),
        "handles_most": int(handles.max()),
        "handles_first": float(np.median(handles[:quarter])),
        "handles_last": float(np.median(handles[-quarter:])),
        "threads_first": float(np.median(threads[:quarter])),
        "threads_last": float(np.median(threads[-quarter:])),
        "disk_mb": float(disk[-1]),
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=5, help="seconds between two samples")
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument(
        "--most-growth", type=float, default=1.02, help="last quarter's memory over the first's, at most"
    )
    parser.add_argument("--samples", type=Path, help="add the samples to this file as they are taken")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        options.archive, options.workspace = workspace / "mpd.zip", workspace
        command = [sys.executable, "-m", "playlist_pipeline.mpd.synthetic", str(options.archive)]
        subprocess.run([*command, "--slices", str(options.slices)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(_command("data", options, {}), cwd=PROJECT, check=True, stderr=subprocess.DEVNULL)
        samples, status = _watch(options, workspace)
        last_lines = (workspace / "soak.log").read_text().splitlines()[-1:]
        histories = [path.read_text().count("\n") - 1 for path in workspace.glob("06_models/checkpoints/*/history.csv")]
    found = _summarise(samples) | {"steps": sum(histories), "status": status}
    for name, value in found.items():
        print(f"{name:28}{value:>14,.3f}" if isinstance(value, float) else f"{name:28}{value:>14,}")
    print(*last_lines)
    stopped = status == 1 and "saved a checkpoint" in last_lines[0]
    is_flat = (
        found["memory_last_over_first"] <= options.most_growth
        and found["handles_last"] <= found["handles_first"]
        and found["threads_last"] <= found["threads_first"]
    )
    print("flat" if is_flat else "NOT FLAT", "and stopped as asked" if stopped else "and NOT stopped as asked")
    if options.json:
        print(json.dumps(found | {"samples": samples[:: max(len(samples) // 100, 1)]}))
    return 0 if is_flat and stopped else 1


if __name__ == "__main__":
    sys.exit(main())
