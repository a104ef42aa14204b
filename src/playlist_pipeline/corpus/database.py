"""The catalog in sqlite: build it in bulk, look names up in it, read playlists from it."""

import difflib
import importlib.resources
import itertools
import logging
import math
import os
import re
import shutil
import sqlite3
import string
import threading
import unicodedata
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.corpus.btree import SortedTree
from playlist_pipeline.corpus.sequences import resolve_index
from playlist_pipeline.corpus.split import SPLITS
from playlist_pipeline.corpus.vocabulary import UNK, Vocabulary, count_training_tracks
from playlist_pipeline.errors import UserError

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x504C5031
SCHEMA_VERSION = 1
EXTRACT_AGAIN = "run the pipeline extract again"

# One INSERT carries many rows: binding is then most of the work. sqlite allows 32766 parameters since 3.32.
PARAMETERS_AT_A_TIME = 960
ROWS_AT_A_TIME = 1 << 16

# The trees that hold the memberships, and the columns of their keys, in order. These are written by ``btree.py``.
MEMBERSHIPS_INDEX = "memberships_by_track"
MEMBERSHIPS_TREES = {
    "memberships": ("playlist_id", "position", "track_id"),
    MEMBERSHIPS_INDEX: ("track_id", "playlist_id", "position"),
}

# What schema.sql declares: table, columns that name a row, referring column (of the same name there), parent.
REFERENCES = (
    ("tracks", ("track_id",), "artist_id", "artists"),
    ("tracks", ("track_id",), "album_id", "albums"),
    ("splits", ("playlist_id",), "playlist_id", "playlists"),
    ("memberships", ("playlist_id", "position"), "playlist_id", "playlists"),
    ("memberships", ("playlist_id", "position"), "track_id", "tracks"),
)

WORDS_AT_MOST = 24
DASHES_AT_MOST = 8
NEAR_CANDIDATES = 400
NEAR_TEXT_LENGTH = 120
NEAR_WORDS = 6
NEAR_TERMS = 10
NEAR_COMMON = 20_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ACCENTS = re.compile(r"[\u0300-\u036f]")
_WORD = re.compile(r"\w+")
_ARTIST_FROM_TITLE = re.compile(r" [-\u2010-\u2015] ")


def fold_name(name: str) -> str:
    """Return the form in which names are compared.

    Case, width, accents (U+0300 to U+036F), and the number and kind of spaces and control characters do not matter.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFD", name)))
    return " ".join(_CONTROLS.sub(" ", name).casefold().split())


# ---------------------------------------------------------------------------------------------------------------------
# Building


def build_database(
    path: str | Path,
    playlists: pa.Table,
    artists: pa.Table,
    albums: pa.Table,
    tracks: pa.Table,
    memberships: pa.Table,
    splits: pa.Table,
) -> dict[str, int]:
    """Write the catalog database; ``schema.sql`` says what is in it.

    It grows in a folder beside ``path`` and takes its place at the end: ``path`` is never half-written.

    Args:
        path: The file.
        playlists: ``PLAYLISTS_SCHEMA`` of ``mpd.schema``; as for the next four.
        artists: ``ARTISTS_SCHEMA``.
        albums: ``ALBUMS_SCHEMA``.
        tracks: ``TRACKS_SCHEMA``.
        memberships: ``MEMBERSHIPS_SCHEMA``, sorted by playlist and position (any order is right, this one is fast).
        splits: The split of these playlists.

    Returns:
        Rows of each table.

    Raises:
        UserError: A row breaks a constraint or refers to one that does not exist (named by table and row), or the
            split is that of other playlists.
    """
    path = Path(path)
    sorted_memberships = _sort_memberships(memberships)
    _check_same_playlists(playlists, splits)
    training_counts = count_training_tracks(memberships, tracks.num_rows, splits)
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(path.name + ".building")
    _remove(building)
    tables = {
        "artists": artists.append_column("name_key", _fold_names(artists["name"])),
        "albums": albums,
        "tracks": tracks.append_column("name_key", _fold_names(tracks["name"])).append_column(
            "training_count", pa.array(training_counts)
        ),
        "playlists": playlists,
        "splits": splits.drop_columns("pid"),
    }
    try:
        building.mkdir()
        _fill(building / "catalog.db", tables, sorted_memberships)
        os.replace(building / "catalog.db", path)
    except (sqlite3.OperationalError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({reason}): make room, or choose another place") from None
    finally:
        _remove(building)
    return {name: table.num_rows for name, table in tables.items()} | {"memberships": memberships.num_rows}


def _remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _check_same_playlists(playlists: pa.Table, splits: pa.Table) -> None:
    ours, theirs = (table.select(["playlist_id", "pid"]).sort_by("playlist_id") for table in (playlists, splits))
    if not all(np.array_equal(ours[name].to_numpy(), theirs[name].to_numpy()) for name in ours.column_names):
        raise UserError("splits: they are not those of these playlists: run the pipeline split again")


def _fold_names(names: pa.ChunkedArray) -> pa.Array:
    """Return ``fold_name`` of each name: most take the fast way, which is the same for them."""
    odd = pc.or_(pc.invert(pc.string_is_ascii(names)), pc.match_substring_regex(names, r"[\x00-\x1f\x7f]|  |^ | $"))
    folded = [fold_name(name) for name in names.filter(odd).to_numpy().tolist()]
    return pc.replace_with_mask(_as_array(pc.ascii_lower(names)), _as_array(odd), pa.array(folded, pa.string()))


def _as_array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


class _Schema(NamedTuple):
    """What ``schema.sql`` declares: tables and views, the full-text index, and the other indexes by name."""

    tables: str
    names: str
    indexes: dict[str, str]


def _read_schema() -> _Schema:
    text = importlib.resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    tables, after = text.split("-- AFTER LOADING")
    names = re.search(r"^CREATE VIRTUAL TABLE names .+?;", tables, re.MULTILINE | re.DOTALL)
    indexes = re.finditer(r"^CREATE (?:UNIQUE )?INDEX (\w+) .+?;", after, re.MULTILINE)
    return _Schema(tables, names.group() if names else "", {found[1]: found.group() for found in indexes})


def _fill(path: Path, tables: dict[str, pa.Table], memberships: dict[str, np.ndarray]) -> None:
    """Make the file: the memberships in one thread, the other tables and their indexes in this one.

    The full-text index, which takes longest, is made in a third, in a file of its own, as soon as its tables are there.
    """
    schema = _read_schema()
    names_path = path.with_name("names.db")
    trees = _declare_tables(path, schema, memberships)
    with ExitStack() as stack:
        writing = stack.enter_context(ThreadPoolExecutor(1)).submit(_write_memberships, memberships, trees)
        with _connect(path) as connection:
            for name, table in tables.items():
                _insert_table(connection, name, table)
                if name == "tracks":  # artists and albums are there already
                    names = stack.enter_context(_connect_names(names_path, path, schema))
                    indexing = stack.enter_context(ThreadPoolExecutor(1)).submit(_index_names, names)
                    stack.callback(names.interrupt)
            _add_indexes(connection, schema)
        writing.result()
        with _connect(path) as connection:
            _check_foreign_keys(connection)
        indexing.result()
    with _connect(path) as connection:
        _copy_names_index(connection, names_path)


def _declare_tables(path: Path, schema: _Schema, memberships: dict[str, np.ndarray]) -> dict[str, SortedTree]:
    """Make the file with all tables empty, and set pages aside for the memberships."""
    with _connect(path) as connection:
        connection.executescript(
            f"PRAGMA auto_vacuum = NONE; PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; {schema.tables} {schema.indexes[MEMBERSHIPS_INDEX]}"
        )
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    highest = {name: int(column.max(initial=0)) for name, column in memberships.items()}
    num_rows = len(memberships["track_id"])
    return {
        name: SortedTree.reserve(path, roots[name], num_rows, [highest[column] for column in columns])
        for name, columns in MEMBERSHIPS_TREES.items()
    }


def _add_indexes(connection: sqlite3.Connection, schema: _Schema) -> None:
    for name, statement in schema.indexes.items():
        try:
            if name != MEMBERSHIPS_INDEX:
                connection.execute(statement)
        except sqlite3.IntegrityError as error:
            raise UserError(f"catalog database: {_name_duplicate(connection, error)}") from None


@contextmanager
def _connect_names(names_path: Path, path: Path, schema: _Schema) -> Iterator[sqlite3.Connection]:
    """Open a file for the full-text index alone, in a transaction that reads the database as it is now.

    It reads without locks, so that the other connection can go on: what that one adds lies in other pages.
    """
    with _connect(names_path) as connection:
        connection.execute(schema.names)
        # Bytes in memory before a piece of the index is written: one piece need not be merged.
        connection.execute("INSERT INTO names (names, rank) VALUES ('hashsize', 268435456)")
        connection.execute("ATTACH ? AS source", (path.resolve().as_uri() + "?mode=ro&immutable=1",))
        connection.execute("PRAGMA source.cache_size = -65536")
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM source.track_names LIMIT 1").fetchall()
        yield connection


def _index_names(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO names (rowid, track, artist, album) "
        "SELECT track_id, track, artist, album FROM source.track_names ORDER BY track_id"
    )
    connection.execute("COMMIT")
    connection.execute("INSERT INTO names (names) VALUES ('optimize')")


def _copy_names_index(connection: sqlite3.Connection, names_path: Path) -> None:
    """Take over the tables that a full-text index is kept in (https://www.sqlite.org/fts5.html, section 9)."""
    connection.execute("ATTACH ? AS source", (str(names_path),))
    try:
        for table in ("names_data", "names_idx", "names_docsize", "names_config"):
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM source.{table}")
    except sqlite3.OperationalError as error:
        if "may not be modified" not in str(error):
            raise
        # A sqlite that is built to keep these tables from everybody ("defensive") makes the index itself.
        connection.execute("INSERT INTO names (names) VALUES ('rebuild')")


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that no other process has, and that is thrown away if anything fails."""
    # One thread at a time uses a connection, but not always the one that opened it.
    with closing(sqlite3.connect(path, isolation_level=None, uri=True, check_same_thread=False)) as connection:
        connection.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;"
            "PRAGMA cache_size = -65536; PRAGMA threads = 2;"
        )
        yield connection


def _insert_table(connection: sqlite3.Connection, name: str, table: pa.Table) -> None:
    columns = table.column_names
    rows_at_a_time = PARAMETERS_AT_A_TIME // len(columns)
    step = rows_at_a_time * len(columns)
    row = f"({', '.join('?' * len(columns))})"
    head = f"INSERT INTO {name} ({', '.join(columns)}) VALUES "
    many = head + ", ".join([row] * rows_at_a_time)
    connection.execute("BEGIN")
    try:
        for start in range(0, table.num_rows, ROWS_AT_A_TIME):
            values = _flatten_rows(table.slice(start, ROWS_AT_A_TIME))
            whole = len(values) - len(values) % step
            connection.executemany(many, (values[first : first + step] for first in range(0, whole, step)))
            if whole < len(values):
                rest = values[whole:]
                connection.execute(head + ", ".join([row] * (len(rest) // len(columns))), rest)
    except sqlite3.IntegrityError as error:
        raise UserError(f"catalog database: a row of {name} is not allowed ({error}): {EXTRACT_AGAIN}") from None
    connection.execute("COMMIT")


def _flatten_rows(table: pa.Table) -> list:
    """Return all values, row after row."""
    values: list = [None] * (table.num_rows * table.num_columns)
    for index, column in enumerate(table.columns):
        plain = pc.cast(column, pa.int8()) if pa.types.is_boolean(column.type) else column
        # Strings without a detour over one Arrow scalar each; nulls become None.
        values[index :: table.num_columns] = plain.to_numpy().tolist()
    return values


def _sort_memberships(memberships: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns, sorted by playlist and position.

    Raises:
        UserError: A value is missing or negative, or a place is taken twice.
    """
    columns: dict[str, np.ndarray] = {}
    for name in MEMBERSHIPS_TREES["memberships"]:
        column = memberships[name]
        if column.null_count or (len(column) and pc.min(column).as_py() < 0):
            raise UserError(f"catalog database: memberships has a {name} that is missing or negative: {EXTRACT_AGAIN}")
        columns[name] = column.to_numpy()
    places = columns["playlist_id"].astype(np.int64) << 32 | columns["position"]
    if (places[1:] < places[:-1]).any():
        order = np.argsort(places, kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        places = places[order]
    twice = np.flatnonzero(places[1:] == places[:-1])
    if len(twice):
        where = ", ".join(f"{name} {columns[name][twice[0]]}" for name in ("playlist_id", "position"))
        raise UserError(f"catalog database: memberships has {where} more than once: {EXTRACT_AGAIN}")
    return columns


def _write_memberships(memberships: dict[str, np.ndarray], trees: dict[str, SortedTree]) -> None:
    """Write the table, and then its index."""
    for name, tree in trees.items():
        columns = _sort_by_track(memberships) if name == MEMBERSHIPS_INDEX else memberships
        tree.write([columns[column] for column in MEMBERSHIPS_TREES[name]])


def _sort_by_track(memberships: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns, which are sorted by playlist and position, sorted by track and then by these."""
    keys = memberships["track_id"].astype(np.int64) << 32
    keys |= np.arange(len(keys), dtype=np.uint32)  # rows stand for playlist and position
    keys.sort()
    rows = keys.astype(np.uint32)
    keys >>= 32
    return {
        "track_id": keys.astype(np.int32),
        **{name: memberships[name][rows] for name in ("playlist_id", "position")},
    }


def _name_duplicate(connection: sqlite3.Connection, error: sqlite3.IntegrityError) -> str:
    """Say which value comes twice where a unique index could not be made."""
    found = re.search(r"(\w+)\.(\w+)$", str(error))
    if not found:
        return str(error)
    table, column = found.groups()
    query = f"SELECT {column} FROM {table} GROUP BY {column} HAVING count(*) > 1 LIMIT 1"
    (value,) = connection.execute(query).fetchone()
    return f"{table} has {column} {value!r} more than once: {EXTRACT_AGAIN}"


def _check_foreign_keys(connection: sqlite3.Connection) -> None:
    """Check every declared reference in the finished file.

    This finds what ``PRAGMA foreign_key_check`` finds. That looks up the parent of each row; looking up the distinct
    values, read off an index, takes a tenth of the time.

    Raises:
        UserError: Names the table and the row.
    """
    for table, row, column, parent in REFERENCES:
        orphan = connection.execute(
            f"SELECT {column} FROM (SELECT DISTINCT {column} FROM {table}) "
            f"WHERE {column} NOT IN (SELECT {column} FROM {parent}) LIMIT 1"
        ).fetchone()
        if orphan:
            query = f"SELECT {', '.join(row)} FROM {table} WHERE {column} = ? ORDER BY {', '.join(row)} LIMIT 1"
            ids = zip(row, connection.execute(query, orphan).fetchone(), strict=True)
            raise UserError(
                f"catalog database: {table} row with {', '.join(f'{name} {value}' for name, value in ids)}: "
                f"{column} {orphan[0]} is not in {parent}: "
                "the tables come from different runs; run the pipelines extract and split again"
            )


# ---------------------------------------------------------------------------------------------------------------------
# Reading


@dataclass(frozen=True, slots=True)
class TrackRow:
    """A track as people know it; ``count`` is its number of memberships in the training part."""

    uri: str
    name: str
    artist: str
    album: str
    count: int


@dataclass(frozen=True, slots=True)
class PlaylistRow:
    """A playlist that holds a given track; ``split`` is its part."""

    pid: int
    name: str
    num_tracks: int
    split: str


_SELECT_TRACKS = "SELECT uri, track, artist, album, training_count FROM track_names "
_POPULAR_FIRST = " ORDER BY training_count DESC, uri LIMIT ?"


class Database:
    """The catalog, read-only; one object serves several threads.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file.

        Raises:
            UserError: It is missing, no catalog database, or one of another version.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._process = -1
        self._query("SELECT count(*) FROM sqlite_schema")

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._process == os.getpid():
                self._close()
            self._process = -1

    def _query(self, sql: str, parameters: Sequence = ()) -> list[tuple]:
        with self._lock:
            if self._process != os.getpid():  # first use, or first use in a forked process
                self._connection = _open(self.path)
                self._close = weakref.finalize(self, self._connection.close)
                self._process = os.getpid()
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise _unreadable(self.path, error) from None

    def tracks(self, uris: Iterable[str]) -> list[TrackRow]:
        """Return the tracks with these URIs, in this order; a URI that the catalog does not have is left out."""
        wanted = [_clean(uri) for uri in uris]
        found: dict[str, TrackRow] = {}
        distinct = list(dict.fromkeys(wanted))
        for start in range(0, len(distinct), 500):
            some = distinct[start : start + 500]
            where = f"WHERE uri IN ({', '.join('?' * len(some))})"
            found.update((row[0], TrackRow(*row)) for row in self._query(_SELECT_TRACKS + where, some))
        return [found[uri] for uri in wanted if uri in found]

    def tracks_by_artist_title(self, artist: str, title: str, limit: int = 50) -> list[TrackRow]:
        """Return the tracks with exactly this artist and title (see ``fold_name``), the most frequent first."""
        keys = (fold_name(_clean(artist)), fold_name(_clean(title)))
        where = (
            "WHERE track_id IN (SELECT t.track_id FROM artists a JOIN tracks t ON t.artist_id = a.artist_id "
            "WHERE a.name_key = ? AND t.name_key = ?)"
        )
        return [TrackRow(*row) for row in self._query(_SELECT_TRACKS + where + _POPULAR_FIRST, (*keys, limit))]

    def search(self, text: str, limit: int = 10) -> list[TrackRow]:
        """Look for tracks by any text.

        First come tracks whose URI is the text, then those for which it is "artist - title", then those for which it is
        the title or the artist, then those that have all its words in title, artist and album (the last word may be the
        beginning of one), by full-text rank and frequency. Within the other groups the frequent ones come first.
        If all this finds nothing, any part of a title or an artist's name will do: that serves scripts without spaces,
        and emoji.

        Args:
            text: Anything; no character has a special meaning.
            limit: Most tracks to return.
        """
        text = _clean(text)
        key = fold_name(text)
        found = {row.uri: row for row in self.tracks([text])}

        def add(rows: list[TrackRow]) -> None:
            for row in rows:
                found.setdefault(row.uri, row)

        for artist, title in _split_artist_title(text):
            add(self.tracks_by_artist_title(artist, title, limit))
        if key and len(found) < limit:
            add(self._search_whole_name(key, limit))
        if len(found) < limit:
            add(self._search_words(text, limit))
        if key and not found:
            add(self._search_part(key, limit))
        return list(found.values())[:limit]

    def _search_whole_name(self, key: str, limit: int) -> list[TrackRow]:
        where = (
            "WHERE track_id IN (SELECT track_id FROM tracks WHERE name_key = ? UNION "
            "SELECT t.track_id FROM artists a JOIN tracks t ON t.artist_id = a.artist_id WHERE a.name_key = ?)"
        )
        return [TrackRow(*row) for row in self._query(_SELECT_TRACKS + where + _POPULAR_FIRST, (key, key, limit))]

    def _search_words(self, text: str, limit: int) -> list[TrackRow]:
        words = _quote_words(text)
        if not words:
            return []
        return self._match(" ".join(words) + "*", limit)

    def _match(self, query: str, limit: int) -> list[TrackRow]:
        # A word in the title weighs more than one in the album, and a frequent track more than a rare one.
        sql = (
            "SELECT v.uri, v.track, v.artist, v.album, v.training_count FROM ("
            "SELECT t.track_id, bm25(names, 4.0, 3.0, 1.0) * (1.0 + 0.2 * log1p(t.training_count)) AS score "
            "FROM names n JOIN tracks t ON t.track_id = n.rowid WHERE names MATCH ? "
            "ORDER BY score, t.training_count DESC, t.uri LIMIT ?) m "
            "JOIN track_names v ON v.track_id = m.track_id ORDER BY m.score, v.training_count DESC, v.uri"
        )
        return [TrackRow(*row) for row in self._query(sql, (query, limit))]

    def _search_part(self, key: str, limit: int) -> list[TrackRow]:
        where = (
            "WHERE track_id IN (SELECT track_id FROM tracks WHERE instr(name_key, ?) UNION SELECT t.track_id "
            "FROM artists a JOIN tracks t ON t.artist_id = a.artist_id WHERE instr(a.name_key, ?))"
        )
        return [TrackRow(*row) for row in self._query(_SELECT_TRACKS + where + _POPULAR_FIRST, (key, key, limit))]

    def nearest_names(self, text: str, limit: int = 5) -> list[str]:
        """Return names like ``text``, the most similar first, as "artist - title", for a text that finds nothing.

        Candidates have a word that is in the text or one edit away from a word of it, or that begins with the same
        three letters as a word for which there is none; words that very many tracks have are passed over.
        """
        text = _clean(text)[:NEAR_TEXT_LENGTH]
        key = fold_name(text)
        rare: list[str] = []
        common: list[str] = []
        for word in list(dict.fromkeys(_WORD.findall(key)))[:NEAR_WORDS]:
            known = self._count_terms([word, *(_edit_once(word) if len(word) > 3 else ())])
            rare += [f'"{term}"' for term, count in known if count <= NEAR_COMMON][:NEAR_TERMS]
            common += [f'"{term}"' for term, count in known if count > NEAR_COMMON]
            if not known:
                rare.append(f'"{word[:3]}"*')
        phrases = rare or common[:1]
        if not phrases:
            return []
        rows = self._match(" OR ".join(phrases), NEAR_CANDIDATES)
        names = list(dict.fromkeys(f"{row.artist} - {row.name}" for row in rows))

        def likeness(name: str) -> float:
            artist, _, title = name.partition(" - ")
            forms = (name, f"{title} {artist}", title, artist)
            return max(difflib.SequenceMatcher(None, fold_name(form), key).ratio() for form in forms)

        return sorted(names, key=likeness, reverse=True)[:limit]

    def _count_terms(self, words: list[str]) -> list[tuple[str, int]]:
        """Return those words that names hold and in how many tracks, the most frequent first."""
        found: list[tuple] = []
        for start in range(0, len(words), 500):
            some = words[start : start + 500]
            marks = ", ".join("?" * len(some))
            found += self._query(f"SELECT term, doc FROM temp.terms WHERE term IN ({marks})", some)
        return sorted(found, key=lambda row: (-row[1], row[0]))

    def playlists_with(self, uri: str, limit: int = 100) -> list[PlaylistRow]:
        """Return playlists that hold the track with this URI, those with most followers first."""
        rows = self._query(
            "SELECT p.pid, p.name, p.num_tracks, s.split FROM playlists p JOIN splits s USING (playlist_id) "
            "WHERE p.playlist_id IN (SELECT m.playlist_id FROM memberships m JOIN tracks t USING (track_id) "
            "WHERE t.uri = ?) ORDER BY p.num_followers DESC, p.pid LIMIT ?",
            (_clean(uri), limit),
        )
        return [PlaylistRow(*row) for row in rows]

    def source(self, split: str, vocabulary: Vocabulary) -> "DatabaseSequences":
        """Return the playlists of one of ``SPLITS`` as sequences of tokens, read from the file one by one.

        Raises:
            UserError: There is no such part.
        """
        return DatabaseSequences(self, split, vocabulary)


def _open(path: Path) -> sqlite3.Connection:
    mend = "make it with `kedro run --pipeline=catalog`"
    if not path.is_file():
        raise UserError(f"{path}: no catalog database here: {mend}")
    connection = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True, check_same_thread=False)
    try:
        application_id, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application_id != APPLICATION_ID:
            raise UserError(f"{path}: a database, but not the catalog: {mend}")
        if version != SCHEMA_VERSION:
            raise UserError(f"{path}: schema version {version}, this version reads {SCHEMA_VERSION}: {mend}")
        connection.create_function("log1p", 1, math.log1p, deterministic=True)
        connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, names, row)")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unreadable(path, error) from None
    except UserError:
        connection.close()
        raise
    return connection


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> UserError:
    return UserError(f"{path}: cannot be read ({error}): make it with `kedro run --pipeline=catalog`")


def _clean(text: str) -> str:
    """Replace lone surrogates, which sqlite cannot take; names in the catalog have none."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _quote_words(text: str) -> list[str]:
    """Return a text's first words as full-text phrases: quoted, nothing in them is an operator."""
    words = _WORD.finditer(unicodedata.normalize("NFC", text))
    return [f'"{word.group()}"' for word in itertools.islice(words, WORDS_AT_MOST)]


def _edit_once(word: str) -> list[str]:
    """Return the words one edit away: a letter left out, swapped with the next, replaced, or put in."""
    pairs = [(word[:cut], word[cut:]) for cut in range(len(word) + 1)]
    edits = [head + tail[1:] for head, tail in pairs if tail]
    edits += [head + tail[1] + tail[0] + tail[2:] for head, tail in pairs if len(tail) > 1]
    for letter in string.ascii_lowercase:
        edits += [head + letter + tail[skip:] for head, tail in pairs for skip in (0, 1)]
    return list(dict.fromkeys(edits))


def _split_artist_title(text: str) -> list[tuple[str, str]]:
    """Return every way to read a text as "artist - title"; names may hold dashes themselves."""
    line = " ".join(_CONTROLS.sub(" ", text).split())
    dashes = itertools.islice(_ARTIST_FROM_TITLE.finditer(line), DASHES_AT_MOST)
    return [(line[: dash.start()], line[dash.end() :]) for dash in dashes]


class DatabaseSequences:
    """The playlists of one part, read from the database: the same content and order as ``PackedSequences``.

    Attributes:
        playlist_ids: int32[p], rising.

    Raises:
        UserError: There is no such part, or the database and the vocabulary come from different archives or splits.
    """

    def __init__(self, database: Database, split: str, vocabulary: Vocabulary) -> None:
        if split not in SPLITS:
            raise UserError(f"{database.path}: no part is named {split!r}: give one of {', '.join(SPLITS)}")
        self._database = database
        rows = database._query("SELECT playlist_id FROM splits WHERE split = ? ORDER BY playlist_id", (split,))
        self.playlist_ids = np.fromiter((row[0] for row in rows), np.int32, len(rows))
        self.playlist_ids.flags.writeable = False
        tracks = database._query("SELECT uri, training_count FROM tracks ORDER BY track_id")
        self._token_of = vocabulary.tokens_of(pa.table({"uri": pa.array([row[0] for row in tracks], pa.string())}))
        counts = np.zeros(len(vocabulary), np.int64)
        np.add.at(counts, self._token_of, [row[1] for row in tracks])
        counts[UNK] = 0  # tracks that the vocabulary leaves out
        if not np.array_equal(counts, vocabulary.counts):
            raise UserError(
                f"{database.path}: its training part is not the one that the vocabulary was built from: "
                "run the pipelines catalog and vocabulary again"
            )

    def __len__(self) -> int:
        return len(self.playlist_ids)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the tokens of playlist ``index``: int32[length], read-only."""
        playlist_id = int(self.playlist_ids[resolve_index(index, len(self))])
        rows = self._database._query(
            "SELECT track_id FROM memberships WHERE playlist_id = ? ORDER BY position", (playlist_id,)
        )
        tokens = self._token_of[np.fromiter((row[0] for row in rows), np.int64, len(rows))]
        tokens.flags.writeable = False
        return tokens
