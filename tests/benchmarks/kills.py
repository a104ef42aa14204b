"""Whether a data run that is killed, and run again, leaves what one leaves that was never disturbed.

`kedro run` is killed (SIGKILL) at random moments: half of them drawn from its duration, half as soon as it has begun to
write a file that is drawn from all that it writes. After each, the same command runs to its end, and the bytes of all
artifacts are compared.

    uv run python tests/benchmarks/kills.py --pipelines extract
    uv run python tests/benchmarks/kills.py --pipelines data
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playlist_pipeline.fingerprint import digest_of, files_of

PROJECT = Path(__file__).parents[2]
LAYERS = ("02_intermediate", "03_primary", "04_feature", "05_model_input")
UNFINISHED = ".tmp"
Stop = Callable[[int, float], bool]


def _start(options: argparse.Namespace, workspace: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", options.pipelines]
    command += ["--params", f"archive={options.archive},workspace={workspace}"]
    with workspace.with_suffix(".log").open("a") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log, env=os.environ | {"DO_NOT_TRACK": "1"})


def _find_unfinished(workspace: Path) -> set[Path]:
    """Return the files that are being written, or were when the run was killed."""
    found = set()
    for folder, folders, files in os.walk(workspace):
        found |= {Path(folder) / name for name in (*folders, *files) if UNFINISHED in name}
    return found


def _digest(workspace: Path) -> dict[str, str]:
    """Return the SHA-256 of every artifact's files, by path."""
    files = (path for layer in LAYERS for path in files_of(workspace / layer))
    return {str(path.relative_to(workspace)): digest_of(path) for path in files}


def _watch(
    options: argparse.Namespace, workspace: Path, stop: Stop = lambda _files, _seconds: False
) -> tuple[bool, set[Path], float, float]:
    """Run, and kill the run once ``stop`` says so of the number of files that it has begun and of the seconds.

    Returns:
        Whether it was killed, the files that it was seen to write, the seconds at the first of them and at the end.
    """
    start = time.perf_counter()
    run = _start(options, workspace)
    begun: set[Path] = set()
    first = 0.0
    try:
        while run.poll() is None:
            begun |= _find_unfinished(workspace)
            seconds = time.perf_counter() - start
            first = first or (seconds if begun else 0.0)
            if stop(len(begun), seconds):
                break
            time.sleep(0.0005)
    finally:
        run.kill()
        status = run.wait()
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"the run failed; {workspace.with_suffix('.log')} says why")
    return status != 0, begun, first, time.perf_counter() - start


def _draw_moment(rng: random.Random, by_file: bool, num_files: int, first: float, last: float) -> Stop:
    """Return when to kill a run: as it begins a file, or at a time between the first file and the end."""
    if by_file:
        file = rng.randint(1, num_files)
        return lambda files, _: files >= file
    moment = rng.uniform(first, last)
    return lambda _, seconds: seconds >= moment


def _tell(workspace: Path) -> tuple[str, bool]:
    """Say what a killed run has left, and whether a file is unfinished."""
    unfinished = sorted(str(path.relative_to(workspace)) for path in _find_unfinished(workspace))
    where = f"inside the writing of {', '.join(unfinished)}" if unfinished else "between writes"
    return f"{where}, {len(list(workspace.rglob('*.part')))} slices kept", bool(unfinished)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--pipelines", default="extract", help="extract, or data")
    parser.add_argument("--kills", type=int, default=10, help="kills at least")
    parser.add_argument("--inside", type=int, default=5, help="kills inside the writing of a file, at least")
    parser.add_argument("--tries", type=int, default=40, help="runs at most")
    parser.add_argument("--seed", type=int, default=2018)
    parser.add_argument("--workspace", type=Path, help="folder for everything; a temporary one if not given")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills = inside = different = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.workspace or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        options.archive = folder / f"mpd_{options.slices}.zip"
        if not options.archive.exists():
            command = [sys.executable, "-m", "playlist_pipeline.mpd.synthetic", str(options.archive)]
            subprocess.run([*command, "--slices", str(options.slices)], check=True, stdout=subprocess.DEVNULL)
        _, begun, first, last = _watch(options, folder / "calm")
        expected = _digest(folder / "calm")
        print(f"undisturbed: {last:.1f} s, {len(begun)} files seen being written, {len(expected)} kept", flush=True)
        for number in range(options.tries):
            if kills >= options.kills and inside >= options.inside:
                break
            workspace = folder / f"kill_{number}"
            stop = _draw_moment(rng, number % 2 == 0, len(begun), first, last)
            killed, _, _, seconds = _watch(options, workspace, stop)
            if not killed:
                print("ended before it was to be killed", flush=True)
                continue
            left, is_inside = _tell(workspace)
            _watch(options, workspace)
            same = _digest(workspace) == expected
            kills, inside, different = kills + 1, inside + is_inside, different + (not same)
            end = "the same bytes" if same else "DIFFERENT"
            print(f"{kills}: killed after {seconds:.2f} s, {left}; then run again: {end}", flush=True)
    print(f"{kills} kills, {inside} inside a write, {different} with other bytes than the undisturbed run")
    return 0 if kills >= options.kills and inside >= options.inside and not different else 1


if __name__ == "__main__":
    sys.exit(main())
