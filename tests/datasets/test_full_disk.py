"""A disk that is full or read-only as an artifact is saved: one line, and the older artifact is there and alone."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from kedro.io import AbstractDataset
from recipes import make_index_config

from playlist_pipeline import datasets
from playlist_pipeline.cli import explain
from playlist_pipeline.corpus import PackedSequences, SequenceStore
from playlist_pipeline.corpus.database_build import build_database
from playlist_pipeline.corpus.split import SPLITS, SPLITS_SCHEMA
from playlist_pipeline.fingerprint import digest_of, files_of
from playlist_pipeline.manifest import RunManifest
from playlist_pipeline.mpd import Submission

resource = pytest.importorskip("resource", reason="needs limits of the operating system")

OURS = "playlist_pipeline.datasets."


def _make_table(seed: int) -> pa.Table:
    return pa.table({"a": np.random.default_rng(seed).integers(1 << 40, size=2000)})


def _make_frame(seed: int) -> pd.DataFrame:
    return _make_table(seed).to_pandas()


def _make_sequences(seed: int) -> SequenceStore:
    tokens = np.random.default_rng(seed).integers(1 << 20, size=2000, dtype=np.int32)
    packed = PackedSequences(tokens, np.array([0, 2000]), np.array([7], np.int32))
    return SequenceStore(dict.fromkeys(SPLITS, packed), "vocabulary")


def _make_submission(seed: int) -> Submission:
    uris = [f"spotify:track:{number:022d}" for number in np.random.default_rng(seed).permutation(500)]
    return Submission("team", "main", "mail", {7: uris})


def _make_index(seed: int) -> Any:
    from playlist_pipeline.generation.index import build_index  # noqa: PLC0415

    table = np.random.default_rng(seed).standard_normal((400, 4)).astype(np.float32)
    return build_index(table, make_index_config(kind="approximate", num_lists=3))


def _make_reranker(seed: int) -> Any:
    from playlist_pipeline.generation.reranking.first_stage import Artists  # noqa: PLC0415
    from playlist_pipeline.generation.reranking.reranker import RerankerState  # noqa: PLC0415

    sequences = _make_sequences(seed).parts[SPLITS[0]]
    artists = Artists(np.zeros(sequences.tokens.max() + 1, np.int32), ["", "björk"])
    return RerankerState(None, sequences, ["Jóga"], artists, num_candidates=9, vocabulary="v")


@pytest.fixture(scope="module")
def make_database(tiny_tables):
    """Return a function that gives the writer of a catalog, which is another for another seed."""
    pids = tiny_tables.playlists["pid"]
    ids = np.arange(len(pids))

    def make(seed: int) -> Any:
        parts = [SPLITS[number] for number in np.random.default_rng(seed).integers(len(SPLITS), size=len(pids))]
        splits = pa.table([pa.array(ids, pa.int32()), pids, pa.array(parts, SPLITS_SCHEMA.types[2])], SPLITS_SCHEMA)
        return partial(build_database, **vars(tiny_tables), splits=splits)

    return make


# Of each type in the catalog that saves an artifact: its entry beside `filepath`, and what makes its data of a seed.
CASES = {
    "table.parquet": ({"type": f"{OURS}TableDataset"}, _make_table),
    "report.json": (
        {"type": f"{OURS}WholeFileDataset", "dataset": "json.JSONDataset"},
        lambda seed: _make_frame(seed).to_dict("list"),
    ),
    "table.csv": ({"type": f"{OURS}WholeFileDataset", "dataset": "pandas.CSVDataset"}, _make_frame),
    "plot.json": (
        {"type": f"{OURS}WholeFileDataset", "dataset": "plotly.JSONDataset"},
        lambda seed: go.Figure(go.Bar(y=_make_frame(seed)["a"].tolist())),
    ),
    "page.html": (
        {"type": f"{OURS}WholeFileDataset", "dataset": "text.TextDataset"},
        lambda seed: _make_frame(seed).to_html(),
    ),
    "catalog.db": ({"type": f"{OURS}DatabaseDataset"}, None),
    "sequences": ({"type": f"{OURS}SequencesDataset"}, _make_sequences),
    "submission.csv.gz": ({"type": f"{OURS}SubmissionDataset"}, _make_submission),
    "seeds.txt": ({"type": f"{OURS}SeedsDataset"}, lambda seed: [_make_submission(seed).lists[7]]),
    "search_index": ({"type": f"{OURS}SearchIndexDataset"}, _make_index),
    "reranker": ({"type": f"{OURS}RerankerDataset"}, _make_reranker),
}
# As an archive is not written, and handles write as tests/test_files.py, test_parts.py and those of checkpoints show.
OTHERS = {"Archive", "ChallengeSet", "Checkpoints", "Model", "Parts", "RunManifest", "StudyRuns", "Trials"}


@pytest.fixture(params=CASES)
def saved(request, tmp_path, make_database):
    """An artifact that was saved, newer data for it, its path and its digest."""
    entry, make = CASES[request.param]
    make = make or make_database
    path = tmp_path / "workspace" / request.param
    dataset = AbstractDataset.from_config(request.param, {**entry, "filepath": str(path)})
    dataset.save(make(0))
    return dataset, make(1), path, digest_of(path)


@contextmanager
def _limit_files(room: int) -> Iterator[None]:
    """Refuse each library every byte beyond so many of a file, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _assert_refused(error: BaseException, reason: str, path: Path) -> None:
    line = explain(error)
    assert line is not None
    assert line.startswith(f"{path} cannot be written ({reason}")
    assert line.endswith("): make room, or choose another place")
    assert "\n" not in line


def _assert_alone(dataset: AbstractDataset, path: Path, digest: str) -> None:
    assert digest_of(path) == digest
    assert dataset.exists()
    dataset.load()
    assert list(path.parent.iterdir()) == [path]


def test_every_type_is_looked_at() -> None:
    types = {entry["type"].removeprefix(OURS).removesuffix("Dataset") for entry, _ in CASES.values()}
    assert types | OTHERS == {name.removesuffix("Dataset") for name in datasets.__all__}


def test_a_full_disk_is_one_line_and_the_older_artifact_stays(saved) -> None:
    dataset, data, path, digest = saved
    room = max(file.stat().st_size for file in files_of(path)) // 2
    with pytest.raises(Exception) as error, _limit_files(room):  # noqa: PT011
        dataset.save(data)
    # Not all libraries pass on what the system said: numpy counts items, sqlite has words of its own.
    has_own_words = path.name in ("sequences", "catalog.db")
    _assert_refused(error.value, "" if has_own_words else os.strerror(errno.EFBIG), path)
    _assert_alone(dataset, path, digest)
    dataset.save(data)
    assert digest_of(path) != digest


def test_a_read_only_place_is_one_line_and_the_older_artifact_stays(saved, monkeypatch) -> None:
    dataset, data, path, digest = saved
    mkdir = Path.mkdir

    def refuse(folder: Path, *options: Any, **named: Any) -> None:
        if folder.parent == path.parent:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))
        mkdir(folder, *options, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refuse)
        with pytest.raises(Exception) as error:  # noqa: PT011
            dataset.save(data)
    _assert_refused(error.value, "Read-only file system", path)
    _assert_alone(dataset, path, digest)


def test_a_manifest_that_does_not_fit_the_disk_leaves_the_older_one(tmp_path) -> None:
    path = tmp_path / "run_manifest.json"
    (tmp_path / "a").write_text("abc")
    RunManifest(path).record({"a": tmp_path / "a"}, {"code": "f1"})
    before = path.read_bytes()
    with pytest.raises(Exception) as error, _limit_files(len(before) // 2):  # noqa: PT011
        RunManifest(path).record({"b": tmp_path / "a"}, {"code": "f2"})
    _assert_refused(error.value, os.strerror(errno.EFBIG), path)
    assert path.read_bytes() == before
    assert set(RunManifest(path).artifacts) == {"a"}
