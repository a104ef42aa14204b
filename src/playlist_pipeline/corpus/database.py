"""The catalog in sqlite: look names up in it, read playlists from it."""

import difflib
import itertools
import math
import os
import re
import sqlite3
import string
import sys
import time
import unicodedata
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from playlist_pipeline.corpus.sequences import resolve_index
from playlist_pipeline.corpus.split import SPLITS
from playlist_pipeline.corpus.vocabulary import UNK, Vocabulary
from playlist_pipeline.errors import UserError

APPLICATION_ID = 0x504C5031
SCHEMA_VERSION = 1

WORDS_AT_MOST = 24
DASHES_AT_MOST = 8
NEAR_CANDIDATES = 400
NEAR_TEXT_LENGTH = 120
NEAR_WORDS = 6
NEAR_TERMS = 10
NEAR_COMMON = 20_000
ROWS_KEPT = 1 << 16
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

    An object stays with the file that it has opened: a catalog that is built meanwhile takes its place in the folder,
    and whoever makes an object then reads the new one.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file.

        Raises:
            UserError: It is missing, no catalog database, or one of another version.
        """
        self.path = Path(path)
        self._rows: dict[str, TrackRow] = {}
        self._file: tuple[int, int] | None = None
        self._start()
        self._query("SELECT count(*) FROM sqlite_schema")

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next call opens what is then there."""
        _close_all(self._idle)
        self._rows, self._file, self._num_open = {}, None, 0

    def _start(self) -> None:
        """Begin without connections; each query takes one that no other has, so that threads do not wait."""
        self._process = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._num_open = 0
        weakref.finalize(self, _close_all, self._idle)

    def _query(self, sql: str, parameters: Sequence = ()) -> list[tuple]:
        if self._process != os.getpid():  # a forked process must not use those of its parent
            self._start()
        idle = self._idle
        connection = self._take_connection(idle)
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise _unreadable(self.path, error) from None
        finally:
            idle.append(connection)

    def _take_connection(self, idle: list[sqlite3.Connection]) -> sqlite3.Connection:
        """Return an idle connection, or a new one to the same file; once that has been replaced, wait for an idle one.

        Raises:
            UserError: It has been replaced, and no connection is left.
        """
        while True:
            try:
                return idle.pop()
            except IndexError:
                pass
            if self._num_open and _identify(self.path) != self._file:
                time.sleep(0.001)
                continue
            connection, file = _open_identified(self.path)
            if self._file in (None, file):
                self._file = file
                self._num_open += 1
                return connection
            connection.close()
            if not self._num_open:
                raise UserError(f"{self.path} has been replaced since it was opened: open it again")

    def tracks(self, uris: Iterable[str]) -> list[TrackRow]:
        """Return the tracks with these URIs, in this order; a URI that the catalog does not have is left out."""
        wanted = [_clean(uri) for uri in uris]
        found = {uri: self._rows.get(uri) for uri in wanted}
        missing = [uri for uri, row in found.items() if row is None]
        for start in range(0, len(missing), 500):
            some = missing[start : start + 500]
            where = f"WHERE uri IN ({', '.join('?' * len(some))})"
            found.update((row[0], TrackRow(*row)) for row in self._query(_SELECT_TRACKS + where, some))
        self._keep({uri: found[uri] for uri in missing})
        return [row for uri in wanted if (row := found[uri]) is not None]

    def _keep(self, rows: Mapping[str, TrackRow | None]) -> None:
        """Remember rows: reading one from sqlite costs a thread its turn."""
        if len(self._rows) + len(rows) > ROWS_KEPT:
            self._rows = {}
        known = ((uri, row) for uri, row in rows.items() if row is not None)
        self._rows.update(itertools.islice(known, ROWS_KEPT))

    def tracks_by_artist_of(self, uri: str, limit: int = 50) -> list[TrackRow]:
        """Return the tracks of the artist whom the track with this URI is by, the most frequent first."""
        where = (
            "WHERE track_id IN (SELECT t.track_id FROM tracks given JOIN tracks t ON t.artist_id = given.artist_id "
            "WHERE given.uri = ?)"
        )
        return [TrackRow(*row) for row in self._query(_SELECT_TRACKS + where + _POPULAR_FIRST, (_clean(uri), limit))]

    def artists_by_name(self, name: str) -> list[str]:
        """Return the URIs of the artists with this name (see ``fold_name``)."""
        rows = self._query("SELECT uri FROM artists WHERE name_key = ? ORDER BY uri", (fold_name(_clean(name)),))
        return [row[0] for row in rows]

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
        limit = min(limit, sys.maxsize)  # sqlite takes 64 bits
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
            "SELECT t.track_id, bm25(names, 4.0, 3.0, 1.0) * (1.0 + 0.2 * ln(1.0 + t.training_count)) AS score "
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
            # Of a longer name no more than the text's length can be alike.
            short = (fold_name(form[: 2 * NEAR_TEXT_LENGTH]) for form in forms)
            return max(difflib.SequenceMatcher(None, form, key).ratio() for form in short)

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

    def count_training_playlists(self, *uris: str) -> int:
        """Return how many training playlists hold all tracks with these URIs, at least one."""
        holds = "SELECT DISTINCT m.playlist_id FROM memberships m JOIN tracks t USING (track_id) WHERE t.uri = ?"
        sql = (
            f"SELECT count(*) FROM ({' INTERSECT '.join([holds] * len(uris))}) JOIN splits s USING (playlist_id) "
            "WHERE s.split = 'train'"
        )
        return self._query(sql, [_clean(uri) for uri in uris])[0][0]

    def source(self, split: str, vocabulary: Vocabulary) -> "DatabaseSequences":
        """Return the playlists of one of ``SPLITS`` as sequences of tokens, read from the file one by one.

        Raises:
            UserError: There is no such part.
        """
        return DatabaseSequences(self, split, vocabulary)


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _provide_logarithm(connection: sqlite3.Connection) -> None:
    """Give the database ``ln`` if it was built without mathematical functions; its own needs no Python for each row."""
    try:
        connection.execute("SELECT ln(1.0)")
    except sqlite3.OperationalError:
        connection.create_function("ln", 1, math.log, deterministic=True)


def _open_identified(path: Path) -> tuple[sqlite3.Connection, tuple[int, int]]:
    """Open a catalog; return the connection, and what tells its file from one that takes its place."""
    while True:
        before = _identify(path)
        connection = _open(path)
        if before is not None and before == _identify(path):
            return connection, before
        connection.close()


def _identify(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
        _provide_logarithm(connection)
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
