"""The catalog in sqlite: build it in bulk from the tables."""

import importlib.resources
import logging
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.corpus.btree import SortedTree
from playlist_pipeline.corpus.database import APPLICATION_ID, SCHEMA_VERSION, fold_name
from playlist_pipeline.corpus.vocabulary import count_training_tracks
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_file

logger = logging.getLogger(__name__)

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

# References that schema.sql declares: table, its primary key, column (of the same name in the parent), parent.
REFERENCES = (
    ("tracks", "track_id", "artist_id", "artists"),
    ("tracks", "track_id", "album_id", "albums"),
    ("splits", "playlist_id", "playlist_id", "playlists"),
)
MEMBERSHIPS_REFERENCES = (("playlist_id", "playlists"), ("track_id", "tracks"))


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
    columns = _take_memberships(memberships)
    _check_same_playlists(playlists, splits)
    training_counts = count_training_tracks(memberships, tracks.num_rows, splits)
    tables = {
        "artists": artists.append_column("name_key", _fold_names(artists["name"])),
        "albums": albums,
        "tracks": tracks.append_column("name_key", _fold_names(tracks["name"])).append_column(
            "training_count", pa.array(training_counts)
        ),
        "playlists": playlists,
        "splits": splits.drop_columns("pid"),
    }
    with write_file(path) as written:
        try:
            _fill(written, tables, columns)
        except sqlite3.OperationalError as error:
            raise UserError(f"{path} cannot be written ({error}): make room, or choose another place") from None
    return {name: table.num_rows for name, table in tables.items()} | {"memberships": memberships.num_rows}


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
    indexes = re.finditer(r"^CREATE (?:UNIQUE )?INDEX (\w+) .+?;", after, re.MULTILINE | re.DOTALL)
    return _Schema(tables, names.group() if names else "", {found[1]: found.group() for found in indexes})


def _fill(path: Path, tables: dict[str, pa.Table], memberships: dict[str, np.ndarray]) -> None:
    """Make the file: the memberships in one thread, the other tables and their indexes in this one.

    The full-text index, which takes longest, is made in a third, in a file of its own, as soon as its tables are there.
    """
    schema = _read_schema()
    names_path = path.with_name("names.db")
    trees = _declare_tables(path, schema, memberships)
    with ExitStack() as stack:
        writing = stack.enter_context(ThreadPoolExecutor(1)).submit(_write_memberships, memberships, tables, trees)
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


def _take_memberships(memberships: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns.

    Raises:
        UserError: A value is missing or negative.
    """
    columns: dict[str, np.ndarray] = {}
    for name in MEMBERSHIPS_TREES["memberships"]:
        column = memberships[name]
        if column.null_count or (len(column) and pc.min(column).as_py() < 0):
            raise UserError(f"catalog database: memberships has a {name} that is missing or negative: {EXTRACT_AGAIN}")
        columns[name] = column.to_numpy()
    return columns


def _write_memberships(
    memberships: dict[str, np.ndarray], tables: dict[str, pa.Table], trees: dict[str, SortedTree]
) -> None:
    """Check the memberships against each other and the tables; write the table, and then its index.

    Raises:
        UserError: A place is taken twice, or a playlist or track does not exist.
    """
    memberships = _sort_memberships(memberships)
    _check_memberships(memberships, tables)
    for name, tree in trees.items():
        columns = _sort_by_track(memberships) if name == MEMBERSHIPS_INDEX else memberships
        tree.write([columns[column] for column in MEMBERSHIPS_TREES[name]])


def _sort_memberships(memberships: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns, sorted by playlist and position, of which no two may be the same."""
    places = memberships["playlist_id"].astype(np.int64) << 32 | memberships["position"]
    if (places[1:] < places[:-1]).any():
        order = np.argsort(places, kind="stable")
        memberships = {name: column[order] for name, column in memberships.items()}
        places = places[order]
    twice = np.flatnonzero(places[1:] == places[:-1])
    if len(twice):
        where = _name_row(memberships, twice[0])
        raise UserError(f"catalog database: memberships has {where} more than once: {EXTRACT_AGAIN}")
    return memberships


def _check_memberships(memberships: dict[str, np.ndarray], tables: dict[str, pa.Table]) -> None:
    """Check the memberships' references; what sqlite would find takes it longer than to write the rows."""
    for name, parent in MEMBERSHIPS_REFERENCES:
        ids = tables[parent][name].to_numpy()
        known = np.zeros(max(int(column.max(initial=-1)) for column in (ids, memberships[name])) + 1, bool)
        known[ids] = True
        orphans = np.flatnonzero(~known[memberships[name]])
        if len(orphans):
            row, value = _name_row(memberships, orphans[0]), memberships[name][orphans[0]]
            raise UserError(_name_orphan("memberships", row, name, value, parent))


def _name_row(memberships: dict[str, np.ndarray], row: int) -> str:
    return ", ".join(f"{name} {memberships[name][row]}" for name in ("playlist_id", "position"))


def _name_orphan(table: str, row: str, column: str, value: int, parent: str) -> str:
    return (
        f"catalog database: {table} row with {row}: {column} {value} is not in {parent}: "
        "the tables come from different runs; run the pipelines extract and split again"
    )


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
    """Check every declared reference in the finished file, but those of the memberships.

    This finds what ``PRAGMA foreign_key_check`` finds. That looks up the parent of each row; looking up the distinct
    values, read off an index, takes a tenth of the time.

    Raises:
        UserError: Names the table and the row.
    """
    for table, key, column, parent in REFERENCES:
        orphan = connection.execute(
            f"SELECT {column} FROM (SELECT DISTINCT {column} FROM {table}) "
            f"WHERE {column} NOT IN (SELECT {column} FROM {parent}) LIMIT 1"
        ).fetchone()
        if orphan:
            query = f"SELECT min({key}) FROM {table} WHERE {column} = ?"
            (row,) = connection.execute(query, orphan).fetchone()
            raise UserError(_name_orphan(table, f"{key} {row}", column, orphan[0], parent))
