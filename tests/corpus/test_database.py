import errno
import sqlite3
import threading
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.corpus import (
    SPLITS,
    Database,
    build_database,
    database_build,
    encode_sequences,
    fold_name,
    load_sequences,
    save_sequences,
)
from playlist_pipeline.corpus.btree import SortedTree
from playlist_pipeline.errors import UserError

NAMES = {
    "hello": ("Hello", "Adele", "25"),
    "hello2": ("Hello", "Lionel Richie", "Can't Slow Down"),
    "live": ("Hello - Live", "Adele", "Live at Home"),
    "joga": ("Jóga", "Björk", "Homogenic"),
    "thunder": ("Thunderstruck", "AC/DC", "The Razor's Edge"),
    "yesterday": ("Yesterday", "The Beatles", "Help!"),
    "quote": ('Say "OR" NOT: (me*)', "A, B & C", "one, two"),
    "emoji": ("🎉🔥", "DJ 💿", "🎧"),
    "love": ("ラブ・ストーリーは突然に", "小田和正", "自己ベスト"),
    "street": ("Straße", "ÉTOILE", "Größe"),
    "control": ("line\nbreak\x00here", "tab\tbed", "bell\x07"),
    "dash": ("B - C", "A", "dashes"),
    "dash2": ("C", "A - B", "dashes"),
}
PLAYLISTS = [
    ["hello", "joga", "hello2", "hello"],
    ["thunder", "yesterday", "quote", "emoji", "live", "live", "live"],
    ["hello", "love", "street", "control"],
    ["dash", "dash2", "hello"],
]
PARTS = ["train", "test", "train", "validation"]


@pytest.fixture(scope="module")
def named_database(tmp_path_factory, make_corpus):
    path = tmp_path_factory.mktemp("named") / "catalog.db"
    build_database(path, *make_corpus(PLAYLISTS, PARTS, NAMES))
    with Database(path) as database:
        yield database


def dump(path):
    """All content, text and numbers, in a fixed order."""
    with closing(sqlite3.connect(path)) as connection:
        schema = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
        tables = [name for kind, name, _ in schema if kind in ("table", "view")]
        return schema, {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}


def keys(rows):
    return [row.uri.removeprefix("track:") for row in rows]


# --- building


def test_tables_hold_what_was_given(tmp_path, corpus):
    path = tmp_path / "deep" / "catalog.db"
    counts = build_database(path, *corpus)
    assert counts == {"artists": 5, "albums": 5, "tracks": 7, "playlists": 5, "splits": 5, "memberships": 15}
    with closing(sqlite3.connect(path)) as connection:
        for name, table in corpus._asdict().items():
            columns = [column for column in table.column_names if (name, column) != ("splits", "pid")]
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY 1, 2").fetchall()
            assert rows == list(zip(*table.select(columns).to_pydict().values(), strict=True))
        counts = (3, 3, 2, 1, 1, 0, 0)
        training = dict(connection.execute("SELECT uri, training_count FROM tracks"))
        assert training == {
            f"track:{k}": n for k, n in zip(("a1", "b1", "c1", "a2", "b2", "d1", "e1"), counts, strict=True)
        }
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("INSERT INTO names (names, rank) VALUES ('integrity-check', 1)")


def test_declared_keys_and_indexes(tmp_path, corpus):
    build_database(tmp_path / "c.db", *corpus)
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        indexes = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
        assert {"memberships_by_track", "tracks_by_uri", "tracks_by_artist", "tracks_by_album"} <= indexes
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT playlist_id FROM memberships WHERE track_id = 1"
        ).fetchall()
        assert "COVERING INDEX memberships_by_track" in plan[0][-1]
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in (
            "INSERT INTO memberships VALUES (0, 99, 12345)",
            "INSERT INTO memberships VALUES (12345, 0, 0)",
            "INSERT INTO splits VALUES (12345, 'train')",
            "UPDATE splits SET split = 'dev'",
            "UPDATE tracks SET artist_id = 12345",
            "UPDATE tracks SET album_id = 'x'",
            "UPDATE tracks SET uri = 'same'",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)


def test_many_memberships_are_those_that_inserts_would_give(tmp_path, make_corpus):
    """Trees of several levels, written while the tables and names are loaded and indexed by other threads."""
    rng = np.random.default_rng(2018)
    names = {f"t{number}": (f"Title {number % 700}", f"Artist {number % 90}", "Album") for number in range(3000)}
    playlists = [rng.choice(list(names), rng.integers(1, 120)).tolist() for _ in range(1000)]
    tables = make_corpus(playlists, ["train"] * 1000, names)
    build_database(tmp_path / "c.db", *tables)
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("INSERT INTO names (names, rank) VALUES ('integrity-check', 1)")
        columns = ", ".join(tables.memberships.column_names)
        connection.execute(f"CREATE TABLE plain ({columns})")
        rows = zip(*tables.memberships.to_pydict().values(), strict=True)
        connection.executemany("INSERT INTO plain VALUES (?, ?, ?)", rows)
        for index in ("NOT INDEXED", "INDEXED BY memberships_by_track"):
            for one, other in ((f"memberships {index}", "plain"), ("plain", f"memberships {index}")):
                query = f"SELECT {columns} FROM {one} EXCEPT SELECT {columns} FROM {other}"
                assert connection.execute(query).fetchall() == []
        assert connection.execute("SELECT count(*) FROM memberships").fetchone() == (tables.memberships.num_rows,)


def test_where_sqlite_guards_the_full_text_tables_it_makes_the_index_itself(tmp_path, corpus, monkeypatch):
    class Guarded(sqlite3.Connection):
        def execute(self, sql, *parameters):
            if sql.startswith("DELETE FROM main.names_"):
                raise sqlite3.OperationalError("table names_data may not be modified")
            return super().execute(sql, *parameters)

    build_database(tmp_path / "one.db", *corpus)
    connect = sqlite3.connect
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Guarded, **options))
        build_database(tmp_path / "two.db", *corpus)
    with Database(tmp_path / "one.db") as one, Database(tmp_path / "two.db") as two:
        for text in ("song", "artist", "a", "b"):
            assert one.search(text) == two.search(text)
    with closing(sqlite3.connect(tmp_path / "two.db")) as connection:
        connection.execute("INSERT INTO names (names, rank) VALUES ('integrity-check', 1)")


def test_empty_tables_make_an_empty_database(tmp_path, corpus):
    build_database(tmp_path / "c.db", *(table.slice(0, 0) for table in corpus))
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM memberships").fetchone() == (0,)


def test_building_again_gives_the_same_content(tmp_path, corpus, monkeypatch):
    build_database(tmp_path / "one.db", *corpus)
    monkeypatch.setattr(database_build, "ROWS_AT_A_TIME", 2)
    monkeypatch.setattr(database_build, "PARAMETERS_AT_A_TIME", 12)
    build_database(tmp_path / "two.db", *corpus)
    build_database(tmp_path / "two.db", *corpus)
    assert dump(tmp_path / "one.db") == dump(tmp_path / "two.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.db", "two.db"]


def test_memberships_in_any_order_give_the_same_content(tmp_path, corpus):
    build_database(tmp_path / "one.db", *corpus)
    order = np.random.default_rng(0).permutation(corpus.memberships.num_rows)
    build_database(tmp_path / "two.db", *corpus._replace(memberships=corpus.memberships.take(order)))
    assert dump(tmp_path / "one.db") == dump(tmp_path / "two.db")
    with closing(sqlite3.connect(tmp_path / "two.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("UPDATE memberships SET track_id = 0 WHERE playlist_id = 2")
        connection.execute("DELETE FROM memberships WHERE playlist_id = 1")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_names_are_folded_alike_in_bulk():
    names = [
        "",
        " ",
        "Plain Name",
        "two  spaces",
        " lead",
        "trail ",
        "tab\tbed",
        "bell\x07",
        "nul\x00",
        "del\x7f",
        "É",
        "ß",
    ]
    names += ["\x85", "a\u00a0b", "UPPER", "x" * 300, "line\n", "İ"]
    for column in (pa.chunked_array([names[:7], [], names[7:]], pa.string()), pa.chunked_array([], pa.string())):
        expected = [fold_name(name) for name in column.to_pylist()]
        assert database_build._fold_names(column).to_pylist() == expected


def _set(table, column, row, value):
    values = table[column].to_pylist()
    values[row] = value
    index = table.column_names.index(column)
    field = table.schema.field(index).with_nullable(True)
    return table.set_column(index, field, pa.array(values, field.type))


@pytest.mark.parametrize(
    ("name", "column", "row", "value", "message"),
    [
        ("tracks", "artist_id", 4, 77, "tracks row with track_id 4: artist_id 77 is not in artists"),
        ("tracks", "album_id", 2, 77, "tracks row with track_id 2: album_id 77 is not in albums"),
        ("memberships", "track_id", 5, 77, "memberships, row 5: track_id 77 does not exist"),
        ("memberships", "playlist_id", 14, 77, "memberships, row 14: playlist_id 77 does not exist"),
        ("memberships", "position", 1, 0, "memberships has playlist_id 0, position 0 more than once"),
        ("memberships", "position", 1, -1, "memberships has a position that is missing or negative"),
        ("memberships", "position", 1, None, "memberships has a position that is missing or negative"),
        ("memberships", "track_id", 1, None, "memberships has a track_id that is missing or negative"),
        ("tracks", "uri", 1, "track:b1", "tracks has uri 'track:b1' more than once"),
        ("artists", "uri", 1, "artist:artist b", "artists has uri 'artist:artist b' more than once"),
        ("tracks", "track_id", 3, 2, "a row of tracks is not allowed"),
        ("splits", "pid", 1, 9, "splits: they are not those of these playlists"),
        ("splits", "split", 1, "dev", "'dev' is none of train"),
    ],
)
def test_broken_rows_are_refused_and_nothing_is_left(tmp_path, corpus, name, column, row, value, message):
    broken = corpus._replace(**{name: _set(getattr(corpus, name), column, row, value)})
    path = tmp_path / "catalog.db"
    path.write_bytes(b"what was there before")
    with pytest.raises(UserError, match=message):
        build_database(path, *broken)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("catalog.db", b"what was there before")]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE tracks SET album_id = 77 WHERE track_id = 2",
            "tracks row with track_id 2: album_id 77 is not in albums",
        ),
        (
            "DELETE FROM playlists WHERE playlist_id = 3",
            "splits row with playlist_id 3: playlist_id 3 is not in playlists",
        ),
    ],
)
def test_foreign_keys_are_checked_in_the_file(tmp_path, corpus, statement, message):
    build_database(tmp_path / "c.db", *corpus)
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        database_build._check_foreign_keys(connection)
        connection.execute(statement)
        with pytest.raises(UserError, match=message):
            database_build._check_foreign_keys(connection)


def test_every_declared_reference_is_checked(tmp_path, corpus):
    build_database(tmp_path / "c.db", *corpus)
    declared = set()
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            for _, _, parent, column, to, *_ in connection.execute(f"PRAGMA foreign_key_list ({table})"):
                assert column == to
                declared.add((table, column, parent))
    checked = {(table, column, parent) for table, _, column, parent in database_build.REFERENCES}
    assert declared == checked | {("memberships", *names) for names in database_build.MEMBERSHIPS_REFERENCES}


def test_memberships_of_what_does_not_exist_are_refused(tmp_path, corpus):
    ids = corpus.tracks["track_id"].to_pylist()
    tracks = _set(corpus.tracks, "track_id", len(ids) - 1, len(ids))  # as many tracks, but one number is missing
    track = len(ids) - 1
    row = corpus.memberships["track_id"].to_pylist().index(track)
    where = ", ".join(f"{name} {corpus.memberships[name][row].as_py()}" for name in ("playlist_id", "position"))
    with pytest.raises(UserError, match=f"memberships row with {where}: track_id {track} is not in tracks"):
        build_database(tmp_path / "c.db", *corpus._replace(tracks=tracks))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (database_build, "_check_foreign_keys", sqlite3.OperationalError("disk is full")),
        (database_build, "_index_names", sqlite3.OperationalError("disk is full")),
        (SortedTree, "write", OSError(errno.ENOSPC, "disk is full")),
    ],
)
def test_a_full_disk_is_one_line(tmp_path, corpus, monkeypatch, owner, name, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(UserError, match=r"catalog.db cannot be written \(disk is full\)"):
        build_database(tmp_path / "catalog.db", *corpus)
    assert list(tmp_path.iterdir()) == []


# --- reading while it is built


def test_readers_never_see_what_is_being_built(tmp_path, make_corpus):
    """Each object stays with the catalog that it has opened, whole, however many threads ask."""
    path = tmp_path / "catalog.db"
    corpora = [make_corpus([[f"track{number}"] * 3], ["train"], {}) for number in range(2)]
    build_database(path, *corpora[0])
    found = [set(), set()]
    stop = threading.Event()
    errors = []

    def read():
        try:
            while not stop.is_set():
                found[0].update(keys(first.search("track")))
                with Database(path) as now:
                    found[1].add(tuple(keys(now.search("track"))))
        except Exception as error:  # shown below: a thread's own would be lost
            errors.append(error)

    with Database(path) as first:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in (1, 0, 1, 0, 1):
            build_database(path, *corpora[number])
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert keys(first.search("track")) == ["track0"]
        path.unlink()
        assert keys(first.search("track")) == ["track0"]
        first.close()
        with pytest.raises(UserError, match="no catalog database here"):
            first.search("track")
    assert found[0] == {"track0"}
    assert found[1] <= {("track0",), ("track1",)}


def test_a_query_that_finds_no_connection_waits_once_the_catalog_is_another(tmp_path, make_corpus):
    path = tmp_path / "catalog.db"
    build_database(path, *make_corpus([["a"]], ["train"], {}))
    with Database(path) as database:
        busy = database._idle.pop()
        build_database(path, *make_corpus([["b"]], ["train"], {}))
        found = []
        thread = threading.Thread(target=lambda: found.append((keys(database.search("a")), keys(database.search("b")))))
        thread.start()
        thread.join(0.05)
        assert found == []
        database._idle.append(busy)
        thread.join()
        assert found == [(["a"], [])]


def test_without_a_connection_another_catalog_is_not_taken_for_the_one_that_was_opened(tmp_path, make_corpus):
    path = tmp_path / "catalog.db"
    build_database(path, *make_corpus([["a"]], ["train"], {}))
    with Database(path) as database:
        build_database(path, *make_corpus([["b"]], ["train"], {}))
        database._start()  # as in a forked process
        with pytest.raises(UserError, match=r"catalog.db has been replaced since it was opened: open it again"):
            database.search("b")
        database.close()
        assert keys(database.search("b")) == ["b"]


# --- opening


def test_missing_file_names_the_pipeline(tmp_path):
    with pytest.raises(
        UserError, match=r"no.db: no catalog database here: make it with `kedro run --pipeline=catalog`"
    ):
        Database(tmp_path / "no.db")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_catalog_are_refused(tmp_path, corpus):
    path = tmp_path / "odd name #1?.db"
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(UserError, match=r"cannot be read .*kedro run --pipeline=catalog"):
        Database(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(UserError, match="a database, but not the catalog"):
        Database(path)
    build_database(path, *corpus)
    Database(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="schema version 99, this version reads 1"):
        Database(path)


def test_cut_off_file_is_refused(tmp_path, corpus):
    path = tmp_path / "c.db"
    build_database(path, *corpus)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="cannot be read"):
        Database(path)


def test_database_cannot_be_written(named_database):
    with pytest.raises(UserError, match="readonly"):
        named_database._query("DELETE FROM tracks")


def test_one_object_serves_several_threads(named_database):
    results = []
    threads = [threading.Thread(target=lambda: results.append(named_database.search("hello"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(result == named_database.search("hello") for result in results)


def test_what_is_there_after_closing_is_read_anew(tmp_path, make_corpus):
    path = tmp_path / "catalog.db"
    build_database(path, *make_corpus(PLAYLISTS, PARTS, NAMES))
    database = Database(path)
    (row,) = database.tracks(["track:hello"])
    assert database.tracks(["track:hello"]) == [row]
    database.close()
    build_database(path, *make_corpus([*PLAYLISTS, ["hello"]], [*PARTS, "train"], NAMES))
    (changed,) = database.tracks(["track:hello"])
    assert changed.count == row.count + 1
    database.close()


# --- looking up


def test_tracks_come_in_the_order_asked(named_database):
    rows = named_database.tracks(["track:joga", "nowhere", "track:hello", "track:joga", "\ud800"])
    assert keys(rows) == ["joga", "hello", "joga"]
    assert (rows[0].name, rows[0].artist, rows[0].album, rows[0].count) == ("Jóga", "Björk", "Homogenic", 1)
    assert rows[1].count == 3


def test_artist_and_title_match_exactly(named_database):
    assert keys(named_database.tracks_by_artist_title("ADELE", "hello")) == ["hello"]
    assert keys(named_database.tracks_by_artist_title("bjork", "Joga")) == ["joga"]
    assert keys(named_database.tracks_by_artist_title("Étoile", "STRASSE")) == ["street"]
    assert named_database.tracks_by_artist_title("Adele", "Hell") == []


def test_fold_name():
    assert fold_name("  \t\uff21bc\x00É  straße ") == "abc e strasse"
    # A Japanese sound mark tells letters apart, an accent does not.
    assert fold_name("カ") != fold_name("ガ")
    assert fold_name("Bjo\u0308rk") == fold_name("BJÖRK")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Adele - Hello", ["hello", "live"]),
        ("adele \N{EN DASH} hello", ["hello", "live"]),
        ("hello", ["hello", "hello2", "live"]),
        ("Adele", ["hello", "live"]),
        ("hello adele", ["hello", "live"]),
        ("richie hel", ["hello2"]),
        ("bjork", ["joga"]),
        ("homogenic", ["joga"]),
        ("ac/dc", ["thunder"]),
        ("AC-DC: thunder", ["thunder"]),
        ("STRASSE", ["street"]),
        ("größe", ["street"]),
        ('Say "OR" NOT: (me*)', ["quote"]),
        ("A, B & C", ["quote", "dash", "dash2"]),
        ("🎉🔥", ["emoji"]),
        ("🔥", ["emoji"]),
        ("突然", ["love"]),
        ("小田", ["love"]),
        ("line break here", ["control"]),
        ("line\nbreak\x00here", ["control"]),
        ("A - B - C", ["dash", "dash2", "quote"]),
        ("track:joga", ["joga"]),
        ("no such thing", []),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_search_ranks_known_answers(named_database, text, expected):
    assert keys(named_database.search(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'; DROP TABLE tracks; --",
        'a" OR "b',
        "NEAR(a b, 3)",
        "AND OR NOT",
        "track: hello",
        "{track artist} : x",
        "^hello",
        "hello*",
        "-hello + * ( ) : ^ ~ \\ / % _",
        "___",
        "🎉 ___ 🧿",
        "\x00\x01\x02",
        'a\x00"b',
        "\ud800 \udfff",
        "\u202e\u200d\ufeff",
        "हिन्दी ไทย العربية עברית",
        "x" * 50_000,
        "ab cd " * 20_000,
        "-" * 5_000,
        " - " * 500,
    ],
)
def test_no_text_is_a_syntax_error(named_database, text):
    assert all(row.uri for row in named_database.search(text, 5))
    assert all(" - " in name for name in named_database.nearest_names(text, 5))
    assert keys(named_database.search("hello", 1)) == ["hello"]


def test_search_stops_at_the_limit(named_database):
    assert keys(named_database.search("hello", 2)) == ["hello", "hello2"]
    assert keys(named_database.search("Adele - Hello", 1)) == ["hello"]
    assert named_database.search("a", limit=10**30) == named_database.search("a", limit=1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Beetles - Yesterdey", "The Beatles - Yesterday"),
        ("Thunderstrck", "AC/DC - Thunderstruck"),
        ("Xdele", "Adele - Hello"),
        ("Adele Helo", "Adele - Hello"),
        ("Björkk", "Björk - Jóga"),
    ],
)
def test_nearest_names(named_database, text, expected):
    assert named_database.search(text) == []
    assert named_database.nearest_names(text)[0] == expected


def test_playlists_with_a_track(named_database):
    rows = named_database.playlists_with("track:hello")
    assert [(row.pid, row.name, row.split) for row in rows] == [
        (103, "list 3", "validation"),
        (102, "list 2", "train"),
        (100, "list 0", "train"),
    ]
    assert named_database.playlists_with("nowhere") == []
    assert len(named_database.playlists_with("track:hello", limit=1)) == 1


# --- reading sequences


@pytest.mark.parametrize("split", SPLITS)
def test_both_sources_give_the_same(tmp_path, corpus, vocabulary, split):
    build_database(tmp_path / "c.db", *corpus)
    sequences = encode_sequences(corpus.memberships, corpus.tracks, corpus.splits, vocabulary)
    save_sequences(tmp_path / "s", sequences, vocabulary.fingerprint)
    packed = load_sequences(tmp_path / "s").source(split, vocabulary)
    with Database(tmp_path / "c.db") as database:
        read = database.source(split, vocabulary)
        assert len(read) == len(packed) > 0
        np.testing.assert_array_equal(read.playlist_ids, packed.playlist_ids)
        assert read.playlist_ids.dtype == packed.playlist_ids.dtype
        for index in range(-len(read), len(read)):
            np.testing.assert_array_equal(read[index], packed[index], strict=True)
        with pytest.raises(ValueError, match="read-only"):
            read[0][0] = 1
        with pytest.raises(IndexError, match="is outside of"):
            read[len(read)]


def test_unknown_part_of_the_database_is_refused(named_database, vocabulary):
    with pytest.raises(UserError, match="no part is named 'dev'"):
        named_database.source("dev", vocabulary)


def test_extracted_tables_go_in_whole(tmp_path, tiny_tables):
    parts = ["train"] * 30 + ["validation"] * 5 + ["test"] * 5
    splits = pa.table(
        {"playlist_id": tiny_tables.playlists["playlist_id"], "pid": tiny_tables.playlists["pid"], "split": parts}
    )
    counts = build_database(
        tmp_path / "c.db",
        tiny_tables.playlists,
        tiny_tables.artists,
        tiny_tables.albums,
        tiny_tables.tracks,
        tiny_tables.memberships,
        splits,
    )
    assert (counts["playlists"], counts["tracks"]) == (40, tiny_tables.tracks.num_rows)
    assert counts["memberships"] == tiny_tables.memberships.num_rows
