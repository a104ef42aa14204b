"""Names made to do harm go through the whole data part as text."""

import difflib
import sqlite3
from contextlib import closing

import pytest
from recipes import make_extract_config

from playlist_pipeline.config import SplitConfig
from playlist_pipeline.corpus import Database, build_database, split_playlists
from playlist_pipeline.mpd import Archive, extract_tables

TEXTS = [
    "'); DROP TABLE tracks;--",
    '"; DELETE FROM artists WHERE "1"="1',
    "x' OR '1'='1",
    "${jndi:ldap://x} {{7*7}} %s %n",
    'NEAR("a" "b", 2) AND name_key: ^x* NOT (',
    "'; ATTACH DATABASE '/tmp/x' AS y;--",
    "nul\x00here",
    "bell\x07 escape\x1b[31m delete\x7f",
    "line\u2028paragraph\u2029next\x85end",
    "left\u202eright\u200bzero\ufeffmark\ufffe",
    "e\u0301" * 50 + " \U000e0041\U0010ffff",
    "word " * 20_000,
    "long" * 50_000,
    "",
    " ",
    "'",
    '"',
    "\\",
    "*",
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, make_playlist, make_archive):
    """Every text is title, artist, album, name and description of one playlist of one track."""
    playlists = [make_playlist(pid, [6 * pid], name=text, description=text) for pid, text in enumerate(TEXTS)]
    for playlist, text in zip(playlists, TEXTS, strict=True):
        for field in ("track_name", "artist_name", "album_name"):
            playlist["tracks"][0][field] = text
        playlist["tracks"][0]["track_uri"] += text
    archive = Archive(make_archive(tmp_path_factory.mktemp("hostile"), playlists))
    return extract_tables(archive, make_extract_config(strict=True, max_ratio=1032), progress=False)[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory, tables):
    config = SplitConfig(rule="hash", seed=0, train_fraction=0.8, validation_fraction=0.1, test_pids=None)
    path = tmp_path_factory.mktemp("hostile") / "catalog.db"
    build_database(path, *vars(tables).values(), split_playlists(tables.playlists, config)[0])
    return path


def test_they_arrive_as_text(path, tables):
    with closing(sqlite3.connect(path)) as connection:
        for name in ("tracks", "artists", "albums", "playlists"):
            assert [row[0] for row in connection.execute(f"SELECT name FROM {name} ORDER BY rowid")] == TEXTS
        assert [row[0] for row in connection.execute("SELECT description FROM playlists")] == TEXTS
        uris = tables.tracks["uri"].to_pylist()
        assert [row[0] for row in connection.execute("SELECT uri FROM tracks ORDER BY track_id")] == uris
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("INSERT INTO names (names, rank) VALUES ('integrity-check', 1)")


def test_they_are_found_by_uri_and_do_not_break_the_search(path, tables):
    uris = tables.tracks["uri"].to_pylist()
    with Database(path) as database:
        assert [row.name for row in database.tracks(uris)] == TEXTS
        for number, (text, uri) in enumerate(zip(TEXTS, uris, strict=True)):
            if text.strip():
                assert uri in [row.uri for row in database.search(text)], text[:50]
                assert database.artists_by_name(text) == [f"spotify:artist:{2 * number:022d}"]
            assert all(isinstance(name, str) for name in database.nearest_names(text[:1000] + "x"))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM tracks").fetchone() == (len(TEXTS),)


def test_long_names_are_compared_by_their_beginning(path, monkeypatch):
    compared = []

    class Matcher(difflib.SequenceMatcher):
        def __init__(self, isjunk, a, b):
            compared.append(len(a))
            super().__init__(isjunk, a, b)

    monkeypatch.setattr(difflib, "SequenceMatcher", Matcher)
    with Database(path) as database:
        assert len(database.nearest_names("words")[0]) == 2 * 100_000 + 3
    assert compared
    assert max(compared) <= 240
