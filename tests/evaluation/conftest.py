"""Tiny corpora with known test cases, and rankings of them."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from recipes import make_evaluate_config

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.protocols import build_test_cases
from playlist_pipeline.evaluation.rankings import RANKINGS_SCHEMA
from playlist_pipeline.evaluation.summary import summarise
from playlist_pipeline.mpd.schema import MEMBERSHIPS_SCHEMA, PLAYLISTS_SCHEMA, TRACKS_SCHEMA

# Track 0 has token 3, track 1 token 4, and so on; tracks from 20 on are unknown. Two tracks share an artist.
NUM_TRACKS, NUM_KNOWN = 30, 20
FIRST_PID = 1000


def _make_config(**changes: Any) -> EvaluateConfig:
    values = {"num_seeds": [1, 2], "min_truth": 2, "num_recommendations": 6, "bootstrap_samples": 200}
    return make_evaluate_config(**values | changes)


def _make_uri(number: int) -> str:
    return f"spotify:track:{number:022d}"


def _make_tracks(num_tracks: int) -> pa.Table:
    numbers = list(range(num_tracks))
    columns = dict.fromkeys(("track_id", "album_id", "duration_ms"), numbers)
    columns |= {"artist_id": [number // 2 for number in numbers]}
    names = {"uri": list(map(_make_uri, numbers)), "name": list(map(str, numbers))}
    return pa.Table.from_pydict(columns | names, schema=TRACKS_SCHEMA)


def _make_playlists(titles: Sequence[str]) -> pa.Table:
    numbers = list(range(len(titles)))
    columns = {field.name: [0] * len(numbers) for field in PLAYLISTS_SCHEMA}
    columns |= {"playlist_id": numbers, "pid": [FIRST_PID + number for number in numbers], "name": list(titles)}
    columns |= {"description": [None] * len(numbers), "collaborative": [False] * len(numbers)}
    return pa.Table.from_pydict(columns, schema=PLAYLISTS_SCHEMA)


def _make_memberships(playlists: Sequence[Sequence[int]]) -> pa.Table:
    rows = [
        {"playlist_id": number, "position": position, "track_id": track}
        for number, playlist in enumerate(playlists)
        for position, track in enumerate(playlist)
    ]
    return pa.Table.from_pylist(rows, schema=MEMBERSHIPS_SCHEMA)


def _make_splits(parts: Sequence[str]) -> pa.Table:
    numbers = np.arange(len(parts), dtype=np.int32)
    return pa.table({"playlist_id": numbers, "pid": numbers + FIRST_PID, "split": pa.array(parts, pa.string())})


@pytest.fixture(scope="session")
def make_config() -> Callable[..., EvaluateConfig]:
    """Give ``make_config(**changes)``."""
    return _make_config


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Twenty tracks, counted 20, 19, ..., 1 times in training."""
    uris = ["<start>", "<eop>", "<unk>", *map(_make_uri, range(NUM_KNOWN))]
    counts = [0, 0, 0, *range(NUM_KNOWN, 0, -1)]
    tokens = pa.array(range(len(uris)), pa.int32())
    return Vocabulary.from_table(pa.table({"token": tokens, "uri": uris, "count": pa.array(counts, pa.int64())}))


@pytest.fixture(scope="session")
def facts(vocabulary) -> TrackFacts:
    """The artists of ``build``'s tracks; artists 4 and 9 have the same name."""
    artists = np.concatenate([[-1] * 3, np.arange(NUM_KNOWN) // 2]).astype(np.int32)
    names = np.arange(NUM_TRACKS // 2, dtype=np.int32)
    names[9] = 4
    return TrackFacts(counts=vocabulary.counts, artists=artists, artist_names=names)


@pytest.fixture(scope="session")
def make_tables() -> Callable[..., tuple[pa.Table, pa.Table, pa.Table, pa.Table]]:
    """Give ``make_tables(playlists, parts=None, titles=None, *, num_tracks=30)``.

    The tables are playlists, memberships, tracks and splits.

    Playlists are lists of track numbers, all in the test part if not said; their pids are 1000, 1001, ...
    """

    def make(playlists, parts=None, titles=None, *, num_tracks=NUM_TRACKS):
        return (
            _make_playlists(titles or [f"Title {number}" for number in range(len(playlists))]),
            _make_memberships(playlists),
            _make_tracks(num_tracks),
            _make_splits(parts or ["test"] * len(playlists)),
        )

    return make


@pytest.fixture(scope="session")
def build_all(vocabulary, make_tables) -> Callable[..., Any]:
    """Give ``build_all(playlists, parts=None, titles=None, *, part="test", num_tracks=30, **config)``.

    Playlists are lists of track numbers, all in the test part if not said; their pids are 1000, 1001, ...
    """

    def build(playlists, parts=None, titles=None, *, part="test", num_tracks=NUM_TRACKS, **changes):
        tables = make_tables(playlists, parts, titles, num_tracks=num_tracks)
        return build_test_cases(*tables, vocabulary, _make_config(**changes), part=part)

    return build


@pytest.fixture(scope="session")
def build(build_all) -> Callable[..., dict[str, TestCases]]:
    """Give ``build(...)``: the cases of the one protocol that ``build_all`` is asked for."""

    def build(*args, **changes):
        (cases,) = build_all(*args, **changes)[0].values()
        return cases

    return build


@pytest.fixture(scope="session")
def cases(build) -> dict[str, TestCases]:
    """Three playlists with one seed, two of them with two; ``first_k``."""
    return build([[0, 1, 0, 2, 25, 3], [5, 6, 7], [21, 8, 9, 10]])


@pytest.fixture(scope="session")
def make_rankings() -> Callable[..., pa.Table]:
    """Give ``make_rankings(cases, system="model", **lists)``.

    Rankings with the list ``[15, 16]`` for each playlist, but for those named ``k<case>_p<playlist>``.
    """

    def make(cases, system="model", **lists):
        rows = [
            {
                "protocol": part.protocol,
                "case": case,
                "system": system,
                "playlist_id": playlist_id,
                "tokens": lists.get(f"k{case}_p{playlist_id}", [15, 16]),
            }
            for case, part in cases.items()
            for playlist_id in part.playlist_ids.tolist()
        ]
        return pa.Table.from_pylist(rows, schema=RANKINGS_SCHEMA)

    return make


@pytest.fixture(scope="session")
def make_system() -> Callable[..., Any]:
    """Give ``make_system(rank)``: a system of a function of seeds, k and titles."""
    return lambda rank: SimpleNamespace(rank=rank)


@pytest.fixture(scope="session")
def metrics(cases, build, make_rankings, facts) -> dict[str, Any]:
    """What ``metrics.json`` holds of ``cases``, and of one playlist in ``challenge``; the model, two baselines."""
    titled = build([list(range(12))], protocols=["challenge"], challenge_closed=False, challenge_reuse=True)
    rankings = [
        make_rankings(part, system, **lists)
        for part in (cases, titled)
        for system, lists in (
            ("model", {"k1_p0": [4, 5, 6], "k2_p2": [12, 13]}),
            ("popularity", {"k1_p1": [9]}),
            ("item_knn", {"k1_p0": [4]}),
        )
    ]
    config = _make_config(protocols=["first_k", "challenge"])
    summary = summarise({"first_k": cases, "challenge": titled}, pa.concat_tables(rankings), facts, config)
    return summary | {"loss": {"test": {"sampled": 2.5, "exact": 2.75, "perplexity": 15.6}}}
