"""Whether a data run that is interrupted loses nothing, says why in one line, and is made good by the next run.

A workspace was made from one archive and is being made again from another. `kedro run` then meets a fault in the midst:

    kill        SIGKILL when half of an artifact is written, before it takes its name, after it, and at random moments
    disk full   the file system (a tmpfs) has room for half of the artifact
    read-only   a folder of the workspace, or all of it, is mounted read-only
    twice       another run, or a reader, comes while a run is stopped inside a write

After each, every artifact must be whole, the older or the newer one, and each line of the manifest true of what lies
there. A run that was not killed must have said what is wrong in one line and left nothing unfinished. Then the same
run with --only-missing-outputs must leave the bytes of an undisturbed one. Mounting needs root on Linux; without it the
faults of disks are skipped, with a line.

    uv run python tests/benchmarks/data_faults.py
    uv run python tests/benchmarks/data_faults.py --pipelines extract,split --random 0
"""

import argparse
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kedro.framework.cli import main as run_kedro

from playlist_pipeline.fingerprint import digest_of, files_of, size_of
from playlist_pipeline.manifest import RunManifest

PROJECT = Path(__file__).parents[2]
REPORTS = "08_reporting"
MANIFEST = f"{REPORTS}/run_manifest.json"
PARTS = "02_intermediate/extraction_parts"
PLENTY = "size=4g"
UNFINISHED = ".tmp-"
# Artifacts in the order in which each pipeline saves them, by pipeline.
ARTIFACTS = {
    "extract": [
        PARTS,
        *(f"02_intermediate/{name}.parquet" for name in ("playlists", "artists", "albums", "tracks", "memberships")),
        "02_intermediate/extraction_report.json",
    ],
    "split": ["03_primary/splits.parquet", "03_primary/split_report.json"],
    "catalog": ["03_primary/catalog.db"],
    "vocabulary": [
        "04_feature/vocabulary.parquet",
        "04_feature/vocabulary_report.json",
        "04_feature/side_information.parquet",
        "05_model_input/sequences",
    ],
    "train": [],  # tests/benchmarks/faults.py
    "rerank": ["06_models/reranker", f"{REPORTS}/reranking_history.csv"],
    "index": ["06_models/search_index"],
    "evaluate": [
        "05_model_input/test_cases.parquet",
        "05_model_input/test_cases_report.json",
        "07_model_output/recommendations.parquet",
        f"{REPORTS}/test_loss.json",
        f"{REPORTS}/metrics.json",
        f"{REPORTS}/quality_plot.json",
    ],
    "report": [
        *(f"{REPORTS}/{name}_table.csv" for name in ("quality", "difference", "cohort", "decile", "beyond_accuracy")),
        *(f"{REPORTS}/{name}_plot.json" for name in ("difference", "cohort", "decile", "beyond_accuracy")),
        f"{REPORTS}/report.html",
    ],
    "generate": ["07_model_output/chosen_seeds.json", "07_model_output/generated_playlists.json"],
}
FORK = multiprocessing.get_context("fork")
HEAVY = ("kedro_viz.integrations.kedro.hooks", "kedro_datasets.pandas", "kedro_datasets.plotly", "pyarrow.parquet")
HEAVY += ("playlist_pipeline.generation", "playlist_pipeline.training", "playlist_pipeline.evaluation.report")
DATA = ("extract", "split", "catalog", "vocabulary")
# A model that is made in seconds: what it is worth does not matter here.
SMALL = (
    "model.embed_dim=8,model.num_layers=1,train.max_steps=2,train.validate_every=2,train.checkpoint_every=2,"
    "train.embedding_init=normal,rerank.num_folds=0,evaluate.num_seeds=[1],evaluate.max_playlists=20,"
    "evaluate.bootstrap_samples=20,generate.num_examples=1,index.kind=approximate,index.num_lists=8"
)


@dataclass(frozen=True)
class Fault:
    """What happens to a run, and when: in the ``count``-th write of the artifact.

    Attributes:
        what: kill, stop (until SIGCONT), or full.
        when: begin, half, whole (but without its name), named, or aside (the older folder is gone, the newer not come).
        name: File name of the artifact.
        count: Which write of it.
        room: Of a full disk, the bytes that are left.
    """

    what: str
    when: str
    name: str
    count: int = 1
    room: int = 0

    def __str__(self) -> str:
        """Return it in words."""
        place = f"{self.name}{f', write {self.count}' if self.count > 1 else ''}"
        return f"disk full at {place}" if self.what == "full" else f"{self.what} at {place}, {self.when}"


# ---- inside the run that meets the fault ----


class _Trap:
    """Watches the making and the renaming of paths, which is how all writers here work, for the moment of a fault."""

    def __init__(self, fault: Fault, mount: Path) -> None:
        self.fault, self.mount, self.left = fault, mount, fault.count

    def reach(self, when: str, name: str, path: Path | None = None) -> None:
        if (self.fault.when, self.fault.name) != (when, name):
            return
        self.left -= 1
        if self.left:
            return
        if when == "half" and path is not None:
            largest = max(files_of(path), key=lambda file: file.stat().st_size)
            os.truncate(largest, largest.stat().st_size // 2)
        if self.fault.what == "full":
            shrink(self.mount, self.fault.room)
        else:
            os.kill(os.getpid(), signal.SIGKILL if self.fault.what == "kill" else signal.SIGSTOP)


def name_of(path: Path) -> str:
    """Return the name of the artifact that is written at a path."""
    is_part = path.suffix == ".part" or path.parent.name == Path(PARTS).name
    return Path(PARTS).name if is_part else path.name.partition(UNFINISHED)[0]


def set_trap(trap: _Trap) -> None:
    """Let the fault happen to this process."""
    mkdir, rename, replace = Path.mkdir, Path.rename, Path.replace

    def watch_mkdir(path: Path, *options: object, **named: object) -> None:
        mkdir(path, *options, **named)
        if UNFINISHED in path.name or path.parent.name == Path(PARTS).name:
            trap.reach("begin", name_of(path))

    def watch(move):
        def moved(path: Path, target: Path) -> Path:
            steps_aside = f".old{UNFINISHED}" in Path(target).name
            written = path.with_name(f"{path.name}{UNFINISHED}{os.getpid()}") if steps_aside else path
            for when in ("half", "whole"):
                trap.reach(when, name_of(written if steps_aside else target), written)
            result = move(path, target)
            if steps_aside:
                trap.reach("aside", path.name)
            else:
                trap.reach("named", name_of(target))
            return result

        return moved

    Path.mkdir, Path.rename, Path.replace = watch_mkdir, watch(rename), watch(replace)


# ---- file systems ----


def shrink(mount: Path, room: int) -> None:
    """Leave so many bytes on a tmpfs, in whole pages."""
    stat = os.statvfs(mount)
    used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={used + room // 4096 * 4096}", mount], check=True)


@contextmanager
def mount_memory(folder: Path) -> Iterator[bool]:
    """Mount a tmpfs on a folder, and give whether that worked."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", PLENTY, "tmpfs", folder], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def mount_read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only for a while, for root too."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


# ---- runs ----


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: Its exit status, or minus the signal that ended it.
        line: What it said of an error.
        is_one_line: Whether it said it in one line, and last.
    """

    status: int
    line: str
    is_one_line: bool


class Run:
    """A `kedro run`, forked from this process, which has imported what it needs."""

    def __init__(self, options: list[str], fault: Fault | None = None, mount: Path = PROJECT) -> None:
        self._said = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self._process = FORK.Process(target=self._run, args=(options, fault, mount))
        self._process.start()
        self.pid = self._process.pid

    def _run(self, options: list[str], fault: Fault | None, mount: Path) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.dup2(self._said.fileno(), sys.stderr.fileno())
        os.chdir(PROJECT)
        if fault:
            set_trap(_Trap(fault, mount))
        sys.argv = ["kedro", "run", *options]
        run_kedro()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def finish(self) -> Outcome:
        """Wait for the end."""
        self._process.join()
        said = Path(self._said.name).read_text()
        errors = [line for line in said.splitlines() if line.startswith("Error: ")]
        is_one_line = len(errors) == 1 and "Traceback" not in said and said.endswith(f"{errors[0]}\n")
        return Outcome(self._process.exitcode, " ".join(errors) or said[-2000:], is_one_line)


def make_options(workspace: Path, archive: Path, pipelines: str) -> list[str]:
    """Return the options of `kedro run`."""
    return ["--pipelines", pipelines, "--params", f"archive={archive},workspace={workspace},{SMALL}"]


def run_to_end(options: list[str]) -> float:
    """Run, and return the seconds."""
    start = time.perf_counter()
    outcome = Run(options).finish()
    if outcome.status:
        sys.exit(f"a run without any fault failed: {outcome.line}")
    return time.perf_counter() - start


# ---- what a run has left ----


def digest_artifacts(workspace: Path) -> dict[str, str]:
    """Return the SHA-256 of each artifact, by its path in the workspace."""
    names = [name for pipeline in ARTIFACTS for name in ARTIFACTS[pipeline] if name != PARTS]
    return {name: digest_of(workspace / name) for name in names if (workspace / name).exists()}


def find_unfinished(workspace: Path) -> list[str]:
    """Return what is being written, or was when its run was killed."""
    paths = (path for path in workspace.rglob("*") if UNFINISHED in path.name or path.suffix == ".tmp")
    return sorted(str(path.relative_to(workspace)) for path in paths)


def find_damage(workspace: Path, old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return the artifacts that are neither the older nor the newer one, and the false lines of the manifest."""
    found = digest_artifacts(workspace)
    damage = [name for name in old.keys() & new.keys() if found.get(name) not in (old[name], new[name])]
    # A folder that stepped aside when its run was killed comes back with the next.
    damage = [name for name in damage if not _stands_aside(workspace / name, old[name])]
    recorded = {line.digest for line in RunManifest(workspace / MANIFEST).artifacts.values()}
    everything = set(found.values()) | {digest_of(path) for path in (workspace / "06_models").glob("*")}
    everything |= {digest_of(path) for path in (workspace / REPORTS).iterdir() if path.is_file()}
    return damage + [f"manifest's line {digest[:8]}" for digest in recorded - everything]


def _stands_aside(path: Path, digest: str) -> bool:
    return any(digest_of(other) == digest for other in path.parent.glob(f"{path.name}.old{UNFINISHED}*"))


class Bench:
    """Runs faults one after another, each in a copy of the workspace as it was before its pipeline."""

    def __init__(self, folder: Path, archive: Path, can_mount: bool) -> None:
        self.folder, self.archive, self.can_mount = folder, archive, can_mount
        self.mount = folder / "memory"
        self.before: dict[str, Path] = {}
        self.old: dict[str, str] = {}
        self.new: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def prepare(self, first: Path, pipelines: list[str]) -> None:
        """Make the workspace from another archive, then from this one, and keep what it was before each pipeline."""
        workspace = self.mount / "calm"
        needed = list(ARTIFACTS)[: max(list(ARTIFACTS).index(name) for name in pipelines) + 1]
        seconds = run_to_end(make_options(workspace, first, ",".join(needed)))
        self.old = digest_artifacts(workspace)
        for pipeline in needed:
            self.before[pipeline] = shutil.copytree(workspace, self.folder / f"before_{pipeline}")
            seconds += run_to_end(make_options(workspace, self.archive, pipeline))
        self.new = digest_artifacts(workspace)
        same = [name for name in self.new if self.new[name] == self.old[name]]
        self.sizes = {name: size_of(workspace / name) for name in self.new} | {MANIFEST: size_of(workspace / MANIFEST)}
        self.sizes[PARTS] = sum(size_of(workspace / name) for name in ARTIFACTS["extract"])
        shutil.rmtree(workspace)
        print(
            f"undisturbed: {seconds:.0f} s, {len(self.new)} artifacts, the same from both archives: {same}", flush=True
        )

    @contextmanager
    def workspace(self, pipeline: str) -> Iterator[Path]:
        """Give a copy of the workspace as it was before a pipeline."""
        workspace = shutil.copytree(self.before[pipeline], self.mount / "case")
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace)

    def judge(self, title: str, workspace: Path, pipeline: str, outcome: Outcome, *, killed: bool = False) -> None:
        """Look at what a run left, run again, and compare with the undisturbed one."""
        wrong = []
        if killed and outcome.status != -signal.SIGKILL:
            wrong.append(f"was not killed ({outcome.status}: {outcome.line})")
        if not killed and (outcome.status <= 0 or not outcome.is_one_line):
            wrong.append(f"status {outcome.status}, not one line: {outcome.line}")
        unfinished = find_unfinished(workspace)
        if unfinished and not killed:
            wrong.append(f"left {unfinished}")
        kept, counted = len(list(workspace.rglob("*.part"))), len(RunManifest(workspace / MANIFEST).artifacts)
        wrong += [f"{name} is neither old nor new" for name in find_damage(workspace, self.old, self.new)]
        run_to_end([*make_options(workspace, self.archive, pipeline), "--only-missing-outputs"])
        found = digest_artifacts(workspace)
        made = [name for part in pipeline.split(",") for name in ARTIFACTS[part] if name != PARTS]
        wrong += [f"{name} differs after the next run" for name in made if found.get(name) != self.new[name]]
        wrong += [f"{name} is left after the next run" for name in find_unfinished(workspace)]
        if (workspace / PARTS).exists():
            wrong.append("parts are left after the next run")
        said = outcome.line.replace(str(workspace), "WORKSPACE")
        if killed:
            said = f"{'; '.join(unfinished) or 'nothing'} unfinished, {kept} slices kept, {counted} artifacts counted"
        self.tell(title, f"{said}; then the same bytes" if not wrong else "", wrong)

    def tell(self, title: str, said: str, wrong: list[str]) -> None:
        """Print the line of a fault and count it."""
        kind = title.partition(":")[0]
        self.counts[kind] += 1
        self.failures += [f"{title}: {line}" for line in wrong]
        print(f"{title}: {'WRONG: ' + '; '.join(wrong) if wrong else said}", flush=True)

    def meet(self, kind: str, pipeline: str, fault: Fault) -> None:
        """Run a pipeline into a fault."""
        with self.workspace(pipeline) as workspace:
            outcome = Run(make_options(workspace, self.archive, pipeline), fault, self.mount).finish()
            if fault.what == "full":
                subprocess.run(["mount", "-o", f"remount,{PLENTY}", self.mount], check=True)
            self.judge(f"{kind}: {pipeline}, {fault}", workspace, pipeline, outcome, killed=fault.what == "kill")

    def kill_and_fill(self, pipeline: str) -> None:
        """Kill a run of the pipeline inside the writing of each artifact, and let the disk be full there."""
        moments = ("half", "whole", "named")
        is_data = pipeline in DATA
        for number, path in enumerate([*ARTIFACTS[pipeline], *([MANIFEST] if is_data else [])]):
            name = Path(path).name
            if is_data or number == 0:
                self.meet("kill", pipeline, Fault("kill", "half" if path == PARTS else moments[number % 3], name))
            if (self.before[pipeline] / path).is_dir():
                self.meet("kill", pipeline, Fault("kill", "aside", name))
            if self.can_mount:
                self.meet("disk full", pipeline, Fault("full", "begin", name, room=self.sizes[path] // 2))
        if is_data:
            # The first write strikes the lines of what is made again; the second writes those of what was made.
            self.meet("kill", pipeline, Fault("kill", "half", Path(MANIFEST).name, count=2))
            if self.can_mount:
                self.meet("disk full", pipeline, Fault("full", "begin", Path(MANIFEST).name, count=2))

    def mount_read_only(self, pipeline: str) -> None:
        """Run a pipeline where each folder that it writes to is read-only."""
        folders = {Path(path).parts[0] for path in ARTIFACTS[pipeline]} - {REPORTS}  # where the lock lies
        for folder in sorted(folders | {"."} if pipeline in DATA else folders):
            with self.workspace(pipeline) as workspace:
                with mount_read_only(workspace / folder):
                    outcome = Run(make_options(workspace, self.archive, pipeline)).finish()
                place = "the workspace" if folder == "." else folder
                self.judge(f"read-only: {pipeline}, {place}", workspace, pipeline, outcome)

    def kill_at_random(self, pipelines: list[str], number: int, rng: random.Random) -> None:
        """Kill runs of some pipelines at times that are drawn from the duration of one."""
        chain = ",".join(pipelines)
        with self.workspace(pipelines[0]) as workspace:
            duration = run_to_end(make_options(workspace, self.archive, chain))
        for _ in range(number):
            moment = rng.uniform(0.3, 1.0) * duration
            with self.workspace(pipelines[0]) as workspace:
                run = Run(make_options(workspace, self.archive, chain))
                time.sleep(moment)
                run.kill()
                outcome = run.finish()
                if outcome.status == 0:
                    print(f"random kill: after {moment:.2f} s: ended before", flush=True)
                    continue
                title = f"random kill: {chain}, after {moment:.2f} of {duration:.2f} s"
                self.judge(title, workspace, chain, outcome, killed=True)

    def run_twice(self, pipeline: str, fault: Fault) -> None:
        """Let others come while a run is stopped inside a write: runs of this and another workspace, and a reader."""
        with self.workspace(pipeline) as workspace, self.workspace_beside(pipeline) as other:
            link = self.mount / "link"
            link.symlink_to(workspace)
            options = make_options(workspace, self.archive, pipeline)
            held = Run(options, fault, self.mount)
            try:
                is_stopped = os.WIFSTOPPED(os.waitpid(held.pid, os.WUNTRACED)[1])
                title = f"twice: {pipeline}, {fault}"
                self.tell(title, "stopped", [] if is_stopped else ["did not stop"])
                for place in (workspace, link, workspace / REPORTS / ".."):
                    second = Run(make_options(place, self.archive, pipeline)).finish()
                    is_refused = second.status == 1 and second.is_one_line and "in use by another run" in second.line
                    line = second.line.replace(str(workspace), "WORKSPACE").replace(str(link), "LINK")
                    self.tell(f"{title}, a second run", line, [] if is_refused else [f"was not refused: {second.line}"])
                third = Run(make_options(other, self.archive, pipeline)).finish()
                self.tell(f"{title}, a run elsewhere", "goes on", [third.line] if third.status else [])
                if "generate" in self.before:
                    self.read_meanwhile(title, workspace)
            finally:
                os.kill(held.pid, signal.SIGCONT)
                outcome = held.finish()
                link.unlink()
            found = digest_artifacts(workspace)
            wrong = [name for name in ARTIFACTS[pipeline] if found.get(name, "") != self.new.get(name, "")]
            self.tell(f"{title}, the first goes on", "the same bytes", [outcome.line] if outcome.status else wrong)
            found = digest_artifacts(other)
            wrong = [name for name in ARTIFACTS[pipeline] if found.get(name, "") != self.new.get(name, "")]
            self.tell(f"{title}, the run elsewhere", "the same bytes", wrong)

    @contextmanager
    def workspace_beside(self, pipeline: str) -> Iterator[Path]:
        """Give a second copy of the workspace as it was before a pipeline."""
        workspace = shutil.copytree(self.before[pipeline], self.mount / "beside")
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace)

    def read_meanwhile(self, title: str, workspace: Path) -> None:
        """Let the command `playlist` complete a playlist from a workspace in which a run is stopped."""
        command = [
            str(Path(sys.executable).with_name("playlist")),
            "complete",
            "--model",
            str(workspace),
            "--length",
            "3",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
        errors = done.stderr.splitlines()
        works = done.returncode == 0 and len(done.stdout.splitlines()) == 3
        says = done.returncode == 1 and len(errors) == 1 and errors[0].startswith("Error: ")
        line = "completes a playlist" if works else errors[0].replace(str(workspace), "WORKSPACE") if says else ""
        self.tell(f"{title}, a reader", line, [] if works or says else [done.stderr or "no answer"])


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=2, help="of the archive, 1,000 playlists each")
    parser.add_argument("--pipelines", default=",".join(name for name in ARTIFACTS if name != "train"))
    parser.add_argument("--random", type=int, default=5, help="kills at random moments of the data pipelines")
    parser.add_argument("--seed", type=int, default=2018)
    options = parser.parse_args()
    pipelines = options.pipelines.split(",")
    os.environ |= {"DO_NOT_TRACK": "1", "JAX_PLATFORMS": "cpu"}
    for module in HEAVY:
        importlib.import_module(module)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = folder / "mpd.zip"
        command = [sys.executable, "-m", "playlist_pipeline.mpd.synthetic", str(archive)]
        subprocess.run([*command, "--slices", str(options.slices)], check=True, stdout=subprocess.DEVNULL)
        with mount_memory(folder / "memory") as can_mount:
            bench = Bench(folder, archive, can_mount)
            if not can_mount:
                print("no tmpfs can be mounted (root on Linux can): full and read-only disks are skipped", flush=True)
            bench.prepare(PROJECT / "data/01_raw/sample_mpd.zip", pipelines)
            for pipeline in pipelines:
                bench.kill_and_fill(pipeline)
                if can_mount:
                    bench.mount_read_only(pipeline)
            data = [name for name in DATA if name in pipelines]
            if data:
                bench.kill_at_random(data, options.random, random.Random(options.seed))
            if "catalog" in pipelines:
                bench.run_twice("catalog", Fault("stop", "whole", "catalog.db"))
            if "index" in pipelines:
                bench.run_twice("index", Fault("stop", "aside", "search_index"))
    summary = ", ".join(f"{number} {kind}" for kind, number in bench.counts.items())
    print(f"{summary}: {len(bench.failures)} wrong; {time.perf_counter() - start:.0f} s")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
