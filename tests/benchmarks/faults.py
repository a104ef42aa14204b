"""Whether a training that is disturbed, and run again, ends with the weights of one that was never disturbed.

`kedro run --pipelines train` on a synthetic archive is killed (SIGKILL) at random moments: half of them a while after
its start or a checkpoint, half while a checkpoint is being written; some trainings are killed twice in a row. Others
are asked to stop (SIGTERM, SIGINT), meet a full disk in a checkpoint, or find the newest checkpoint damaged. Each is
then run again to its end. After every fault this script looks for itself which checkpoint is the newest whole one, and
compares: that the next run goes on from there, that no checkpoint that was whole is gone before a newer one is there,
and that weights and history have the same bytes. The full disk needs the right to mount a tmpfs.

    uv run python tests/benchmarks/faults.py
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playlist_pipeline.fingerprint import digest_of

PROJECT = Path(__file__).parents[2]
SETTINGS = {
    "train.max_steps": 24,
    "train.checkpoint_every": 3,
    "train.validate_every": 6,
    "train.embedding_init": "normal",
    "model.embed_dim": 32,
    "model.num_layers": 1,
}
ARTIFACTS = ("06_models/model/weights.safetensors", "08_reporting/training_history.csv")
NUM_CHECKPOINTS = 8
TMPFS_BYTES = 300_000_000
Moment = Callable[["Training", float], bool]


@dataclass
class Training:
    """One workspace whose training is disturbed."""

    workspace: Path

    @property
    def log(self) -> Path:
        """What the last run said."""
        return self.workspace / "run.log"

    @property
    def folder(self) -> Path | None:
        """The folder of the training's checkpoints, once there is one."""
        return next(self.workspace.glob("06_models/checkpoints/*/"), None)

    def start(self, archive: Path) -> subprocess.Popen:
        """Start the run."""
        settings = {"archive": archive, "workspace": self.workspace} | SETTINGS
        params = ",".join(f"{key}={value}" for key, value in settings.items())
        command = [sys.executable, "-m", "kedro", "run", "--pipelines", "train", "--params", params]
        with self.log.open("w") as log:
            return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)

    def list_begun(self) -> list[str]:
        """Return the checkpoints of which some is on disk, but which are not whole yet."""
        if self.folder is None:
            return []
        whole = {path.stem for path in (self.folder / "whole").glob("*.json")}
        return [path.name for path in (self.folder / "steps").glob("*") if path.name not in whole]

    def list_whole(self) -> list[int]:
        """Return the steps of whole checkpoints, by sizes and SHA-256 that are counted here anew."""
        found = []
        for marker in self.folder.glob("whole/*.json") if self.folder else ():
            step = self.folder / "steps" / marker.stem
            try:
                lines = json.loads(marker.read_text())
                same = (_sha256(step / name) == line["sha256"] for name, line in lines.items())
                found += [int(marker.stem)] if lines and all(same) else []
            except (OSError, ValueError):
                continue
        return sorted(found)

    def digest(self) -> dict[str, str]:
        """Return the SHA-256 of what training leaves."""
        return {name: digest_of(self.workspace / name) for name in ARTIFACTS}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _disturb(training: Training, archive: Path, moment: Moment, number: int) -> tuple[str, bool] | None:
    """Run, send a signal once ``moment`` says so, and tell what the run has left; None if it ended before."""
    start = time.perf_counter()
    run = training.start(archive)
    while run.poll() is None and not moment(training, time.perf_counter() - start):
        time.sleep(0.0005)
    run.send_signal(number)
    status = run.wait()
    seconds = time.perf_counter() - start
    if status == 0:
        return None
    wanted = -signal.SIGKILL if number == signal.SIGKILL else 1
    if status != wanted:
        sys.exit(f"the run ended with {status}; {training.log} says why")
    begun = training.list_begun()
    whole = training.list_whole()
    removed = [name for name in begun if name.isdecimal() and whole and int(name) < whole[-1]]
    written = [name for name in begun if name not in removed]
    where = [f"inside the writing of checkpoint {name}" for name in written]
    where += [f"inside the removal of checkpoint {name}" for name in removed]
    told = " and ".join(where) or "between checkpoints"
    return f"{signal.Signals(number).name} after {seconds:.2f} s, {told}", bool(written)


def _finish(training: Training, archive: Path, expected: dict[str, str]) -> tuple[list[str], str]:
    """Run to the end; return what went wrong, and how it went on."""
    whole = training.list_whole()
    newest = whole[-1] if whole else 0
    run = training.start(archive)
    lost: set[int] = set()
    while run.poll() is None:
        now = {int(path.stem) for path in training.folder.glob("whole/*.json")} if training.folder else set()
        if not any(step > newest for step in now) and newest and newest not in now:
            lost.add(newest)
        time.sleep(0.02)
    text = training.log.read_text()
    if run.wait():
        return [f"the run failed: {text.splitlines()[-1]}"], ""
    found = re.search(r"resumes after step (\d+) of", text)
    resumed = int(found[1]) if found else 0
    wrong = [f"checkpoint {step} was lost" for step in sorted(lost)]
    is_finished = "is finished" in text
    if not is_finished and resumed != newest:
        wrong.append(f"went on after step {resumed}, but {newest} was whole")
    wrong += [f"{name} differs" for name, digest in training.digest().items() if digest != expected[name]]
    reasons = re.findall(r"WARNING checkpoint \S*/steps/(\S+) (.*?)(?:: moved to .*)?$", text, re.MULTILINE)
    told = "".join(f"; {step} {reason}" for step, reason in reasons)
    return wrong, ("finished before" if is_finished else f"went on after step {resumed}") + told


def _draw_kill(rng: random.Random, *, inside: bool) -> Moment:
    """Return a moment: so long after a checkpoint that is drawn was begun, or was whole; 0 is the training's start."""
    wanted = rng.randint(1 if inside else 0, NUM_CHECKPOINTS - 1)
    delay = rng.uniform(0, 0.1 if inside else 1.5)
    seen: dict[str, float] = {}

    def has_come(training: Training, passed: float) -> bool:
        whole = [path.stem for path in training.folder.glob("whole/*.json")] if training.folder else []
        for name in (training.list_begun() if inside else whole) or (["0"] if training.folder and not inside else []):
            seen.setdefault(name.partition(".")[0], passed)
        place = wanted - 1 if inside else wanted
        return len(seen) > place and passed >= sorted(seen.values())[place] + delay

    return has_come


def _after_checkpoints(count: int) -> Moment:
    seen: set[str] = set()

    def is_there(training: Training, _: float) -> bool:
        seen.update(path.stem for path in training.folder.glob("whole/*.json") if training.folder)
        return len(seen) >= count

    return lambda training, passed: training.folder is not None and is_there(training, passed)


def _largest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path, str], object]] = {
    "newest truncated": lambda folder, step: os.truncate(_largest(folder / "steps" / step), 100),
    "newest without a file": lambda folder, step: _largest(folder / "steps" / step).unlink(),
    "newest with another bit": lambda folder, step: _flip(_largest(folder / "steps" / step)),
    "newest without a folder": lambda folder, step: shutil.rmtree(folder / "steps" / step / "model"),
    "newest's digests cut off": lambda folder, step: os.truncate(folder / "whole" / f"{step}.json", 40),
    "both checkpoints truncated": lambda folder, _: [
        os.truncate(_largest(path), 100) for path in (folder / "steps").iterdir()
    ],
    "notes cut off": lambda folder, _: [os.truncate(folder / name, 1) for name in ("config.json", "seconds.json")],
}


def _fill_disk(training: Training, archive: Path, room: int) -> str:
    """Train on a small tmpfs that is filled, but for ``room`` bytes, after two checkpoints; return its error."""
    run = training.start(archive)
    moment = _after_checkpoints(2)
    while run.poll() is None and not moment(training, 0):
        time.sleep(0.0005)
    with (training.workspace / "filler").open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(training.workspace).free - room) > 0:
            try:
                file.write(bytes(min(free, 1 << 20)))
            except OSError:  # the training was quicker
                break
    status = run.wait()
    (training.workspace / "filler").unlink()
    text = training.log.read_text()
    line = next((line for line in text.splitlines() if line.startswith("Error: ")), "")
    if status != 1 or "No space left on device" not in line:
        sys.exit(f"a full disk ended the run with {status}: {text}")
    return line


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--inside", type=int, default=5, help="kills inside the writing of a checkpoint, at least")
    parser.add_argument("--twice", type=int, default=4, help="trainings that are killed twice in a row")
    parser.add_argument("--kinds", default="kill,stop,disk", help="of faults; stop brings damaged checkpoints along")
    parser.add_argument("--seed", type=int, default=2018)
    parser.add_argument("--folder", type=Path, help="for everything; a temporary one if not given")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.environ["DO_NOT_TRACK"] = "1"
    faults = wrongs = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.folder or Path(temporary)).resolve()
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(root / "compiled")
        archive, base = root / "mpd.zip", root / "base"
        command = [sys.executable, "-m", "playlist_pipeline.mpd.synthetic", str(archive), "--slices", "1"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        params = f"archive={archive},workspace={base}"
        command = [sys.executable, "-m", "kedro", "run", "--pipelines", "data", "--params", params]
        subprocess.run(command, cwd=PROJECT, check=True, stderr=subprocess.DEVNULL)

        def prepare(name: str) -> Training:
            return Training(Path(shutil.copytree(base, root / name, dirs_exist_ok=True)))

        def report(name: str, what: str, training: Training) -> None:
            nonlocal faults, wrongs
            wrong, how = _finish(training, archive, expected)
            faults, wrongs = faults + 1, wrongs + bool(wrong)
            print(f"{name}: {what}; then {how}: {'; '.join(wrong).upper() or 'the same bytes'}", flush=True)
            shutil.rmtree(training.workspace, ignore_errors=True)

        calm = prepare("calm")
        for _ in range(2):  # the second time nothing is compiled
            shutil.rmtree(calm.workspace / "06_models", ignore_errors=True)
            start = time.perf_counter()
            if calm.start(archive).wait():
                sys.exit(f"the undisturbed run failed; {calm.log} says why")
        expected = calm.digest()
        print(f"undisturbed: {time.perf_counter() - start:.1f} s", flush=True)

        kills = inside = tries = 0
        wanted = options.kills if "kill" in options.kinds else 0
        while (kills < wanted or inside < min(options.inside, wanted)) and tries < 3 * wanted:
            training, told = prepare(f"kill_{tries}"), []
            for _ in range(2 if tries % max(options.kills // max(options.twice, 1), 1) == 1 else 1):
                moment = _draw_kill(rng, inside=tries % 2 == 0)
                killed = _disturb(training, archive, moment, signal.SIGKILL)
                if killed is not None:
                    kills, inside = kills + 1, inside + killed[1]
                    told.append(killed[0])
            tries += 1
            if told:
                report(f"kill {kills}", ", again ".join(told), training)
        for number, count in ((signal.SIGINT, 2), (signal.SIGTERM, 4)) if "stop" in options.kinds else ():
            training = prepare("stopped")
            killed = _disturb(training, archive, _after_checkpoints(count), number)
            line = training.log.read_text().splitlines()[-1]
            shutil.rmtree(root / "stopped_copy", ignore_errors=True)
            shutil.copytree(training.workspace, root / "stopped_copy")
            report("stop", f"{killed[0] if killed else 'ended before'}: {line}", training)
        for name, damage in DAMAGES.items() if "stop" in options.kinds else ():
            training = Training(Path(shutil.copytree(root / "stopped_copy", root / "damaged")))
            assert training.folder is not None
            damage(training.folder, str(training.list_whole()[-1]))
            report("damage", name, training)
        for room in (0, 200_000, 4_000_000) if "disk" in options.kinds else ():
            place = root / "disk"
            place.mkdir(exist_ok=True)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(place)]
            if subprocess.run(mount, check=False, capture_output=True).returncode:
                print("full disk: not tried, as no tmpfs can be mounted here")
                break
            try:
                training = prepare("disk/full")
                report(f"full disk, {room} bytes left", _fill_disk(training, archive, room), training)
            finally:
                subprocess.run(["umount", str(place)], check=False)
    print(f"{faults} disturbed trainings, {kills} kills, {inside} inside a write; {wrongs} ended otherwise")
    return 0 if kills >= wanted and inside >= min(options.inside, wanted) and not wrongs else 1


if __name__ == "__main__":
    sys.exit(main())
