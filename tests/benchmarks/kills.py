"""Whether a data run that is killed, and run again, leaves what one leaves that was never disturbed.

`kedro run` is killed (SIGKILL) at random moments: some drawn from its duration, some as soon as it has begun to write a
file that is drawn from all that it writes. After each, the same command runs to its end, and the bytes of all artifacts
are compared.

    uv run python tests/benchmarks/kills.py --kills 10 --inside 5
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parents[2]
LAYERS = ("02_intermediate", "03_primary", "04_feature", "05_model_input")
UNFINISHED = ("*.tmp", "*.building", "*.tmp-*")


def _start(options: argparse.Namespace, workspace: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", options.pipelines]
    command += ["--params", f"archive={options.archive},workspace={workspace}"]
    log = workspace.with_suffix(".log").open("a")
    return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log, env=os.environ | {"DO_NOT_TRACK": "1"})


def _finish(options: argparse.Namespace, workspace: Path) -> None:
    if _start(options, workspace).wait() != 0:
        sys.exit(f"the run failed; {workspace.with_suffix('.log')} says why")


def _find_unfinished(workspace: Path) -> set[Path]:
    return {path for pattern in UNFINISHED for path in workspace.rglob(pattern)}


def _digest(workspace: Path) -> dict[str, str]:
    """Return the SHA-256 of every artifact's files, by path."""
    files = (path for layer in LAYERS for path in (workspace / layer).rglob("*") if path.is_file())
    return {str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _watch(run: subprocess.Popen, workspace: Path, stop_at: int | None = None) -> tuple[list[Path], float, float]:
    """Follow a run until it ends, or kill it once it has begun the given number of files.

    Returns:
        The files that it was seen to begin, and when the first was seen and the last look was, in seconds.
    """
    start = time.perf_counter()
    begun: dict[Path, None] = {}
    first = 0.0
    while run.poll() is None:
        for path in _find_unfinished(workspace):
            begun.setdefault(path)
        first = first or (time.perf_counter() - start if begun else 0.0)
        if stop_at is not None and len(begun) >= stop_at:
            os.kill(run.pid, signal.SIGKILL)
            break
        time.sleep(0.0005)
    run.wait()
    return list(begun), first, time.perf_counter() - start


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--pipelines", default="extract")
    parser.add_argument("--kills", type=int, default=10, help="kills at least")
    parser.add_argument("--inside", type=int, default=5, help="kills inside the writing of a file, at least")
    parser.add_argument("--seed", type=int, default=2018)
    parser.add_argument("--workspace", type=Path, help="folder for everything; a temporary one if not given")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.workspace or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        options.archive = folder / f"mpd_{options.slices}.zip"
        if not options.archive.exists():
            command = [sys.executable, "-m", "playlist_pipeline.mpd.synthetic", str(options.archive)]
            subprocess.run([*command, "--slices", str(options.slices)], check=True, stdout=subprocess.DEVNULL)
        begun, first, duration = _watch(_start(options, folder / "calm"), folder / "calm")
        expected = _digest(folder / "calm")
        print(f"undisturbed: {duration:.1f} s, {len(begun)} files seen being written, {len(expected)} kept", flush=True)
        kills = inside = different = 0
        while kills < options.kills or inside < options.inside:
            workspace = folder / f"kill_{kills}"
            run = _start(options, workspace)
            began = time.perf_counter()
            if kills % 2:
                time.sleep(first + rng.random() * (duration - first))
                os.kill(run.pid, signal.SIGKILL)
                run.wait()
            else:
                _watch(run, workspace, rng.randint(1, len(begun)))
            seconds = time.perf_counter() - began
            unfinished = sorted(str(path.relative_to(workspace)) for path in _find_unfinished(workspace))
            whole = len(list(workspace.rglob("*.part")))
            _finish(options, workspace)
            same = _digest(workspace) == expected
            kills, inside, different = kills + 1, inside + bool(unfinished), different + (not same)
            where = f"inside the writing of {', '.join(unfinished)}" if unfinished else "between writes"
            print(
                f"{kills}: killed after {seconds:.2f} s, {where}, {whole} slices done; "
                f"then run again: {'the same bytes' if same else 'DIFFERENT'}",
                flush=True,
            )
    print(f"{kills} kills, {inside} inside a write, {different} with other bytes than the undisturbed run")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
