"""Artists, albums and durations by token: made from the tables, numbered, and cut into buckets."""

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.corpus.side_information import (
    SIDE_SCHEMA,
    SideInformation,
    bucket_durations,
    bucket_popularity,
    build_side_information,
)
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError

TRACKS = pa.table(
    {
        "uri": ["spotify:track:a", "spotify:track:b", "spotify:track:c", "spotify:track:d"],
        "artist_id": pa.array([1, 0, 1, 2], pa.int32()),
        "album_id": pa.array([0, 1, 1, 2], pa.int32()),
        "duration_ms": pa.array([1000, 2000, 3000, 4000], pa.int32()),
    }
)
ARTISTS = pa.table({"uri": ["spotify:artist:x", "spotify:artist:y", "spotify:artist:z"]})
ALBUMS = pa.table({"uri": ["spotify:album:u", "spotify:album:v", "spotify:album:w"]})


def _vocabulary(*uris):
    return Vocabulary(pa.array([*SPECIALS, *uris]), np.array([0, 0, 0] + [1] * len(uris)))


@pytest.fixture
def table():
    """Tracks c, a, b have tokens 3, 4, 5; d has none."""
    vocabulary = _vocabulary("spotify:track:c", "spotify:track:a", "spotify:track:b")
    return build_side_information(TRACKS, ALBUMS, ARTISTS, vocabulary)


def test_each_token_has_its_own_tracks_row(table):
    assert table.schema.equals(SIDE_SCHEMA)
    assert table.to_pydict() == {
        "token": [0, 1, 2, 3, 4, 5],
        "artist_uri": [None] * 3 + ["spotify:artist:y", "spotify:artist:y", "spotify:artist:x"],
        "album_uri": [None] * 3 + ["spotify:album:v", "spotify:album:u", "spotify:album:v"],
        "duration_ms": [None] * 3 + [3000, 1000, 2000],
    }


def test_artists_and_albums_are_numbered_from_one_and_shared(table):
    side = SideInformation(table)
    assert side.artists.tolist() == [0, 0, 0, 1, 1, 2]
    assert side.albums.tolist() == [0, 0, 0, 1, 2, 1]
    assert side.durations.tolist() == [0, 0, 0, 3000, 1000, 2000]
    assert side.artists.dtype == side.albums.dtype == side.durations.dtype == np.int32
    assert (side.num_artists, side.num_albums) == (3, 3)


def test_an_artist_of_no_known_track_is_the_unknown_one(table):
    side = SideInformation(table)
    assert side.find_artists(["spotify:artist:x", "spotify:artist:z", "spotify:artist:y"]).tolist() == [2, 0, 1]
    assert side.find_albums(["spotify:album:w", "spotify:album:v"]).tolist() == [0, 1]


def test_the_table_read_back_gives_the_same_fingerprint_and_another_one_does_not(table):
    again = pa.Table.from_pylist(table.to_pylist(), schema=pa.schema([*SIDE_SCHEMA]))
    fingerprint = SideInformation(table).fingerprint
    assert SideInformation(again).fingerprint == fingerprint
    durations = pa.array([None, None, None, 3000, 1000, 2001], pa.int32())
    assert SideInformation(table.set_column(3, SIDE_SCHEMA[3], durations)).fingerprint != fingerprint


def test_a_vocabulary_of_other_tracks_is_refused():
    vocabulary = _vocabulary("spotify:track:a", "spotify:track:unheard")
    with pytest.raises(UserError, match=r"spotify:track:unheard of the vocabulary is missing: .* run the pipelines"):
        build_side_information(TRACKS, ALBUMS, ARTISTS, vocabulary)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda table: table.drop_columns("album_uri"), "columns token, artist_uri, duration_ms instead of"),
        (lambda table: table.slice(1), "tokens must run from 0"),
    ],
)
def test_another_table_is_refused(spoil, said, table):
    with pytest.raises(UserError, match=said):
        SideInformation(spoil(table))


def test_popularity_buckets():
    counts = np.array([0, 1, 9, 99, 999, 9999])
    assert bucket_popularity(counts, 5).tolist() == [0, 1, 1, 2, 3, 4]
    assert bucket_popularity(counts, 1).tolist() == [0] * 6
    assert bucket_popularity(np.zeros(3, np.int64), 4).tolist() == [0, 0, 0]


def test_duration_buckets():
    durations = np.array([0, 29_999, 30_000, 89_999, 90_000, 5_000_000])
    assert bucket_durations(durations, 4).tolist() == [0, 0, 1, 2, 3, 3]
    assert bucket_durations(-durations - 1, 4).tolist() == [0] * 6
