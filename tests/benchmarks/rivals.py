"""RecTools' SASRec and eSASRec on the same data, split, seeds and metrics, tuned by the same search as the baselines.

    uv run python tests/benchmarks/rivals.py --archive PATH --workspace DIR --minutes 60

RecTools does not go together with this project's numpy. It gets an environment of its own, made on the first run
from rivals/requirements.txt by uv, or by venv and pip; rivals/rectools_models.py runs there, and Parquet files go to
and fro. Each trial fits one setting within its share of --minutes, in processor time, and ranks the validation and the
test cases. The test lists of a system's best trial on the validation part, or of a longer training with its settings,
filled with popularity like those of the baselines, are judged here and written to
DIR/07_model_output/rival_recommendations.parquet. Finished trials are not repeated.
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from recipes import CONF

from playlist_pipeline.config import Config, TuningConfig
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.datasets import SequencesDataset, TableDataset
from playlist_pipeline.evaluation.baselines import Popularity
from playlist_pipeline.evaluation.baselines.ranking import flatten_seeds
from playlist_pipeline.evaluation.cases import cases_from_table
from playlist_pipeline.evaluation.metrics import PADDING
from playlist_pipeline.evaluation.rankings import RANKINGS_SCHEMA, measure_lists, read_rankings
from playlist_pipeline.evaluation.tuning import (
    TrialStore,
    describe_search,
    find_best,
    fingerprint_table,
    tune_system,
)
from playlist_pipeline.fingerprint import digest_of, fingerprint_of

PROJECT = Path(__file__).parents[2]
RIVALS = Path(__file__).with_name("rivals")
SHOWN = ("ndcg@500", "r_precision", "clicks")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecToolsSettings(Config):
    """What is set of RecTools' SASRecModel; see its documentation."""

    KEY: ClassVar[str] = "rivals"
    n_blocks: int
    n_heads: int
    n_factors: int
    session_max_len: int
    batch_size: int
    lr: float
    dropout_rate: float
    n_negatives: int
    epochs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "n_blocks", "n_heads", "n_factors", "batch_size", "n_negatives", "epochs")
        self._require_at_least(2, "session_max_len")
        self._require("lr", self.lr > 0, "a positive number")
        self._require_below_1("dropout_rate")


START = {
    "n_blocks": 2,
    "n_heads": 4,
    "n_factors": 128,
    "session_max_len": 100,
    "batch_size": 32,
    "lr": 0.003,
    "dropout_rate": 0.2,
    "n_negatives": 16,
    "epochs": 20,
}
SYSTEMS = {name: RecToolsSettings(**START) for name in ("rectools_sasrec", "rectools_esasrec")}
SEARCH_SPACE = {
    "lr": (0.001, 0.003, 0.01),
    "n_negatives": (8, 16, 64, 256),
    "epochs": (10, 20, 40),
    "dropout_rate": (0.1, 0.2, 0.4),
    "batch_size": (16, 32, 64),
}


def make_environment(folder: Path) -> Path:
    """Return the Python of the rivals' environment; make the environment if it is not there or out of date."""
    requirements = RIVALS / "requirements.txt"
    stamp, python = folder / "requirements.sha256", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != digest_of(requirements):
        uv = shutil.which("uv")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        create = [uv, "venv", "-q", "--clear", "--python", version] if uv else [sys.executable, "-m", "venv", "--clear"]
        install = [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]
        subprocess.run([*create, folder], check=True)
        subprocess.run([*install, "-r", requirements], check=True)
        stamp.write_text(digest_of(requirements))
    return python


def make_cases(archive: Path | None, workspace: Path) -> None:
    """Run the pipelines up to the validation and test cases."""
    places = [f"workspace={workspace}", *([f"archive={archive.resolve()}"] if archive else [])]
    for options in (["--pipelines=data"], ["--pipelines=baselines", "--to-outputs=validation_cases,test_cases"]):
        command = [sys.executable, "-m", "kedro", "run", *options, "--only-missing-outputs"]
        subprocess.run([*command, f"--params={','.join(places)}"], check=True, cwd=PROJECT, stderr=subprocess.DEVNULL)


def read_table(workspace: Path, name: str) -> pa.Table:
    """Read a table of the workspace."""
    return TableDataset(filepath=str(workspace / f"{name}.parquet")).load()


def export(workspace: Path, folder: Path, vocabulary: Vocabulary) -> str:
    """Write what rectools_models.py reads; return a fingerprint of it."""
    sequences = SequencesDataset(filepath=str(workspace / "05_model_input" / "sequences")).load()
    training = sequences.source("train", vocabulary)
    lengths = np.diff(training.offsets)
    rows = {
        "playlist_id": np.repeat(training.playlist_ids, lengths),
        "position": np.arange(len(training.tokens)) - np.repeat(training.offsets[:-1], lengths),
        "token": np.asarray(training.tokens),
    }
    frame = pd.DataFrame(rows)
    frame = frame[frame["token"] >= len(SPECIALS)].drop_duplicates(["playlist_id", "token"])
    tables = {
        "training": pa.Table.from_pandas(frame, preserve_index=False),
        "cases": pa.concat_tables([read_cases(workspace, part) for part in ("validation", "test")]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return fingerprint_of([fingerprint_table(table) for table in tables.values()])


def name_cases(cases: pa.Table) -> pa.Table:
    """Return the columns that name a case in a table of rankings."""
    return cases.select([name for name in RANKINGS_SCHEMA.names if name not in ("system", "tokens")])


def read_cases(workspace: Path, part: str) -> pa.Table:
    """Return names and seeds of a part's cases, and the part."""
    cases = read_table(workspace, f"05_model_input/{part}_cases")
    named = name_cases(cases).append_column("seeds", cases["seeds"])
    return named.append_column("part", pa.repeat(part, len(cases)))


def complete_lists(lists: pa.Table, cases: pa.Table, system: str, popularity: Popularity, k: int) -> pa.Table:
    """Return one list for each case, in their order, filled with popularity: ``RANKINGS_SCHEMA``."""
    keys = name_cases(cases).to_pylist()
    listed = dict(zip(map(str, name_cases(lists).to_pylist()), lists["tokens"].to_pylist(), strict=True))
    ranked = np.full((len(keys), k), PADDING, np.int32)
    for row, key in enumerate(map(str, keys)):
        tokens = listed.get(key, [])
        ranked[row, : len(tokens)] = tokens
    seeds = [np.array(tokens, np.int32) for tokens in cases["seeds"].to_pylist()]
    filled = popularity.fill(ranked, *flatten_seeds(seeds))
    tokens = [row[row != PADDING].tolist() for row in filled]
    rows = [key | {"system": system, "tokens": list_} for key, list_ in zip(keys, tokens, strict=True)]
    return pa.Table.from_pylist(rows, schema=RANKINGS_SCHEMA)


def judge(rankings: pa.Table, cases: pa.Table) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean of each metric: system, then case, then metric."""
    parts = cases_from_table(cases)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for protocol, lists in read_rankings(rankings, parts).items():
        for case, of_case in lists.items():
            for system, of_system in of_case.items():
                measured = measure_lists(of_system, parts[protocol][case])
                figures.setdefault(system, {})[case] = {name: float(values.mean()) for name, values in measured.items()}
    return figures


class Rival:
    """Runs one of RecTools' systems in its environment.

    Args:
        system: Its name.
        python: Of the environment.
        folder: Where ``export`` wrote, and where lists are kept.
        cases: Part to its table of cases.
        popularity: Fills lists.
        options: The command line's.
        seconds: Limit of each training, processor time.
    """

    def __init__(
        self,
        system: str,
        python: Path,
        folder: Path,
        cases: Mapping[str, pa.Table],
        popularity: Popularity,
        options: argparse.Namespace,
        seconds: float,
    ) -> None:
        self._system, self._python, self._folder = system, python, folder
        self._cases, self._popularity, self._options, self._seconds = cases, popularity, options, seconds

    def measure(self, settings: Config) -> dict[str, float]:
        """Fit, rank all cases and keep the lists; return the metric of each validation case."""
        path = self._path_of(settings)
        arguments = {
            "settings": json.dumps(settings.to_dict()),
            "seconds": self._seconds,
            "seed": self._options.seed,
            "threads": self._options.threads,
        }
        command = [self._python, RIVALS / "rectools_models.py", self._system, self._folder, path]
        command += [f"--{name}={value}" for name, value in arguments.items()]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        path.with_suffix(".json").write_text(done.stdout.splitlines()[-1])
        figures = judge(self.read_lists(settings, "validation"), self._cases["validation"])[self._system]
        return {case: metrics["ndcg@500"] for case, metrics in figures.items()}

    def read_lists(self, settings: Config, part: str) -> pa.Table:
        """Return the lists of a part from the trial with these settings."""
        lists = pq.read_table(self._path_of(settings), filters=[("part", "=", part)])
        return complete_lists(lists, self._cases[part], self._system, self._popularity, 500)

    def read_report(self, settings: Config) -> dict[str, Any]:
        """Return epochs, steps and seconds of the trial with these settings."""
        return json.loads(self._path_of(settings).with_suffix(".json").read_text())

    def _path_of(self, settings: Config) -> Path:
        key = [self._system, settings.to_dict(), self._seconds, self._options.seed, self._options.threads]
        return self._folder / f"lists_{fingerprint_of(key)[:16]}.parquet"


def run(options: argparse.Namespace, workspace: Path) -> dict[str, Any]:
    """Tune the systems and judge them on the test part."""
    python = make_environment(options.environment)
    make_cases(options.archive, workspace)
    vocabulary = Vocabulary.from_table(read_table(workspace, "04_feature/vocabulary"))
    folder = workspace / "06_models" / "rivals"
    data = export(workspace, folder, vocabulary)
    cases = {part: read_table(workspace, f"05_model_input/{part}_cases") for part in ("validation", "test")}
    seconds = options.minutes * 60 / (len(options.systems) * options.trials)
    script = digest_of(RIVALS / "rectools_models.py")
    context = {"data": data, "script": script, "seconds": seconds, "seed": options.seed, "threads": options.threads}
    tuning = TuningConfig(
        systems=(),
        num_trials=options.trials,
        metric="ndcg@500",
        seed=options.seed,
        search_space=dict.fromkeys(SYSTEMS, SEARCH_SPACE),
    )
    store, found, tables = TrialStore(folder / "trials"), {}, []
    for system in options.systems:
        rival = Rival(system, python, folder, cases, Popularity(vocabulary), options, seconds)
        trials = tune_system(system, SYSTEMS[system], tuning, measure=rival.measure, store=store, context=context)
        best = dataclasses.replace(SYSTEMS[system], **find_best(trials).settings)
        if options.final_minutes:
            rival = Rival(system, python, folder, cases, Popularity(vocabulary), options, 60 * options.final_minutes)
            rival.measure(best)
        tables.append(rival.read_lists(best, "test"))
        found[system] = describe_search(trials, SYSTEMS[system], SEARCH_SPACE) | {
            "training": rival.read_report(best),
            "curve": [trial.mean for trial in trials],
        }
    rankings = pa.concat_tables(tables)
    TableDataset(filepath=str(workspace / "07_model_output" / "rival_recommendations.parquet")).save(rankings)
    for system, figures in judge(rankings, cases["test"]).items():
        found[system]["test"] = figures
    return found


def show(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    for system, result in found.items():
        print(f"\n{system}: best of {result['trials']} trials on validation, mean NDCG@500 {result['mean']:.4f}")
        print(f"  {result['settings']}")
        print(f"  training of the best: {result['training']}; at the edge of what was tried: {result['at_edge']}")
        print(f"  {'seeds':<8}" + "".join(f"{name:>14}" for name in SHOWN))
        for case, metrics in result["test"].items():
            print(f"  {case:<8}" + "".join(f"{metrics[name]:>14.4f}" for name in SHOWN))


def main() -> int:
    """Run the benchmark."""
    trials = yaml.safe_load((CONF / "base" / "parameters_baselines.yml").read_text("utf-8"))["tuning"]["num_trials"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="the bundled sample if not given")
    parser.add_argument("--workspace", type=Path, help="a folder to keep; a temporary one if not given")
    parser.add_argument("--environment", type=Path, default=PROJECT / "build" / "rivals", help="of RecTools")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="processor time of training, over all systems and trials"
    )
    parser.add_argument(
        "--final-minutes",
        type=float,
        help="processor time of one more training with each system's best settings, which then counts on the test part",
    )
    parser.add_argument("--trials", type=int, default=trials, help="for each system (default: as the baselines)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = run(options, (options.workspace or Path(temporary)).resolve())
    show(found)
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
