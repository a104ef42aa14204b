from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.config import VocabularyConfig
from playlist_pipeline.corpus import SPLITS_SCHEMA, Vocabulary, build_vocabulary
from playlist_pipeline.mpd import schema


class Tables(NamedTuple):
    """Everything that ``build_database`` takes, in its order."""

    playlists: pa.Table
    artists: pa.Table
    albums: pa.Table
    tracks: pa.Table
    memberships: pa.Table
    splits: pa.Table


def _make_corpus(
    playlists: Sequence[Sequence[str]],
    parts: Sequence[str],
    names: dict[str, tuple[str, str, str]] | None = None,
) -> Tables:
    """Tables of playlists given as lists of track keys; ``names`` gives a key's title, artist and album.

    Ids are in order of first appearance, as extraction gives them; URIs are ``track:<key>``.
    """
    names = names or {}
    artists: dict[str, int] = {}
    albums: dict[str, int] = {}
    tracks: dict[str, int] = {}
    rows: list[tuple[str, int, int]] = []
    memberships: list[tuple[int, int, int]] = []
    for playlist_id, keys in enumerate(playlists):
        for position, key in enumerate(keys):
            title, artist, album = names.get(key, (f"title {key}", f"artist {key[:1]}", f"album {key[:1]}"))
            if key not in tracks:
                tracks[key] = len(tracks)
                rows.append((title, artists.setdefault(artist, len(artists)), albums.setdefault(album, len(albums))))
            memberships.append((playlist_id, position, tracks[key]))
    count = len(playlists)
    uris = [f"track:{key}" for key in tracks]
    lengths = [len(keys) for keys in playlists]
    ids = np.arange(count)
    columns: list[Any] = [
        ids,
        100 + ids,
        [f"list {i}" for i in ids],
        [None if i % 2 else f"about {i}" for i in ids],
        ids % 2 == 1,
        1_500_000_000 + ids,
        lengths,
        lengths,
        lengths,
        1 + ids,
        2 + ids,
        1000 * ids,
    ]
    members = np.array(memberships, np.int32).reshape(-1, 3)
    return Tables(
        _make_table(schema.PLAYLISTS_SCHEMA, columns),
        _make_table(schema.ARTISTS_SCHEMA, [range(len(artists)), [f"artist:{a}" for a in artists], list(artists)]),
        _make_table(schema.ALBUMS_SCHEMA, [range(len(albums)), [f"album:{a}" for a in albums], list(albums)]),
        _make_table(
            schema.TRACKS_SCHEMA,
            [range(len(tracks)), uris, *(list(c) for c in zip(*rows, strict=True)), [200_000] * len(tracks)],
        ),
        _make_table(schema.MEMBERSHIPS_SCHEMA, list(members.T)),
        _make_table(SPLITS_SCHEMA, [ids, 100 + ids, list(parts)]),
    )


def _make_table(table_schema: pa.Schema, columns: Sequence[Any]) -> pa.Table:
    pairs = zip(columns, table_schema, strict=True)
    return pa.table([pa.array(column, field.type) for column, field in pairs], schema=table_schema)


PLAYLISTS = [
    ["b1", "a1", "a1", "c1"],  # train
    ["d1", "a1"],  # test
    ["a1", "b1", "a2"],  # train
    ["e1", "b1", "d1"],  # validation
    ["c1", "b1", "b2"],  # train
]
PARTS = ["train", "test", "train", "validation", "train"]


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Tables]:
    return _make_corpus


@pytest.fixture
def corpus() -> Tables:
    """Five playlists over seven tracks; d1 and e1 are not in training."""
    return _make_corpus(PLAYLISTS, PARTS)


@pytest.fixture
def vocabulary(corpus: Tables) -> Vocabulary:
    table, _ = build_vocabulary(corpus.memberships, corpus.tracks, corpus.splits, VocabularyConfig(min_count=1))
    return Vocabulary.from_table(table)
